"""Names and numbers that users type: a wrong one is answered with the nearest and the valid ones, or with the range."""

import math
from collections.abc import Iterable
from difflib import get_close_matches

from edgeacts.errors import UsageError


def check_name(name: str, valid: Iterable[str], what: str) -> str:
    """`name` if it is one of `valid`, otherwise a UsageError that names the nearest and all valid ones."""
    known = list(valid)
    if name in known:
        return name
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"unknown {what} {name!r}: {hint}valid: {', '.join(known)}")


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raise UsageError unless `value` is a finite number from `low` to `high`."""
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"{name} {value}: give a number from {low:g} to {high:g}")
