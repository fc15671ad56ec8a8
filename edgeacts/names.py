"""Names that users type: an unknown one is answered with the nearest and the valid ones."""

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
