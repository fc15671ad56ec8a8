"""The summary for a pull request (Markdown) and for a spreadsheet (CSV), each number with its file."""

import csv
import io
import re

from edgeacts.report.cells import Cell, latency_interval
from edgeacts.report.parity import comparisons, parity_outcome
from edgeacts.report.sections import Report
from edgeacts.report.timing import QUANTILES
from edgeacts.report.variants import Timing, Variant

COLUMNS = (
    *("variant", "model", "activation"),
    *("test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_total"),
    *("runtime", "executed_precision", "threads", "batch", "median_ns", "median_low_ns", "median_high_ns"),
    *(
        "p50_ns",
        "p90_ns",
        "p99_ns",
        "ratio",
        "ratio_low",
        "ratio_high",
        "comparison",
        "ratio_to",
        "confidence",
    ),
    *("noise_floor_low", "noise_floor_high", "samples", "blocks", "processes", "stopped"),
    *("parity", "comparisons", "failed", "blind", "budget_used", "predictions_changed", "sources"),
)
_ACCURACY, _TIMES = 4, 22
MAX_PROBLEMS = 50
"""Problems listed in the Markdown; the page has all."""
_MARKDOWN = re.compile(r"([\\`*_\[\]|<>#~])")


def markdown(report: Report) -> str:
    """Headline, summary table and numbered sources in GitHub's Markdown."""
    table = report.summary
    lines = [f"**{_plain(report.headline)}**"]
    if table.rows:
        lines += ["", _row(table.columns), _row(["---", *("---:" for _ in table.columns[1:])], escape=False)]
        lines += [_row([_cell(cell) for cell in row], escape=False) for row in table.rows]
    if report.sentences:
        lines += ["", *(f"- {_plain(sentence)}" for sentence in report.sentences)]
    problems = report.evidence.problems
    if problems:
        lines += [
            "",
            "Problems:",
            *(f"- {_plain(p.where)}: {_plain(p.text)}" for p in problems[:MAX_PROBLEMS]),
        ]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"- and {len(problems) - MAX_PROBLEMS} more, in the page")
    used = {source for row in table.rows for cell in row for source in cell.sources}
    used = used or set(report.evidence.sources)
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
    accuracy: tuple[object, ...] = ("",) * _ACCURACY
    if record:
        accuracy = (record.test_accuracy, *record.test_interval, record.test_total)
    times = _times(timing) if timing else ("",) * _TIMES
    found = [variant.training, *variant.verdicts, timing]
    sources = " ".join(item.source.short for item in found if item)
    return (variant.label, variant.model, variant.activation, *accuracy, *times, *_parity(variant), sources)


def _times(timing: Timing) -> tuple[object, ...]:
    setting, series, record, floor = timing.setting, timing.series, timing.record, timing.floor
    return (
        *(setting.runtime, timing.precision, setting.threads, setting.batch),
        *(series.median_ns, *latency_interval(series)),
        *(series.quantiles_ns.get(quantile, "") for quantile in QUANTILES),
        *(
            series.ratio,
            series.ratio_low,
            series.ratio_high,
            series.comparison,
            timing.reference,
            record.confidence,
        ),
        *((floor.ratio_low, floor.ratio_high) if floor else ("", "")),
        *(len(series.samples_ns), len(set(series.block_of)), record.processes, record.stopped),
    )


def _parity(variant: Variant) -> tuple[object, ...]:
    rows = comparisons(variant)
    outcomes = [item.row.outcome for item in rows]
    used = max((item.used for item in rows if item.row.outcome != "blind"), default="")
    changed = [item.row.predictions_differ for item in rows if item.row.predictions_differ is not None]
    return (
        *(parity_outcome(variant) or "", len(rows), outcomes.count("fail"), outcomes.count("blind")),
        *(used, max(changed, default="")),
    )


def _harmless(value: object) -> object:
    """A spreadsheet runs text that begins like a formula: such text gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
