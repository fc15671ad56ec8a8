"""For tests of your own: `from edgeacts.testing import assert_parity, assert_not_slower`."""

from edgeacts.latency.asserting import assert_not_slower
from edgeacts.parity.asserting import ParityError, assert_parity

__all__ = ["ParityError", "assert_not_slower", "assert_parity"]
