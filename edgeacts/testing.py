"""Assertions for a user's own tests."""

from edgeacts.latency.asserting import assert_not_slower

__all__ = ["assert_not_slower"]
