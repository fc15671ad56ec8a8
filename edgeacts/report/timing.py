"""What it costs: accuracy against latency, and distributions of latency, one plot per setting."""

from collections.abc import Mapping, Sequence
from math import log10

from edgeacts.report.cells import (
    Table,
    figure,
    median_interval,
    milliseconds,
    percent,
    source_cell,
    times,
    words,
)
from edgeacts.report.drawing import Plot, blank, log_ticks, marker, row_name, safe
from edgeacts.report.learning import trained
from edgeacts.report.palette import Look
from edgeacts.report.placement import place_labels
from edgeacts.report.variants import Setting, Timing, Variant, short_names

MAX_POINTS = 1000
"""Raw times drawn per series; from a longer one, evenly spaced order statistics (tables use all)."""
LOG_FROM = 3.0
"""Times whose largest is this many times the smallest are drawn on a logarithmic axis."""
Timed = Sequence[tuple[Variant, Timing]]
Tested = Sequence[tuple[Variant, Timing, float]]


def tradeoff_plots(
    variants: Sequence[Variant], looks: Mapping[str, Look], settings: Sequence[Setting]
) -> list[Plot]:
    """Accuracy against median latency."""
    plots = []
    for index, setting in enumerate(settings):
        found = [(v, v.timing(setting), item.record.test_accuracy) for v, item in trained(variants)]
        points = [(v, timing, accuracy) for v, timing, accuracy in found if timing]
        if points:
            plots.append(_tradeoff(points, looks, setting, index))
    return plots


def _tradeoff(points: Tested, looks: Mapping[str, Look], setting: Setting, index: int) -> Plot:
    ms = [timing.series.median_ns / 1e6 for _, timing, _ in points]
    y = [accuracy for _, _, accuracy in points]
    x_axis, room = log_ticks(min(ms), max(ms)), 0.18 * max(max(y) - min(y), 0.005)
    y_axis = {"tickformat": ".1~%", "range": [min(y) - room, max(y) + room], "nticks": 6}
    names = short_names([variant for variant, _, _ in points])
    (x_low, x_high), (y_low, y_high) = x_axis["range"], (min(y) - room, max(y) + room)
    places = [
        ((log10(a) - x_low) / (x_high - x_low), (b - y_low) / (y_high - y_low))
        for a, b in zip(ms, y, strict=True)
    ]
    sides = place_labels(places, [names[variant.label] for variant, _, _ in points])
    plot = blank(390, "median latency in ms, log scale", "test accuracy", xaxis=x_axis, yaxis=y_axis)
    models = list(dict.fromkeys(variant.model for variant, _, _ in points))
    for (variant, _, accuracy), x, side in zip(points, ms, sides, strict=True):
        plot.add_scatter(
            x=[x],
            y=[accuracy],
            text=[safe(names[variant.label])],
            textposition=side or "middle right",
            mode="markers+text" if side else "markers",
            cliponaxis=False,
            marker=marker(looks[variant.look], 12, hollow=variant.model != models[0]),
            meta={"activation": variant.look},
            hovertemplate=f"{safe(variant.label)}<br>{x:.3g} ms<br>{accuracy:.2%}<extra></extra>",
        )
    note = "Upper left is better."
    if len(models) > 1:
        note += f" Filled: {models[0]}; hollow: {', '.join(models[1:])}."
    if "" in sides:
        note += " Points without room for a name are named in the key and in the table."
    told = ", ".join(f"{v.label} {milliseconds(t.series.median_ns)} {percent(a)}" for v, t, a in points)
    alt = f"Test accuracy against median latency on {setting.name}: {told}."
    table = _tradeoff_table(points, setting, index)
    return Plot(f"tradeoff-{index}", setting.name, alt, plot, table, note)


def _tradeoff_table(points: Tested, setting: Setting, index: int) -> Table:
    rows = []
    for variant, timing, accuracy in points:
        cells = (percent(accuracy), milliseconds(timing.series.median_ns), times(timing.series.ratio))
        sources = (variant.training.source, timing.source) if variant.training else (timing.source,)
        rows.append((words(variant.label), *map(figure, cells), source_cell(*sources)))
    columns = ("variant", "test accuracy", "median latency", "ratio", "source")
    return Table(f"table-tradeoff-{index}", f"Accuracy and latency on {setting.name}", columns, tuple(rows))


def latency_plots(
    variants: Sequence[Variant], looks: Mapping[str, Look], settings: Sequence[Setting]
) -> list[Plot]:
    """A box with the raw times per variant, the fastest on top."""
    plots = []
    for index, setting in enumerate(settings):
        timed = [(v, timing) for v in variants if (timing := v.timing(setting))]
        timed.sort(key=lambda pair: -pair[1].series.median_ns)
        plots.append(_distribution(timed, looks, setting, index))
    return plots


def _distribution(timed: Timed, looks: Mapping[str, Look], setting: Setting, index: int) -> Plot:
    low = min(min(timing.series.samples_ns) for _, timing in timed) / 1e6
    high = max(max(timing.series.samples_ns) for _, timing in timed) / 1e6
    wide = high / low > LOG_FROM
    names = short_names([variant for variant, _ in timed])
    title = f"latency in ms{', log scale' if wide else ''}"
    axis = log_ticks(low, high) if wide else {"nticks": 6}
    plot = blank(100 + 50 * len(timed), title, xaxis=axis, yaxis={"showgrid": False})
    for variant, timing in timed:
        colour = looks[variant.look].light
        plot.add_box(
            x=[round(ns / 1e6, 6) for ns in _thinned(timing.series.samples_ns)],
            name=row_name(names[variant.label]),
            orientation="h",
            boxpoints="all",
            jitter=0.5,
            pointpos=-1.9,
            marker={"color": colour, "size": 4, "opacity": 0.4},
            line={"color": colour, "width": 1.8},
            fillcolor="rgba(0,0,0,0)",
            width=0.34,
            meta={"activation": variant.look},
            hoveron="boxes",
        )
    told = ", ".join(f"{v.label} {milliseconds(timing.series.median_ns)}" for v, timing in reversed(timed))
    alt = f"Distributions of latency on {setting.name}; medians: {told}."
    note = "Box: quartiles and median; dots: single inferences, taken with the variants in turn."
    return Plot(
        f"latency-{index}", setting.name, alt, plot, _latency_table(timed[::-1], setting, index), note
    )


def _thinned(samples: tuple[int, ...]) -> Sequence[int]:
    if len(samples) <= MAX_POINTS:
        return samples
    ordered, last = sorted(samples), len(samples) - 1
    return [ordered[round(i * last / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]


def _latency_table(timed: Timed, setting: Setting, index: int) -> Table:
    rows = []
    for variant, timing in timed:
        series = timing.series
        low, high = (milliseconds(ns) for ns in median_interval(series.samples_ns))
        span = f"{milliseconds(min(series.samples_ns))} to {milliseconds(max(series.samples_ns))}"
        cells = (
            milliseconds(series.median_ns),
            f"{low} to {high}",
            milliseconds(series.p95_ns),
            times(series.ratio),
        )
        rest = (figure(span), figure(str(len(series.samples_ns))), source_cell(timing.source))
        rows.append((words(variant.label), *map(figure, cells), words(timing.reference), *rest))
    columns = (
        "variant",
        "median",
        "95 % interval of it",
        "p95",
        "ratio",
        "ratio to",
        "range",
        "samples",
        "source",
    )
    return Table(f"table-latency-{index}", f"Latency on {setting.name}", columns, tuple(rows))
