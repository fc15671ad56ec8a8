"""INT8 in pictures: accuracy lost, and latency over the float model and over ReLU INT8, each with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgeacts.records import PairedDrop
from edgeacts.report.cells import (
    Cell,
    Table,
    count_cell,
    outcome_cell,
    points_cell,
    points_span,
    points_words,
    ratio_cell,
    ratio_span,
    share_cell,
    source_cell,
    time_cell,
    times,
    times_interval,
    words,
)
from edgeacts.report.cost import LOG_FROM
from edgeacts.report.drawing import (
    INK,
    MAX_PLOTS,
    MAX_ROWS,
    SOFT,
    Plot,
    blank,
    log_ticks,
    marker,
    row_axis,
    row_name,
    safe,
)  # fmt: skip
from edgeacts.report.int8 import eight_bit
from edgeacts.report.int8_ratios import Compared, EightTiming, eight_timings
from edgeacts.report.palette import Look
from edgeacts.report.variants import Setting, Variant, short_names


def drop_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Accuracy lost to 8 bits in points, with its paired interval and the gate's limit, the smallest loss on top."""
    judged = [(v, e.gate) for v, e in eight_bit(variants) if e.gate is not None]
    if not judged:
        return []
    judged.sort(key=lambda pair: -pair[1].record.kept.drop.drop)
    names = short_names([variant for variant, _ in judged])
    drawn = judged[-MAX_ROWS:]
    rows = row_axis([row_name(names[v.label], points_words(g.record.kept.drop.drop)) for v, g in drawn])
    plot = blank(110 + 46 * len(drawn), "accuracy lost, points", xaxis={"nticks": 6}, yaxis=rows)
    limits = {gate.record.max_drop for _, gate in drawn}
    _line_at(plot, 0.0, len(drawn), INK)
    for limit in sorted(limits):
        _line_at(plot, limit, len(drawn), SOFT)
    for row, (variant, gate) in enumerate(drawn):
        drop = gate.record.kept.drop
        _point(plot, row, (drop.low, drop.drop, drop.high), looks[variant.look], variant,
               f"{safe(names[variant.label])}: {drop}, {gate.record.outcome}", gate.record.outcome == "cannot tell")  # fmt: skip
    told = ", ".join(f"{names[v.label]} {g.record.kept.drop}" for v, g in reversed(drawn))
    alt = f"Accuracy lost to 8 bits with 95 % intervals, the smallest first: {told}."
    note = (
        "Float and INT8 answered the same images: bars are Tango's 95 % intervals for paired answers. Dotted: nothing lost, and "
        f"the gate's limit of {' and '.join(f'{limit:g}' for limit in sorted(limits))} points. Hollow: cannot tell. "
        "Left of zero INT8 is better."
    )
    return [Plot("int8-drop", "Accuracy lost to 8 bits", alt, plot, _drop_table(judged[::-1]), note)]


def latency_plots(
    variants: Sequence[Variant], looks: Mapping[str, Look], settings: Sequence[Setting]
) -> list[Plot]:
    """INT8 over the float model and over ReLU INT8, one plot a setting, with intervals."""
    timed = [(setting, eight_timings(variants, setting)) for setting in settings]
    compared = [(setting, [one for one in found if one.over_float]) for setting, found in timed]
    kept = [(setting, found) for setting, found in compared if found]
    return [_latency(setting, found, looks, index) for index, (setting, found) in enumerate(kept[:MAX_PLOTS])]


def _latency(setting: Setting, found: list[EightTiming], looks: Mapping[str, Look], index: int) -> Plot:
    names = short_names([one.variant for one in found])
    drawn = sorted(found, key=lambda one: -one.ratio)[-MAX_ROWS:]
    spans = [c.interval for one in drawn for c in (one.over_float, one.over_relu) if c is not None]
    low, high = min(1.0, *(s.low for s in spans)), max(1.0, *(s.high for s in spans))
    wide = high / low > LOG_FROM
    rows = row_axis([row_name(names[one.variant.label], times(one.ratio)) for one in drawn])
    axis = log_ticks(low, high) if wide else {"nticks": 6}
    plot = blank(110 + 50 * len(drawn), f"ratio{', log scale' if wide else ''}", xaxis=axis, yaxis=rows)
    _line_at(plot, 1.0, len(drawn), INK)
    for row, one in enumerate(drawn):
        for compared, shift, what in (
            (one.over_float, 0.14, "its float model"),
            (one.over_relu, -0.18, "ReLU INT8"),
        ):
            if compared is not None and compared.comparison != "baseline":
                _ratio_point(plot, row + shift, compared, one.variant, looks[one.variant.look],
                             f"{names[one.variant.label]} over {what}", what == "ReLU INT8")  # fmt: skip
    told = ", ".join(f"{names[one.variant.label]} {times(one.ratio)}" for one in reversed(drawn))
    alt = f"Latency of INT8 over the float model's on {setting.name}, the best first: {told}."
    note = (
        "Filled: over the float model of the same activation; hollow: over ReLU INT8. Taken from rounds in which both ran; left "
        "of the line INT8 is faster. Bars are 95 % intervals over blocks."
    )
    return Plot(
        f"int8-latency-{index}",
        f"INT8 over float: {setting.name}",
        alt,
        plot,
        _latency_table(setting, found, index),
        note,
    )


def _ratio_point(plot: Any, row: float, compared: Compared, variant: Variant, look: Look, what: str,
                 hollow: bool) -> None:  # fmt: skip
    span = compared.interval
    told = f"{safe(what)}: {times(span.ratio)} ({times_interval(span.low, span.high)}), {compared.comparison}"
    _point(plot, row, (span.low, span.ratio, span.high), look, variant, told, hollow)


def _line_at(plot: Any, x: float, rows: int, colour: str) -> None:
    line = {"color": colour, "width": 1, "dash": "dot"}
    plot.add_scatter(x=[x, x], y=[-0.6, rows - 0.4], mode="lines", line=line, hoverinfo="skip")


def _point(plot: Any, row: float, span: tuple[float, float, float], look: Look, variant: Variant, told: str,
           hollow: bool) -> None:  # fmt: skip
    low, middle, high = span
    bar = {"color": look.light, "thickness": 2, "width": 5}
    plot.add_scatter(
        x=[middle], y=[row], mode="markers", marker=marker(look, 12, hollow=hollow),
        error_x={"array": [max(0.0, high - middle)], "arrayminus": [max(0.0, middle - low)], **bar},
        meta={"activation": variant.look, "model": variant.model}, hovertemplate=f"{told}<extra></extra>",
    )  # fmt: skip


def _drop_table(judged: Sequence[tuple[Variant, Any]]) -> Table:
    rows = []
    for variant, gate in judged:
        record = gate.record
        drop: PairedDrop = record.kept.drop
        rows.append(
            (
                words(variant.label),
                share_cell(drop.reference_correct / drop.total),
                share_cell(drop.accuracy),
                points_cell(drop.drop),
                points_span(drop.low, drop.high),
                count_cell(drop.lost),
                count_cell(drop.gained),
                count_cell(drop.total),
                points_cell(record.max_drop),
                Cell(record.outcome, "strict" if record.strict else "", _tone(record.outcome)),
                outcome_cell(record.verdict),
                count_cell(record.images_needed),
                count_cell(len(record.tries)),
                source_cell(gate.source),
            )
        )
    columns = (
        *("variant", "float accuracy", "INT8 accuracy", "points lost", "95 % interval", "only float right"),
        *(
            "only INT8 right",
            "images",
            "limit",
            "within the limit",
            "gate",
            "images needed",
            "tries",
            "source",
        ),
    )
    note = (
        "Of the INT8 file as ONNX Runtime ran it on the machine of the gate; an accelerated session answers alike. Images "
        "needed: so many tell that nothing is lost where the two differ as often as here. With fewer the gate may say that it "
        "cannot tell; the file is then handed over, as nothing shows a loss beyond the limit."
    )
    return Table("table-int8-drop", "Accuracy of float and INT8", columns, tuple(rows), note=note)


def _tone(outcome: str) -> str:
    return {"holds": "good", "fails": "bad", "cannot tell": "unsure"}[outcome]


def _latency_table(setting: Setting, found: Sequence[EightTiming], index: int) -> Table:
    rows = [
        (
            words(one.variant.label),
            words(one.timing.precision or "not said"),
            time_cell(one.timing.series.median_ns),
            *compared_cells(one.over_float),
            *compared_cells(one.over_relu),
            source_cell(one.timing.source),
        )
        for one in found
    ]
    columns = (
        *("variant", "precision", "median latency", "over its float model", "interval", "verdict"),
        *("over ReLU INT8", "interval of that", "verdict on that", "source"),
    )
    return Table(f"table-int8-latency-{index}", f"INT8 latency on {setting.name}", columns, tuple(rows))


def compared_cells(compared: Compared | None) -> tuple[Cell, Cell, Cell]:
    """Ratio, interval and verdict; empty where there is nothing to compare with."""
    if compared is None:
        return Cell(number=True), Cell(number=True), Cell()
    span = compared.interval
    return ratio_cell(span.ratio), ratio_span(span.low, span.high), outcome_cell(compared.comparison)
