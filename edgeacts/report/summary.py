"""The summary for a pull request (Markdown) and for a spreadsheet (CSV), each number with its file."""

import csv
import io
import re

from edgeacts.report.cells import Cell
from edgeacts.report.parity import comparisons, parity_passed
from edgeacts.report.render import Report
from edgeacts.report.variants import Timing, Variant

COLUMNS = (
    *(
        "variant",
        "model",
        "activation",
        "test_accuracy",
        "test_accuracy_low",
        "test_accuracy_high",
        "test_total",
    ),
    *("runtime", "threads", "batch", "median_ns", "p95_ns", "ratio", "ratio_to", "samples"),
    *("parity", "comparisons", "sources"),
)
_MARKDOWN = re.compile(r"([\\`*_\[\]|<>#~])")


def markdown(report: Report) -> str:
    """Headline, summary table and numbered sources in GitHub's Markdown."""
    table = report.summary
    lines = [f"**{_plain(report.headline)}**", "", _row(table.columns)]
    lines.append(_row(["---", *("---:" for _ in table.columns[1:])], escape=False))
    lines += [_row([_cell(cell) for cell in row], escape=False) for row in table.rows]
    if report.evidence.problems:
        lines += [
            "",
            "Problems:",
            *(f"- {_plain(p.where)}: {_plain(p.text)}" for p in report.evidence.problems),
        ]
    used = {source for row in table.rows for cell in row for source in cell.sources}
    lines += ["", "Sources:"]
    lines += [
        f"- [{s.number}] {_plain(s.path)}, SHA-256 {s.sha256[:8]}"
        for s in sorted(used, key=lambda s: s.number)
    ]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text without line breaks in which Markdown and HTML find nothing to do."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _row(cells: list[str] | tuple[str, ...], escape: bool = True) -> str:
    return f"| {' | '.join(_plain(cell) if escape else cell for cell in cells)} |"


def _cell(cell: Cell) -> str:
    note = f" ({_plain(cell.note)})" if cell.note else ""
    numbers = "".join(f" \\[{source.number}\\]" for source in cell.sources)
    return f"{_plain(cell.text)}{note}{numbers}"


def comma_separated(report: Report) -> str:
    """One line per variant and setting with full digits and units in the column names."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for variant in report.variants:
        timings: list[Timing | None] = [*variant.timings] or [None]
        for timing in timings:
            writer.writerow([_harmless(value) for value in _record_row(variant, timing)])
    return out.getvalue()


def _record_row(variant: Variant, timing: Timing | None) -> tuple[object, ...]:
    record = variant.training.record if variant.training else None
    accuracy: tuple[object, ...] = ("",) * 4
    if record:
        accuracy = (record.test_accuracy, *record.test_interval, record.test_total)
    times: tuple[object, ...] = ("",) * 8
    if timing:
        setting, series = timing.setting, timing.series
        where = (setting.runtime, setting.threads, setting.batch)
        times = (
            *where,
            series.median_ns,
            series.p95_ns,
            series.ratio,
            timing.reference,
            len(series.samples_ns),
        )
    passed = parity_passed(variant)
    parity = ("" if passed is None else "passed" if passed else "failed", len(comparisons(variant)))
    found = [variant.training, *variant.verdicts, timing]
    sources = " ".join(item.source.short for item in found if item)
    return (variant.label, variant.model, variant.activation, *accuracy, *times, *parity, sources)


def _harmless(value: object) -> object:
    """A spreadsheet runs text that begins like a formula: such text gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
