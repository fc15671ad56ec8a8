"""`verify(reference, candidate)`: does the exported file compute what the model computes, in every way it can run?

`locate(reference, candidate)`: the first layer at which it does not.
"""

from edgeacts.parity.checking import BATCHES, RUNTIMES, verify
from edgeacts.parity.divergence_table import format_divergence
from edgeacts.parity.locating import locate
from edgeacts.parity.table import format_verdict

__all__ = ["BATCHES", "RUNTIMES", "format_divergence", "format_verdict", "locate", "verify"]
