"""A latency record as plain text, at most 80 columns wide."""

import textwrap
from collections.abc import Sequence

from edgeacts.records import LatencyRecord, LatencySeries

WIDTH = 80
_NUMBERS = f"{'median ms':>11}{'p95 ms':>11}{'ratio':>8}"
_NUMBERS_WIDTH = len(_NUMBERS)
_RUNTIME_WIDTH = 12
_LABEL_WIDTH = WIDTH - _NUMBERS_WIDTH - _RUNTIME_WIDTH - 10  # 10: precision


def format_latency(record: LatencyRecord) -> str:
    """One line a series: label, runtime, executed precision, median, p95, ratio to the runtime's first."""
    lines = [f"{'model':<{_LABEL_WIDTH}}{'runtime':<{_RUNTIME_WIDTH}}{'executed':<10}{_NUMBERS}", "-" * WIDTH]
    lines += [_line(series) for series in record.series]
    cores = f"{record.threads} thread{'s' if record.threads > 1 else ''}"
    about = (
        f"{cores}, batch {record.batch}, {record.rounds} interleaved rounds after {record.warmup_rounds} "
        f"of warm-up, {record.circumstances.cpu}. {_baselines(record.series)}"
    )
    lines += ["", *textwrap.wrap(about, WIDTH)]
    for key, reason in record.skipped.items():
        lines += textwrap.wrap(f"skipped: {key}: {reason}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def _line(series: LatencySeries) -> str:
    label = _shorten(series.label, _LABEL_WIDTH - 1)
    precision = _shorten(str(series.executed.get("precision", "unknown")), 9)
    runtime = _shorten(series.runtime, _RUNTIME_WIDTH - 1)
    return (
        f"{label:<{_LABEL_WIDTH}}{runtime:<{_RUNTIME_WIDTH}}{precision:<10}"
        f"{_milliseconds(series.median_ns):>11}{_milliseconds(series.p95_ns):>11}{series.ratio:>8.2f}"
    )


def _baselines(series: Sequence[LatencySeries]) -> str:
    first: dict[str, str] = {}
    for one in series:
        first.setdefault(one.runtime, one.label)
    if len(set(first.values())) == 1:
        return f"Ratio 1 is {next(iter(first.values()))}."
    return "Ratio 1 is " + ", ".join(f"{label} on {runtime}" for runtime, label in first.items()) + "."


def _milliseconds(nanoseconds: float) -> str:
    """Four significant digits or three decimals, whichever is shorter: 0.012, 12.35, 1235."""
    value = nanoseconds / 1e6
    return f"{value:.{3 if value < 10 else 2 if value < 100 else 1 if value < 1000 else 0}f}"


def _shorten(text: str, width: int) -> str:
    """The text, or its two ends with `…` between: what tells variants apart stands at either end."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
