"""Texts of the latency tables: 80 columns, label and runtime on the left, numbers on the right."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from edgeacts.records import Subject

WIDTH = 80
_RUNTIME = 12


def table(
    head: Sequence[str], widths: Sequence[int], rows: Sequence[tuple[Subject, Sequence[str]]]
) -> list[str]:
    """A heading, a rule, and a line a row; the columns after label and runtime are `widths` wide, to the right."""
    label = WIDTH - _RUNTIME - sum(widths)
    lines = [_line("model", "runtime", head, label, widths), "-" * WIDTH]
    lines += [_line(one.label, one.runtime, cells, label, widths) for one, cells in rows]
    return lines


def _line(label: str, runtime: str, cells: Sequence[str], width: int, widths: Sequence[int]) -> str:
    left = f"{shorten(label, width - 1):<{width}}{shorten(runtime, _RUNTIME - 1):<{_RUNTIME}}"
    return (left + "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))).rstrip()


def ending(about: str, skipped: Mapping[str, str]) -> list[str]:
    """How it was measured, and what was not."""
    lines = ["", *textwrap.wrap(about, WIDTH)]
    for key, reason in skipped.items():
        lines += textwrap.wrap(f"skipped: {key}: {reason}", WIDTH, subsequent_indent="  ")
    return lines


def milliseconds(nanoseconds: float) -> str:
    """Four significant digits or three decimals, whichever is shorter: 0.012, 12.35, 1235."""
    value = nanoseconds / 1e6
    return f"{value:.{3 if value < 10 else 2 if value < 100 else 1 if value < 1000 else 0}f}"


def mebibytes(size_bytes: float) -> str:
    """1 MiB is 2^20 bytes: 13.36."""
    value = size_bytes / 2**20
    return f"{value:.{2 if value < 100 else 1 if value < 1000 else 0}f}"


def percent(share: float) -> str:
    """12.3 %."""
    return f"{100 * share:.1f}%"


def plural(count: int, what: str, ending: str = "s") -> str:
    """`1 thread`, `2 threads`, with `ending` "es" `2 processes`."""
    return f"{count} {what}{'' if count == 1 else ending}"


def shorten(text: str, width: int) -> str:
    """The text, or its two ends with `…` between: what tells variants apart stands at either end."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
