"""Cold start and memory as stacked parts; paced runs, sustained runs and throughput as what varies."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeacts.records import ColdSeries, MemorySeries, PacedSeries, SustainedSeries, ThroughputSeries
from edgeacts.report.cells import (
    Cell,
    Table,
    bytes_cell,
    count_cell,
    figure,
    median_interval,
    megabytes,
    milliseconds,
    ratio_cell,
    ratio_span,
    share_cell,
    source_cell,
    time_cell,
    time_span,
    words,
)
from edgeacts.report.drawing import (
    MAX_ROWS,
    Plot,
    blank,
    line,
    marker,
    row_axis,
    row_name,
    safe,
    stacked,
)  # fmt: skip
from edgeacts.report.palette import Look
from edgeacts.report.timing import QUANTILES, box_figure
from edgeacts.report.variants import Seen, Variant, executed_precision, seen, short_names

MAX_WINDOWS = 600
Parts = Mapping[str, Callable[[Any], float]]
COLD_PARTS: Parts = {
    "process and imports": lambda s: max(
        0.0, s.median_to_first_result_ns - s.median_opening_ns - s.median_first_run_ns
    ),
    "opening the session": lambda s: s.median_opening_ns,
    "first run": lambda s: s.median_first_run_ns,
}
MEMORY_PARTS: Parts = {
    "the runtime": lambda s: s.runtime_resident_bytes,
    "the open session": lambda s: max(0, s.open_resident_bytes - s.runtime_resident_bytes),
    "running": lambda s: max(0, s.peak_resident_bytes - s.open_resident_bytes),
}


def names_of(items: Sequence[Seen[Any]]) -> list[str]:
    """A name per series: variant and runtime, with the precision where they differ."""
    names = short_names({item.variant.label: item.variant for item in items}.values())
    precisions = [executed_precision(item.series.executed) for item in items]
    several = len(set(precisions)) > 1
    return [
        " ".join(
            (names[item.variant.label], *([precision] if several and precision else []), item.runtime_name)
        )
        for item, precision in zip(items, precisions, strict=True)
    ]


def parts_plot(name: str, title: str, items: Sequence[Seen[Any]], parts: Parts, axis: str, table: Table, note: str,
               told: Callable[[Any], str]) -> Plot:  # fmt: skip
    """Bars of parts, the shortest on top; values are drawn in millions: milliseconds of ns, megabytes of bytes."""
    named = list(zip(items, names_of(items), strict=True))
    named.sort(key=lambda pair: -sum(part(pair[0].series) for part in parts.values()))
    drawn = named[-MAX_ROWS:]
    plot = stacked(
        [row_name(*_two(text, item)) for item, text in drawn],
        {part: [round(value(item.series) / 1e6, 6) for item, _ in drawn] for part, value in parts.items()},
        axis,
        ".4g",
    )
    alt = f"{title}: {', '.join(f'{text} {told(item.series)}' for item, text in reversed(drawn))}."
    return Plot(name, title, alt, plot, table, note)


def _two(text: str, item: Seen[Any]) -> tuple[str, str]:
    """Name and runtime on a line each."""
    return text.removesuffix(item.runtime_name).rstrip(), item.runtime_name


def cold_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Process start to the first result, in its parts."""
    items = seen(variants, ColdSeries)
    if not items:
        return []
    rows = []
    for item, name in zip(items, names_of(items), strict=True):
        series = item.series
        rows.append(
            (
                words(name),
                time_cell(series.median_to_first_result_ns),
                time_span(*median_interval(series.to_first_result_ns)),
                *(time_cell(part(series)) for part in COLD_PARTS.values()),
                count_cell(len(series.to_first_result_ns)),
                source_cell(item.source),
            )
        )
    columns = ("variant", "to the first result", "95 % interval", *COLD_PARTS, "processes", "source")
    table = Table("table-cold", "Cold start", columns, tuple(rows))
    note = "Medians over fresh processes, from the start of the process to its first result."
    return [
        parts_plot("cold", "Cold start", items, COLD_PARTS, "milliseconds", table, note,
                   lambda s: milliseconds(s.median_to_first_result_ns))
    ]  # fmt: skip


def memory_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Resident memory: the runtime's, the session's, what running adds."""
    items = seen(variants, MemorySeries)
    if not items:
        return []
    rows = []
    for item, name in zip(items, names_of(items), strict=True):
        series = item.series
        sizes = (
            *(series.file_bytes, series.runtime_resident_bytes, series.open_resident_bytes),
            *(series.opening_peak_bytes, series.peak_resident_bytes, series.arena_bytes),
        )
        rows.append((words(name), *map(bytes_cell, sizes), source_cell(item.source)))
    columns = (
        "variant", "file", "with the runtime", "session open", "peak while opening", "peak while running", "arena", "source",
    )  # fmt: skip
    table = Table("table-memory", "Memory", columns, tuple(rows))
    note = "Resident memory of a fresh process each: with the runtime imported, with the session open, at its peak while running."
    return [
        parts_plot("memory", "Memory", items, MEMORY_PARTS, "megabytes", table, note,
                   lambda s: megabytes(s.peak_resident_bytes))
    ]  # fmt: skip


def paced_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Times of single frames with pauses between them, as a camera calls."""
    items = seen(variants, PacedSeries)
    if not items:
        return []
    named = sorted(zip(items, names_of(items), strict=True), key=lambda pair: pair[0].series.median_ns)
    drawn = named[:MAX_ROWS][::-1]
    boxes = [(row_name(*_two(name, item)), looks[item.variant.look]) for item, name in drawn]
    plot = box_figure(boxes, [item.series.samples_ns for item, _ in drawn], "ms a frame")
    for trace, (item, _) in zip(plot.data, drawn, strict=True):
        trace.meta = {"activation": item.variant.look}
    rows = []
    for item, name in named:
        series = item.series
        rows.append(
            (
                words(name),
                count_cell(item.record.rate_hz, "Hz", 1),
                time_cell(series.median_ns),
                time_cell(series.unpaced_median_ns),
                *(time_cell(series.quantiles_ns.get(quantile)) for quantile in QUANTILES[1:]),
                Cell(f"{series.late} of {series.frames}", number=True, value=series.late, unit="frames"),
                share_cell(series.busy_share),
                source_cell(item.source),
            )
        )
    columns = (
        "variant",
        "frames a second",
        "median",
        "without pauses",
        "p90",
        "p99",
        "late",
        "busy",
        "source",
    )
    table = Table("table-paced", "Paced", columns, tuple(rows))
    rates = " and ".join(f"{rate:g}" for rate in sorted({item.record.rate_hz for item in items}))
    told = ", ".join(
        f"{name} {milliseconds(item.series.median_ns)}, {item.series.late} late"
        for item, name in named[:MAX_ROWS]
    )
    note = "The machine is idle between frames, so clocks and caches cool down. Late: not done when the next frame came."
    return [
        Plot(
            "paced",
            f"Paced at {rates} frames a second",
            f"Latency of paced frames: {told}.",
            plot,
            table,
            note,
        )
    ]


def sustained_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Medians of windows over minutes: the ranking at the end need not be that at the start."""
    items = seen(variants, SustainedSeries)
    if not items:
        return []
    plot = blank(340, "minutes", "over the first window")
    named = list(zip(items, names_of(items), strict=True))
    for item, name in named[:MAX_ROWS]:
        series, look = item.series, looks[item.variant.look]
        step = max(1, -(-len(series.window_median_ns) // MAX_WINDOWS))
        medians = series.window_median_ns[::step]
        plot.add_scatter(
            x=[round((i * step + 0.5) * series.window_s / 60, 4) for i in range(len(medians))],
            y=[round(ns / series.window_median_ns[0], 6) for ns in medians],
            customdata=[round(ns / 1e6, 6) for ns in medians],
            mode="lines+markers" if len(medians) <= 60 else "lines",
            line=line(look), marker=marker(look, 6), meta={"activation": item.variant.look},
            hovertemplate=f"{safe(name)}<br>minute %{{x:.1f}}<br>%{{customdata:.4g}} ms, %{{y:.3f}} ×<extra></extra>",
        )  # fmt: skip
    rows = tuple(_sustained(item, name) for item, name in named)
    columns = (
        *("variant", "first window", "last window", "drift", "interval of it", "verdict", "minutes", "runs"),
        *("frequency", "source"),
    )
    table = Table("table-sustained", "Sustained", columns, rows)
    told = ", ".join(f"{name} {item.series.drift:.3f} times" for item, name in named[:MAX_ROWS])
    note = "Medians of windows over that of the first window. Drift: the last third of the time over the first third."
    return [
        Plot("sustained", "Sustained", f"Drift while running without a pause: {told}.", plot, table, note)
    ]


def _sustained(item: Seen[SustainedSeries], name: str) -> tuple[Cell, ...]:
    series = item.series
    frequencies = [mhz for mhz in series.window_frequency_mhz if mhz is not None]
    drifted = "slower" if series.drift_low > 1 else "faster" if series.drift_high < 1 else "cannot tell"
    tone = {"slower": "slow", "faster": "fast", "cannot tell": "unsure"}[drifted]
    return (
        words(name),
        time_cell(series.window_median_ns[0]),
        time_cell(series.window_median_ns[-1]),
        ratio_cell(series.drift),
        ratio_span(series.drift_low, series.drift_high),
        Cell(drifted, tone=tone),
        count_cell(len(series.window_median_ns) * series.window_s / 60, "min", 1),
        count_cell(sum(series.window_runs)),
        figure(f"{min(frequencies):.0f} to {max(frequencies):.0f} MHz" if frequencies else "–"),
        source_cell(item.source),
    )


def throughput_plots(variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Items a second with their interval, the most on top."""
    items = seen(variants, ThroughputSeries)
    if not items:
        return []
    named = sorted(zip(items, names_of(items), strict=True), key=lambda pair: -pair[0].series.items_per_s)
    drawn = named[:MAX_ROWS][::-1]
    rows_axis = row_axis(
        [row_name(name.removesuffix(item.runtime_name).rstrip(), _load(item)) for item, name in drawn]
    )
    plot = blank(
        100 + 46 * len(drawn), "items a second", xaxis={"rangemode": "tozero", "nticks": 4}, yaxis=rows_axis
    )
    for row, (item, name) in enumerate(drawn):
        series, look = item.series, looks[item.variant.look]
        value, low, high = series.items_per_s, series.items_per_s_low, series.items_per_s_high
        plot.add_scatter(
            x=[value], y=[row], mode="markers", marker=marker(look, 12), meta={"activation": item.variant.look},
            error_x={"array": [max(0.0, high - value)], "arrayminus": [max(0.0, value - low)], "color": look.light,
                     "thickness": 2, "width": 5},
            hovertemplate=f"{safe(name)}, {safe(_load(item))}<br>{value:.4g} ({low:.4g} to {high:.4g})<extra></extra>",
        )  # fmt: skip
    rows = tuple(
        (
            words(name),
            count_cell(item.series.batch),
            count_cell(item.series.streams),
            count_cell(item.series.items_per_s, "items/s", 1),
            Cell(f"{item.series.items_per_s_low:,.1f} to {item.series.items_per_s_high:,.1f}", number=True, unit="items/s",
                 span=(item.series.items_per_s_low, item.series.items_per_s_high)),
            count_cell(len(item.series.window_items_per_s)),
            source_cell(item.source),
        )
        for item, name in named
    )  # fmt: skip
    columns = ("variant", "batch", "streams", "items a second", "interval", "windows", "source")
    told = ", ".join(f"{name} {item.series.items_per_s:.1f}" for item, name in named[:MAX_ROWS])
    table = Table("table-throughput", "Throughput", columns, rows)
    note = "As many items as possible, whatever each one's latency: batch × streams. Bars: interval over windows."
    return [Plot("throughput", "Throughput", f"Items a second: {told}.", plot, table, note)]


def _load(item: Seen[ThroughputSeries]) -> str:
    short = {"accelerated ONNX Runtime": "accelerated"}.get(item.runtime_name, item.runtime_name)
    return f"{short} {item.series.batch} × {item.series.streams}"
