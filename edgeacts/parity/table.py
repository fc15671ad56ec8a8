"""A verdict as text that fits 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from edgeacts.records import ParityRow, Verdict

WIDTH = 80


def format_verdict(verdict: Verdict) -> str:
    """The verdict's table: a line per runtime, level and kind of input; below it each reason once, with its first place."""
    lines = [
        f"{'runtime':<12} {'level':<9} {'inputs':<11} {'error':>8} {'of move':>8} {'allowed':>8} {'flips':>8}  ok"
    ]
    lines += [_line(row) for row in verdict.rows]
    notes = list(_reasons(verdict.rows))
    notes += [f"not checked: {name}: {why}" for name, why in verdict.skipped.items()]
    notes.append(f"{'PASS' if verdict.passed else 'FAIL'}: {verdict.summary}")
    for note in notes:
        lines += textwrap.wrap(
            note, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def _reasons(rows: Sequence[ParityRow]) -> Iterator[str]:
    """`runtime level inputs output: reason`, and in how many more places the same was found."""
    places: dict[str, list[str]] = {}
    for row in rows:
        if row.reason:
            where = " ".join(t for t in (row.runtime, row.level, row.inputs, row.output) if t)
            places.setdefault(row.reason, []).append(where)
    for reason, found in places.items():
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield f"{found[0]}{more}: {reason}"


def _line(row: ParityRow) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}"

    flips = "-" if row.predictions_total is None else f"{row.predictions_differ}/{row.predictions_total}"
    return (
        f"{row.runtime:<12} {row.level:<9} {row.inputs:<11} {number(row.max_error):>8} {number(row.relative_error):>8} "
        f"{number(row.allowed_relative_error):>8} {flips:>8}  {'yes' if row.passed else 'NO'}"
    )
