"""What an activation costs: latency over the baseline's on each runtime, with its interval and verdict."""

from collections.abc import Mapping, Sequence

from edgeacts.records import ProfileSeries
from edgeacts.report.cells import (
    Cell,
    Table,
    outcome_cell,
    ratio_cell,
    ratio_span,
    share_cell,
    source_cell,
    time_cell,
    times,
    times_interval,
    words,
)
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
from edgeacts.report.palette import Look
from edgeacts.report.variants import Setting, Timing, Variant, seen, timing_names

LOG_FROM = 3.0
"""Ratios whose largest is this many times the smallest are drawn on a logarithmic axis."""
Timed = Sequence[tuple[Variant, Timing]]


def timed_in(variants: Sequence[Variant], setting: Setting) -> list[tuple[Variant, Timing]]:
    """Everything timed in a setting, the fastest first."""
    found = [(variant, timing) for variant in variants for timing in variant.timings_in(setting)]
    return sorted(found, key=lambda pair: pair[1].series.median_ns)


def cost_plots(
    variants: Sequence[Variant], looks: Mapping[str, Look], settings: Sequence[Setting]
) -> list[Plot]:
    """Ratios with intervals, one plot a setting, the cheapest on top; a setting with one series has nothing to compare."""
    timed = [(setting, timed_in(variants, setting)) for setting in settings]
    compared = [(setting, found) for setting, found in timed if len(found) > 1]
    return [
        _cost(sorted(found, key=lambda pair: pair[1].series.ratio), looks, setting, index, variants)
        for index, (setting, found) in enumerate(compared[:MAX_PLOTS])
    ]


def _cost(
    found: Timed, looks: Mapping[str, Look], setting: Setting, index: int, variants: Sequence[Variant]
) -> Plot:
    drawn = list(zip(found, timing_names(found), strict=True))[:MAX_ROWS][::-1]
    low = min(1.0, *(timing.series.ratio_low for (_, timing), _ in drawn))
    high = max(1.0, *(timing.series.ratio_high for (_, timing), _ in drawn))
    axis = log_ticks(low, high) if high / low > LOG_FROM else {"nticks": 6}
    rows = row_axis([row_name(name, _told(timing)) for (_, timing), name in drawn])
    title = f"ratio{', log scale' if high / low > LOG_FROM else ''}"
    plot = blank(100 + 46 * len(drawn), title, xaxis=axis, yaxis=rows)
    _reference(plot, found, len(drawn))
    for row, ((variant, timing), name) in enumerate(drawn):
        series, look = timing.series, looks[variant.look]
        plot.add_scatter(
            x=[series.ratio],
            y=[row],
            mode="markers",
            marker=marker(look, 12, hollow=series.comparison == "cannot tell"),
            error_x={
                "array": [max(0.0, series.ratio_high - series.ratio)],
                "arrayminus": [max(0.0, series.ratio - series.ratio_low)],
                "color": look.light, "thickness": 2, "width": 5,
            },
            meta={"activation": variant.look, "precision": timing.precision, "model": variant.model},
            hovertemplate=(
                f"{safe(name)}: {series.comparison}<br>{times(series.ratio)} "
                f"({times_interval(series.ratio_low, series.ratio_high)})<extra></extra>"
            ),
        )  # fmt: skip
    told = ", ".join(f"{name} {_told(timing)}" for (_, timing), name in reversed(drawn))
    alt = f"Latency over the baseline's on {setting.name}, with intervals, the cheapest first: {told}."
    table = _cost_table(found, setting, index, variants)
    return Plot(f"cost-{index}", setting.name, alt, plot, table, _note(found))


def _told(timing: Timing) -> str:
    series = timing.series
    return "baseline" if series.comparison == "baseline" else f"{times(series.ratio)} {series.comparison}"


def _reference(plot: object, found: Timed, rows: int) -> None:
    """A line at 1, and the A/A interval as a band around it."""
    floor = next((timing.floor for _, timing in found if timing.floor), None)
    bottom, top = -0.6, rows - 0.4
    common = {"mode": "lines", "hoverinfo": "skip"}
    if floor is not None:
        low, high = floor.ratio_low, floor.ratio_high
        plot.add_scatter(  # type: ignore[attr-defined]
            x=[low, low, high, high], y=[bottom, top, top, bottom], fill="toself", fillcolor="rgba(128,128,128,0.25)",
            line={"width": 0, "color": SOFT}, **common,
        )  # fmt: skip
    line = {"color": INK, "width": 1, "dash": "dot"}
    plot.add_scatter(x=[1, 1], y=[bottom, top], line=line, **common)  # type: ignore[attr-defined]


def _note(found: Timed) -> str:
    confidence = {timing.record.confidence for _, timing in found}
    share = " and ".join(f"{100 * value:g} %" for value in sorted(confidence))
    note = f"Bars: {share} intervals over blocks; hollow: cannot tell."
    if any(timing.floor for _, timing in found):
        note += " Grey band: the baseline against its own copy (A/A)."
    return note


def _cost_table(found: Timed, setting: Setting, index: int, variants: Sequence[Variant]) -> Table:
    rows = []
    for (variant, timing), name in zip(found, timing_names(found), strict=True):
        series = timing.series
        rows.append(
            (
                Cell(name, variant.label if variant.label != name else ""),
                ratio_cell(series.ratio),
                ratio_span(series.ratio_low, series.ratio_high),
                outcome_cell(series.comparison),
                words(timing.reference),
                time_cell(series.median_ns),
                *_activation_shares(variants, timing),
                source_cell(timing.source),
            )
        )
    columns = (
        *("variant", "ratio", "interval", "verdict", "ratio to", "median", "in activations", "fused with one"),
        "source",
    )  # fmt: skip
    return Table(f"table-cost-{index}", f"Cost on {setting.name}", columns, tuple(rows))


def _activation_shares(variants: Sequence[Variant], timing: Timing) -> tuple[Cell, Cell]:
    """Shares of the time from a profile of the same file on the same runtime, where there is one."""
    for item in seen(variants, ProfileSeries):
        same = item.series.runtime == timing.setting.runtime
        if same and item.series.model_sha256 == timing.series.model_sha256:
            note = "by the profiler"
            return share_cell(item.series.activation_share, note, item.source), share_cell(
                item.series.fused_share
            )
    return Cell(number=True), Cell(number=True)
