"""A located divergence as text that fits 80 columns."""

from __future__ import annotations

import textwrap

from edgeacts.records import DivergenceRecord, LayerRow

WIDTH = 80
AROUND = 4  # rows before and after the first divergence


def format_divergence(record: DivergenceRecord) -> str:
    """The layers around the first divergence, or the last ones when there is none, and the summary below."""
    lines = [f"  {'reference':<24} {'candidate':<20} {'operator':<12} {'error':>8} {'allowed':>8}"]
    middle = len(record.rows) - 1 if record.first is None else record.first
    low, high = max(0, middle - AROUND), middle + AROUND + 1
    if low:
        lines.append(f"  ({low} before)")
    for index, row in enumerate(record.rows[low:high], low):
        lines.append(_line(row, first=index == record.first))
    if rest := len(record.rows[high:]):
        lines.append(f"  ({rest} behind)")
    notes = [f"{'AGREE' if record.first is None else 'DIVERGE'}: {record.summary}"]
    if record.observer_effect:
        notes.append(f"looking changes the result: {record.observer_effect}")
    if record.minimal_model:
        notes.append(f"shown alone by {record.minimal_model} on {record.minimal_input}")
    for note in notes:
        lines += textwrap.wrap(
            note, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def _line(row: LayerRow, *, first: bool) -> str:
    error = {"not looked at": "", "fail": "wrong"}.get(row.outcome, row.outcome)
    if row.relative_error is not None:
        error = f"{row.relative_error:.1e}"
    allowed = "" if row.allowed is None or row.outcome == "not looked at" else f"{row.allowed:.1e}"
    names = f"{_short(row.reference or '-', 24):<24} {_short(row.candidate, 20):<20} {_short(row.operator, 12):<12}"
    return f"{'>' if first else ' '} {names} {error:>8} {allowed:>8}".rstrip()


def _short(text: str, width: int) -> str:
    """The end of a name tells more than its beginning."""
    return text if len(text) <= width else "…" + text[-(width - 1) :]
