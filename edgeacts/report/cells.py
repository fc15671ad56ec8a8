"""Cells and tables, and how numbers are written: one place for digits, units and where a number came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from statistics import median

from markupsafe import Markup

from edgeacts.records import LatencySeries
from edgeacts.report.evidence import Source

MISSING = "–"
TONES = {"pass": "good", "fail": "bad", "held": "good", "failed": "bad", "cannot tell": "unsure", "blind": "blind",
         "faster": "fast", "slower": "slow", "refused": "blind", "reported": "", "baseline": "", "not looked at": ""}  # fmt: skip
"""Outcome -> its colour and symbol in the page; the word itself always stands beside it."""


@dataclass(frozen=True)
class Cell:
    """Text of one cell; `note` is a smaller second line, `tone` one of `TONES`, `heat` 0 to 1 shades it.

    `value` is the number in full digits, in `unit`; `span` an interval likewise. `markup` is trusted HTML shown
    instead of the text; with `files` the sources are named in full.
    """

    text: str = MISSING
    note: str = ""
    tone: str = ""
    number: bool = False
    sources: tuple[Source, ...] = ()
    markup: Markup | None = None
    files: bool = False
    value: float | int | None = None
    unit: str = ""
    span: tuple[float, float] | None = None
    heat: float | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its heading. `cards` stacks rows on a narrow screen."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cards: bool = False
    note: str = ""


def words(text: object) -> Cell:
    """A cell of text."""
    return Cell(str(text))


def figure(text: str, note: str = "", *sources: Source, tone: str = "") -> Cell:
    """A cell of a number, aligned to the right."""
    return Cell(text, note, tone, number=True, sources=sources)


def outcome_cell(outcome: str, note: str = "", *sources: Source) -> Cell:
    """The word of an outcome with its colour and symbol."""
    return Cell(outcome, note, TONES[outcome], sources=sources)


def source_cell(*sources: Source) -> Cell:
    """The cell of a "source" column: each file with its short SHA-256."""
    return Cell(", ".join(source.short for source in sources) or MISSING, sources=sources, files=True)


def _measured(text: str, value: float | None, unit: str, note: str, sources: Sequence[Source]) -> Cell:
    return Cell(
        text if value is not None else MISSING,
        note,
        number=True,
        sources=tuple(sources),
        value=value,
        unit=unit,
    )


def time_cell(time_ns: float | None, note: str = "", *sources: Source) -> Cell:
    """A time, in nanoseconds."""
    return _measured("" if time_ns is None else milliseconds(time_ns), time_ns, "ns", note, sources)


def ratio_cell(ratio: float | None, note: str = "", *sources: Source) -> Cell:
    """How many times."""
    return _measured("" if ratio is None else times(ratio), ratio, "ratio", note, sources)


def share_cell(share: float | None, note: str = "", *sources: Source) -> Cell:
    """A share of a whole, 0 to 1."""
    return _measured("" if share is None else percent(share), share, "share", note, sources)


def error_cell(error: float | None, unit: str = "share of the movement", note: str = "") -> Cell:
    """An error; None is one that is not finite."""
    return Cell(small(error), note, number=True, value=error, unit=unit)


def count_cell(count: float | None, unit: str = "", digits: int = 0, note: str = "") -> Cell:
    """A count or a plain number."""
    return _measured("" if count is None else f"{count:,.{digits}f}", count, unit, note, ())


def decibel_cell(snr_db: float | None) -> Cell:
    """A signal-to-noise ratio."""
    return count_cell(snr_db, "dB", 1)


def points_cell(points: float, note: str = "") -> Cell:
    """A difference of accuracies, in points."""
    return _measured(points_words(points), points, "points", note, ())


def points_span(low: float, high: float) -> Cell:
    """An interval of a difference of accuracies."""
    return Cell(f"{low:.2f} to {high:.2f}", number=True, span=(low, high), unit="points")


def points_words(points: float) -> str:
    """0.4567 -> "0.46 points"."""
    return f"{points:.2f} points"


def bytes_cell(size_bytes: int | None) -> Cell:
    """A size, in bytes."""
    return _measured("" if size_bytes is None else megabytes(size_bytes), size_bytes, "bytes", "", ())


def share_span(low: float, high: float) -> Cell:
    """An interval of a share."""
    return Cell(interval(low, high), number=True, span=(low, high), unit="share")


def ratio_span(low: float, high: float) -> Cell:
    """An interval of a ratio."""
    return Cell(times_interval(low, high), number=True, span=(low, high), unit="ratio")


def time_span(low_ns: float, high_ns: float) -> Cell:
    """An interval of a time, in nanoseconds."""
    text = f"{milliseconds(low_ns)} to {milliseconds(high_ns)}"
    return Cell(text, number=True, span=(low_ns, high_ns), unit="ns")


def percent(fraction: float) -> str:
    """0.97512 -> "97.51 %"."""
    return f"{100 * fraction:.2f} %"


def interval(low: float, high: float) -> str:
    """(0.953, 0.9871) -> "95.3 to 98.7 %"."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def milliseconds(time_ns: float) -> str:
    """10324567 -> "10.3 ms", in at least three digits; below 0.1 ms in µs, from 10 s in seconds."""
    ms = time_ns / 1e6
    if ms < 0.1:
        return f"{time_ns / 1e3:.2f} µs"
    if ms >= 1e4:
        return f"{ms / 1e3:.1f} s"
    return f"{ms:.3f} ms" if ms < 1 else f"{ms:.2f} ms" if ms < 10 else f"{ms:.1f} ms"


def times(ratio: float) -> str:
    """1.2345 -> "1.23 ×"; beyond a million in powers of ten."""
    return f"{ratio:.2f} ×" if ratio < 1e6 else f"{ratio:.1e} ×"


def times_interval(low: float, high: float) -> str:
    """(1.2301, 1.2514) -> "1.230 to 1.251 ×"; small differences from 1 are what it is about."""
    if high >= 1e6:
        return f"{low:.1e} to {high:.1e} ×"
    return f"{low:.3f} to {high:.3f} ×" if high < 2 else f"{low:.2f} to {high:.2f} ×"


def small(value: float | None) -> str:
    """An error: 0.00000312 -> "3.1e-6"; None (it was not finite) -> "not finite"."""
    return "not finite" if value is None else "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-")


def number(value: float | None, digits: int = 4) -> str:
    """A number in `digits` significant digits."""
    return MISSING if value is None else f"{value:.{digits}g}"


def megabytes(size_bytes: int) -> str:
    """1234567 -> "1.23 MB"."""
    return f"{size_bytes / 1e6:.2f} MB"


def log_heat(value: float, low: float, high: float) -> float:
    """Where `value` lies from `low` (0) to `high` (1) on a logarithmic scale."""
    if value <= low:
        return 0.0
    return min(1.0, log10(value / low) / log10(high / low))


def median_interval(samples_ns: Sequence[float]) -> tuple[float, float]:
    """(low, high): 95 % interval of the median by order statistics; needs independence only, no distribution.

    The ranks are n/2 ∓ 0.98·√n; with fewer than six samples there is no such interval and the range is given.
    """
    ordered = sorted(samples_ns)
    n = len(ordered)
    if n < 6:
        return float(ordered[0]), float(ordered[-1])
    low = max(0, int(n / 2 - 0.98 * n**0.5) - 1)
    high = min(n - 1, n - 1 - low)
    return float(ordered[low]), float(ordered[high])


def block_medians(series: LatencySeries) -> dict[int, float]:
    """Block -> the median of the series' samples in it."""
    parts: dict[int, list[int]] = {}
    for block, sample in zip(series.block_of, series.samples_ns, strict=True):
        parts.setdefault(block, []).append(sample)
    return {block: median(found) for block, found in parts.items()}


def latency_interval(series: LatencySeries) -> tuple[float, float]:
    """95 % interval of the latency in ns, over the medians of the blocks: samples within a block are not independent."""
    low, high = median_interval(list(block_medians(series).values()))
    return min(low, series.median_ns), max(high, series.median_ns)
