"""`verify(reference, candidate)`: does the exported file compute what the model computes, in every way it can run?"""

from edgeacts.parity.checking import BATCHES, RUNTIMES, verify
from edgeacts.parity.table import format_verdict

__all__ = ["BATCHES", "RUNTIMES", "format_verdict", "verify"]
