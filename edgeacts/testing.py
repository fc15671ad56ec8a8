"""For tests of your own: `from edgeacts.testing import assert_parity`."""

from edgeacts.parity.asserting import ParityError, assert_parity

__all__ = ["ParityError", "assert_parity"]
