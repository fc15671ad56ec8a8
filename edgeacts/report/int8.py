"""INT8: what 8 bits cost in accuracy and gain in latency and size, by network and activation."""

from collections.abc import Sequence
from dataclasses import replace

from edgeacts.report.cells import (
    Cell,
    Table,
    bytes_cell,
    points_cell,
    points_span,
    points_words,
    ratio_cell,
    share_cell,
    times,
)
from edgeacts.report.drawing import (
    MAX_ROWS,
)  # fmt: skip
from edgeacts.report.eight_bits import EightBits
from edgeacts.report.evidence import Problem
from edgeacts.report.int8_ratios import EightTiming, eight_timings
from edgeacts.report.variants import Setting, Variant, short_names

SECTION, INT8_TABLE = "int8", "int8-summary"
MAX_LAYERS = 3
"""Layers named in a cell."""


def eight_bit(variants: Sequence[Variant]) -> list[tuple[Variant, EightBits]]:
    """The 8-bit files for ONNX Runtime, with their records."""
    return [(variant, variant.eight) for variant in variants if variant.eight is not None]


def gate_problems(variants: Sequence[Variant]) -> list[Problem]:
    """Gates that did not pass, each with its reason."""
    return [
        Problem(
            eight.gate.source.path,
            f"the accuracy gate of {variant.label} failed: {eight.gate.record.summary}",
        )
        for variant, eight in eight_bit(variants)
        if eight.gate is not None and not eight.gate.record.passed
    ]


def sentences(variants: Sequence[Variant], settings: Sequence[Setting]) -> list[str]:
    """What 8 bits cost and gain, one sentence, on the runtime where they gain most."""
    judged = [(v, e.gate.record) for v, e in eight_bit(variants) if e.gate is not None]
    if not judged:
        return []
    names = short_names([variant for variant, _ in judged])
    timed = [
        (setting, {t.variant.label: t for t in eight_timings(variants, setting) if t.over_float})
        for setting in settings
    ]
    best = min(timed, key=lambda pair: _mean_ratio(list(pair[1].values())), default=None)
    told = []
    for variant, record in judged[:MAX_ROWS]:
        drop = record.kept.drop
        text = f"{names[variant.label]} loses {points_words(drop.drop)} ({drop.low:.2f} to {drop.high:.2f})"
        one = best[1].get(variant.label) if best else None
        if one is not None:
            text += f" and takes {times(one.ratio)} its float model"
        if record.verdict == "cannot tell":
            text += f" ({drop.total:,} images cannot tell whether that is at most {points_words(record.max_drop)})"
        told.append(text)
    where = f" on {best[0].name}" if best and best[1] else ""
    return [f"In 8 bits{where}: {'; '.join(told)}."]


def _mean_ratio(found: Sequence[EightTiming]) -> float:
    return sum(one.ratio for one in found) / len(found) if found else float("inf")


def summary_table(variants: Sequence[Variant], settings: Sequence[Setting]) -> Table | None:
    """One card a network: accuracy, size, ranges, layers in float, and latency on each runtime."""
    timed = {
        setting: {one.variant.label: one for one in eight_timings(variants, setting)} for setting in settings
    }
    shown = [setting for setting, found in timed.items() if any(one.over_float for one in found.values())]
    rows = []
    for variant, eight in eight_bit(variants):
        record = eight.quantization.record
        kept = eight.gate.record.kept.float_layers if eight.gate else record.float_layers
        count = layer_count(len(kept)) if kept else "none"
        ratio = f"{record.size_ratio:.3f} of the float file"
        rows.append(
            (
                Cell(variant.label),
                *_accuracy_cells(eight),
                replace(bytes_cell(record.size_bytes), note=ratio, sources=(eight.quantization.source,)),
                Cell(record.chosen, weights_words(eight)),
                Cell(count, f"{', '.join(kept[:MAX_LAYERS])}{', …' if len(kept) > MAX_LAYERS else ''}"),
                *(_latency_cell(timed[setting].get(variant.label)) for setting in shown),
            )
        )
    latencies = (f"latency {setting.name}" for setting in shown)
    columns = (
        *("network", "float", "INT8", "points lost", "size", "ranges", "in float"),
        *latencies,
    )
    return Table(INT8_TABLE, "INT8 at a glance", columns, tuple(rows), cards=True) if rows else None


def layer_count(count: int) -> str:
    """1 layer, 2 layers."""
    return f"{count} layer{'' if count == 1 else 's'}"


def weights_words(eight: EightBits) -> str:
    """How many bits weights have, and whether biases were corrected."""
    settings = eight.quantization.record.settings
    bits = "7-bit weights" if settings.get("reduce_range") == "yes" else "8-bit weights"
    return f"{bits}{', biases corrected' if settings.get('bias_correction') else ''}"


def _accuracy_cells(eight: EightBits) -> tuple[Cell, Cell, Cell]:
    if eight.gate is None:
        return Cell(note="not judged"), Cell(note="not judged"), Cell()
    record, source = eight.gate.record, eight.gate.source
    drop = record.kept.drop
    lost = points_cell(drop.drop, f"{points_span(drop.low, drop.high).text}, gate: {record.verdict}")
    return share_cell(drop.reference_correct / drop.total), share_cell(drop.accuracy, "", source), lost


def _latency_cell(one: EightTiming | None) -> Cell:
    if one is None or one.over_float is None:
        return Cell(note="not timed")
    span, relu = one.over_float.interval, one.over_relu
    note = f"its float model ({span.low:.2f} to {span.high:.2f}), {one.over_float.comparison}"
    if relu is not None and relu.comparison != "baseline":
        note += f"; {times(relu.interval.ratio)} ReLU INT8"
    return ratio_cell(span.ratio, note, one.timing.source)
