"""`verify(reference, candidate)`: does the exported file compute what the model computes, in every runtime and level?"""

from edgeacts.parity.checking import RUNTIMES, verify
from edgeacts.parity.table import format_verdict

__all__ = ["RUNTIMES", "format_verdict", "verify"]
