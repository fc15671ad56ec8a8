"""What a verdict says, for tests of planted faults."""

from edgeacts.parity import format_verdict
from edgeacts.records import Verdict


def reasons(verdict: Verdict) -> str:
    """The reasons of a verdict that is fail; it must be."""
    assert verdict.outcome == "fail", verdict.summary
    return " | ".join(row.reason for row in verdict.rows if row.outcome == "fail")


def sound(verdict: Verdict) -> Verdict:
    """A verdict that must be pass."""
    assert verdict.outcome == "pass", format_verdict(verdict)
    return verdict
