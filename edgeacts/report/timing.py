"""Distributions of latency: every time that was taken, one plot per setting."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgeacts.report.cells import (
    Cell,
    Table,
    count_cell,
    latency_interval,
    milliseconds,
    outcome_cell,
    ratio_cell,
    ratio_span,
    source_cell,
    time_cell,
    time_span,
    words,
)
from edgeacts.report.cost import LOG_FROM, Timed, timed_in
from edgeacts.report.drawing import (
    MAX_PLOTS,
    MAX_ROWS,
    Plot,
    blank,
    log_ticks,
    row_axis,
    row_name,
    thinned,
)
from edgeacts.report.palette import Look
from edgeacts.report.variants import Setting, Variant, timing_names

MAX_POINTS = 6000
"""Raw times drawn per plot; from more, lowest and highest of each stretch of time (tables use all)."""
QUANTILES = ("p50", "p90", "p99")


def latency_plots(
    variants: Sequence[Variant], looks: Mapping[str, Look], settings: Sequence[Setting]
) -> list[Plot]:
    """A box with the raw times per variant, the fastest on top."""
    timed = [(setting, timed_in(variants, setting)) for setting in settings]
    return [
        _distribution(found, looks, setting, index)
        for index, (setting, found) in enumerate(timed[:MAX_PLOTS])
    ]


def _distribution(found: Timed, looks: Mapping[str, Look], setting: Setting, index: int) -> Plot:
    drawn = list(zip(found, timing_names(found), strict=True))[:MAX_ROWS][::-1]
    series = [timing.series.samples_ns for (_, timing), _ in drawn]
    boxes = [(row_name(name), looks[variant.look]) for (variant, _), name in drawn]
    plot = box_figure(boxes, series, "latency in ms")
    for trace, ((variant, timing), _) in zip(plot.data, drawn, strict=True):
        trace.meta = {"activation": variant.look, "precision": timing.precision, "model": variant.model}
    told = ", ".join(f"{v.label} {milliseconds(timing.series.median_ns)}" for v, timing in found[:MAX_ROWS])
    alt = f"Distributions of latency on {setting.name}; medians: {told}."
    note = "Box: quartiles and median; dots: single inferences, taken with the variants in turn; none is left out."
    return Plot(f"latency-{index}", setting.name, alt, plot, _latency_table(found, setting, index), note)


def box_figure(boxes: Sequence[tuple[str, Look]], series: Sequence[Sequence[int]], title: str) -> Any:
    """A row with a box and its raw times per (name, look), the first at the bottom; times in ns, drawn in ms."""
    low, high = min(map(min, series)) / 1e6, max(map(max, series)) / 1e6
    wide = high / low > LOG_FROM
    axis = log_ticks(low, high) if wide else {"nticks": 6}
    plot = blank(
        100 + 50 * len(boxes), f"{title}{', log scale' if wide else ''}", xaxis=axis,
        yaxis=row_axis([name for name, _ in boxes]),
    )  # fmt: skip
    most = max(100, MAX_POINTS // len(boxes))
    for row, ((name, look), times_ns) in enumerate(zip(boxes, series, strict=True)):
        plot.add_box(
            x=[round(times_ns[i] / 1e6, 6) for i in thinned(times_ns, most)],
            y0=row,
            name=name,
            orientation="h",
            boxpoints="all",
            jitter=0.5,
            pointpos=-1.9,
            marker={"color": look.light, "size": 4, "opacity": 0.4},
            line={"color": look.light, "width": 1.8},
            fillcolor="rgba(0,0,0,0)",
            width=0.34,
            hoveron="boxes",
        )
    return plot


def _latency_table(found: Timed, setting: Setting, index: int) -> Table:
    rows = []
    for (variant, timing), name in zip(found, timing_names(found), strict=True):
        series = timing.series
        rows.append(
            (
                Cell(name, variant.label if variant.label != name else ""),
                time_cell(series.median_ns),
                time_span(*latency_interval(series)),
                *(time_cell(series.quantiles_ns.get(quantile)) for quantile in QUANTILES[1:]),
                ratio_cell(series.ratio),
                ratio_span(series.ratio_low, series.ratio_high),
                outcome_cell(series.comparison),
                words(timing.reference),
                time_span(min(series.samples_ns), max(series.samples_ns)),
                count_cell(len(series.samples_ns)),
                count_cell(len(set(series.block_of))),
                source_cell(timing.source),
            )
        )
    columns = (
        *("variant", "median", "95 % interval of it", "p90", "p99", "ratio", "interval of it", "verdict"),
        *("ratio to", "range", "samples", "blocks", "source"),
    )
    note = "The interval of the median is over the medians of the blocks. A quantile is missing where the samples are too few."
    return Table(f"table-latency-{index}", f"Latency on {setting.name}", columns, tuple(rows), note=note)
