"""A verdict as text that fits 80 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from edgeacts.parity.budgets import coarsest
from edgeacts.parity.judging import is_deployed, place_of, severity, worst
from edgeacts.records import ParityRow, Verdict

WIDTH = 80
_NUMBER = re.compile(r"\d[\d.e+-]*%?")


def format_verdict(verdict: Verdict) -> str:
    """A line per runtime, level and precision, with the worst of its batches, threads and inputs; below it each reason once.

    Errors are shares of how far the output moves between inputs.
    """
    lines = [
        f"{'runtime':<12} {'level':<9} {'prec':<4} {'batch':<5} {'thr':<3} {'error':>7} {'allowed':>7} {'p99.9':>7} "
        f"{'SNR':>4} {'flips':>6} result"
    ]
    lines += [_line(rows) for rows in _sessions(verdict.rows)]
    notes = list(_reasons(verdict.rows))
    if any(map(is_deployed, verdict.rows)):
        notes.append(
            "* the level that is deployed; error, allowed: share of the output's movement; SNR in dB"
        )
    notes += [f"not checked: {name}: {why}" for name, why in verdict.skipped.items()]
    notes.append(f"{verdict.outcome.upper()}: {verdict.summary}")
    for note in notes:
        lines += textwrap.wrap(
            note, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def _sessions(rows: Iterable[ParityRow]) -> list[list[ParityRow]]:
    """Comparisons that were made, by runtime, level and precision."""
    groups: dict[tuple[str, ...], list[ParityRow]] = {}
    for row in rows:
        if row.batch:
            groups.setdefault((row.runtime, row.level, row.precision), []).append(row)
    return list(groups.values())


def _line(rows: Sequence[ParityRow]) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}"

    first = worst(rows)
    noisiest = min((r.snr_db for r in rows if r.snr_db is not None), default=None)
    p999 = first.p999_error / first.movement if first.p999_error is not None and first.movement else None
    result = first.outcome if first.outcome != "blind" or not any(r.passed for r in rows) else "pass"
    return (
        f"{first.runtime:<12} {first.level + '*' * is_deployed(first):<9} {coarsest(first.precision):<4} "
        f"{_list(r.batch for r in rows):<5} {_list(r.threads for r in rows):<3} {number(first.relative_error):>7} "
        f"{number(first.allowed_relative_error):>7} {number(p999):>7} {'-' if noisiest is None else f'{noisiest:.0f}':>4} "
        f"{_flips(rows):>6} {'FAIL' if result == 'fail' else result}"
    )


def _list(values: Iterable[int]) -> str:
    return ",".join(map(str, sorted(set(values))))


def _flips(rows: Sequence[ParityRow]) -> str:
    counted = [r for r in rows if r.predictions_total is not None and r.predictions_differ is not None]
    if not counted:
        return "-"
    most = max(counted, key=lambda r: (r.predictions_differ or 0, r.predictions_total or 0))
    return f"{most.predictions_differ}/{most.predictions_total}"


def _reasons(rows: Sequence[ParityRow]) -> Iterator[str]:
    """`runtime, level, inputs, output: reason` of the worst place of each kind, and in how many more the same was found."""
    kinds: dict[tuple[str, ...], list[ParityRow]] = {}
    for row in rows:
        if row.reason:
            kinds.setdefault((row.outcome, row.inputs, row.output, _NUMBER.sub("#", row.reason)), []).append(
                row
            )
    for found in kinds.values():
        first = worst(found)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield f"{place_of(first)}{more}: {first.reason}{_detail(first)}"


def _detail(row: ParityRow) -> str:
    """Where the error is and how near the flipped predictions were."""
    parts = []
    if row.outcome == "fail" and row.worst_input is not None:
        parts.append(f"input {row.worst_input}")
        if severity(row) not in (0.0, float("inf")):
            parts.append(f"{severity(row):.3g} times too much")
    if row.predictions_differ and row.flip_interval is not None:
        low, high = row.flip_interval
        margin = (
            "" if row.flip_margin is None else f", by leads of up to {row.flip_margin:.2g} of the movement"
        )
        parts.append(f"{low:.0%} to {high:.0%} of predictions flip{margin}")
    return f"; {'; '.join(parts)}" if parts else ""
