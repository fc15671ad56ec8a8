"""Cells and tables, and how numbers are written: one place for digits, units and where a number came from."""

from dataclasses import dataclass

from markupsafe import Markup

from edgeacts.report.evidence import Source

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """Text of one cell; `note` is a smaller second line, `tone` "good" or "bad".

    `markup` is trusted HTML shown instead of the text; with `files` the sources are named in full.
    """

    text: str = MISSING
    note: str = ""
    tone: str = ""
    number: bool = False
    sources: tuple[Source, ...] = ()
    markup: Markup | None = None
    files: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its heading. `cards` stacks rows on a narrow screen."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cards: bool = False


def words(text: object) -> Cell:
    """A cell of text."""
    return Cell(str(text))


def figure(text: str, note: str = "", *sources: Source, tone: str = "") -> Cell:
    """A cell of a number, aligned to the right."""
    return Cell(text, note, tone, number=True, sources=sources)


def source_cell(*sources: Source) -> Cell:
    """The cell of a "source" column: each file with its short SHA-256."""
    return Cell(", ".join(source.short for source in sources) or MISSING, sources=sources, files=True)


def percent(fraction: float) -> str:
    """0.97512 -> "97.51 %"."""
    return f"{100 * fraction:.2f} %"


def interval(low: float, high: float) -> str:
    """(0.953, 0.9871) -> "95.3 to 98.7 %"."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def milliseconds(time_ns: float) -> str:
    """10324567 -> "10.3 ms", in at least three digits; below 0.1 ms in µs."""
    ms = time_ns / 1e6
    if ms < 0.1:
        return f"{time_ns / 1e3:.2f} µs"
    return f"{ms:.3f} ms" if ms < 1 else f"{ms:.2f} ms" if ms < 10 else f"{ms:.1f} ms"


def times(ratio: float) -> str:
    """1.2345 -> "1.23 ×"."""
    return f"{ratio:.2f} ×"


def small(value: float | None) -> str:
    """An error: 0.00000312 -> "3.1e-6"; None (it was not finite) -> "not finite"."""
    return "not finite" if value is None else "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-")


def number(value: float | None, digits: int = 4) -> str:
    """A number in `digits` significant digits."""
    return MISSING if value is None else f"{value:.{digits}g}"


def megabytes(size_bytes: int) -> str:
    """1234567 -> "1.23 MB"."""
    return f"{size_bytes / 1e6:.2f} MB"


def median_interval(samples_ns: tuple[int, ...]) -> tuple[float, float]:
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
