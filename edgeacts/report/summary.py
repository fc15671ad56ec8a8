"""The summary for a pull request (Markdown) and for a spreadsheet (CSV), each number with its file."""

import csv
import io
import re
from collections.abc import Mapping

from edgeacts.report.cells import Cell, Table, latency_interval
from edgeacts.report.int8 import INT8_TABLE
from edgeacts.report.int8_ratios import EightTiming, eight_timings
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
    *(
        "accuracy_of",
        "points_lost",
        "points_lost_low",
        "points_lost_high",
        "gate",
        "size_ratio",
        "float_nodes",
    ),
    *("ratio_to_float", "ratio_to_float_low", "ratio_to_float_high"),
    *("ratio_to_relu_int8", "ratio_to_relu_int8_low", "ratio_to_relu_int8_high"),
    *("parity", "comparisons", "failed", "blind", "budget_used", "predictions_changed", "sources"),
)
_ACCURACY, _TIMES = 4, 22
_LATENCY_OF_INT8 = 6
MAX_PROBLEMS = 50
"""Problems listed in the Markdown; the page has all."""
_MARKDOWN = re.compile(r"([\\`*_\[\]|<>#~])")


def markdown(report: Report) -> str:
    """Headline, summary table and numbered sources in GitHub's Markdown."""
    table = report.summary
    lines = [f"**{_plain(report.headline)}**"]
    if table.rows:
        lines += ["", *_table(table)]
    eight = [t for section in report.sections for t in section.tables if t.name == INT8_TABLE]
    for extra in eight:
        lines += ["", *_table(extra)]
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
    used = {source for t in (table, *eight) for row in t.rows for cell in row for source in cell.sources}
    used = used or set(report.evidence.sources)
    lines += ["", "Sources:"]
    lines += [
        f"- [{s.number}] {_plain(s.path)}, SHA-256 {s.sha256[:8]}"
        for s in sorted(used, key=lambda s: s.number)
    ]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    rule = ["---", *("---:" for _ in table.columns[1:])]
    rows = [_row([_cell(cell) for cell in row], escape=False) for row in table.rows]
    return [_row(table.columns), _row(rule, escape=False), *rows]


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
    compared = {
        id(one.timing): one for setting in report.settings for one in eight_timings(report.variants, setting)
    }
    for variant in report.variants:
        timings: list[Timing | None] = [*variant.timings] or [None]
        for timing in timings:
            writer.writerow([_harmless(value) for value in _record_row(variant, timing, compared)])
    return out.getvalue()


def _record_row(
    variant: Variant, timing: Timing | None, compared: Mapping[int, EightTiming]
) -> tuple[object, ...]:
    found = variant.accuracy
    accuracy: tuple[object, ...] = ("",) * _ACCURACY
    if found:
        accuracy = (found.share, *found.interval, found.total)
    times = _times(timing) if timing else ("",) * _TIMES
    eight = variant.eight.sources if variant.eight else ()
    items = [variant.training, variant.openvino, *variant.verdicts, timing]
    used = [*eight, *(item.source for item in items if item)]
    of = found.of if found else ""
    return (
        *(variant.label, variant.model, variant.activation, *accuracy, *times),
        *(of, *_eight(variant), *_compared(compared.get(id(timing)))),
        *(*_parity(variant), " ".join(source.short for source in used)),
    )


def _eight(variant: Variant) -> tuple[object, ...]:
    """Points lost with their interval, the gate's verdict, share of the float file's size, nodes in float."""
    if variant.eight is None:
        return ("",) * 6
    gate, record = variant.eight.gate, variant.eight.quantization.record
    drop = gate.record.kept.drop if gate else None
    lost = (drop.drop, drop.low, drop.high) if drop else ("",) * 3
    return (*lost, gate.record.verdict if gate else "", record.size_ratio, len(record.float_layers))


def _compared(one: EightTiming | None) -> tuple[object, ...]:
    """Latency over the float model and over ReLU INT8, each with its interval."""
    found = (one.over_float, one.over_relu) if one else ()
    spans = [
        (item.interval.ratio, item.interval.low, item.interval.high) if item else ("",) * 3 for item in found
    ]
    return tuple(value for span in spans for value in span) or ("",) * _LATENCY_OF_INT8


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
