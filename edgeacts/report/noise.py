"""Noise and circumstances: A/A floors, what the machine did meanwhile, and every time in the order it was taken."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from edgeacts.records import LatencyBlock, LatencyRecord, LatencySeries
from edgeacts.report.cells import (
    Cell,
    Table,
    block_medians,
    count_cell,
    figure,
    number,
    ratio_cell,
    ratio_span,
    share_cell,
    source_cell,
    time_cell,
    words,
)
from edgeacts.report.cost import LOG_FROM
from edgeacts.report.drawing import (
    MAX_PLOTS,
    MAX_ROWS,
    SOFT,
    Plot,
    blank,
    log_ticks,
    part_colours,
    safe,
    thinned,
    with_legend,
)  # fmt: skip
from edgeacts.report.evidence import Evidence, Problem, Sourced
from edgeacts.report.palette import SYMBOLS, Look
from edgeacts.report.variants import RUNTIME_NAMES, Variant

MAX_POINTS = 6000
MAX_BLOCKS = 400
"""Blocks drawn in a plot of the machine; of more, every so manieth."""
STEAL_TOLD, OTHER_TOLD = 0.05, 0.1
"""Mean shares from which a reader is told: below, an interleaved comparison hardly notices."""
Latencies = Sequence[Sourced[LatencyRecord]]


def floor_table(evidence: Evidence) -> Table | None:
    """The baseline against its own copy, per runtime and run."""
    rows = []
    for item in evidence.of(LatencyRecord):
        for floor in item.record.noise_floors:
            holds = floor.ratio_low <= 1 <= floor.ratio_high
            rows.append(
                (
                    words(RUNTIME_NAMES.get(floor.runtime, floor.runtime)),
                    ratio_cell(floor.ratio),
                    ratio_span(floor.ratio_low, floor.ratio_high),
                    Cell("holds 1", tone="good") if holds else Cell("does not hold 1", tone="bad"),
                    share_cell((floor.ratio_high - floor.ratio_low) / 2),
                    count_cell(len(floor.samples_ns)),
                    source_cell(item.source),
                )
            )
    columns = ("runtime", "ratio", "interval", "A/A", "half width", "samples", "source")
    note = "A/A: the baseline against its own copy in the same run. Differences within this interval mean nothing here."
    return Table("floors", "Noise floor", columns, tuple(rows), note=note) if rows else None


def machine_noise_table(evidence: Evidence) -> Table | None:
    """Per run: what hypervisor and other processes took, frequency and load, mean and largest over the blocks."""
    rows = [
        (words(item.source.path), *_meanwhile(item.record.blocks), source_cell(item.source))
        for item in evidence.of(LatencyRecord)
        if item.record.blocks
    ]
    columns = (
        *("benchmark", "blocks", "processes", "steal, mean", "steal, largest", "others, mean", "others, largest"),
        *("frequency", "load (1 min)", "source"),
    )  # fmt: skip
    note = "Steal: time the hypervisor took; others: time of other processes; both of all cores' time."
    return Table("machine-noise", "The machine meanwhile", columns, tuple(rows), note=note) if rows else None


def _meanwhile(blocks: Sequence[LatencyBlock]) -> tuple[Cell, ...]:
    return (
        count_cell(len(blocks)),
        count_cell(len({block.process for block in blocks})),
        *_mean_and_most([block.steal_share for block in blocks]),
        *_mean_and_most([block.other_share for block in blocks]),
        _range([block.frequency_mhz for block in blocks], "MHz"),
        _range([block.load_average_1min for block in blocks], ""),
    )


def _mean_and_most(values: Sequence[float | None]) -> tuple[Cell, Cell]:
    known = [value for value in values if value is not None]
    return (share_cell(sum(known) / len(known)), share_cell(max(known))) if known else (Cell(), Cell())


def _range(values: Sequence[float | None], unit: str) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return Cell(number=True)
    low, high = min(known), max(known)
    text = number(low) if low == high else f"{number(low)} to {number(high)}"
    return Cell(f"{text} {unit}".strip(), number=True, span=(low, high), unit=unit)


def noise_problems(evidence: Evidence) -> list[Problem]:
    """A/A intervals without 1, and machines that were busy with something else."""
    problems = []
    for item in evidence.of(LatencyRecord):
        record, where = item.record, item.source.path
        for floor in record.noise_floors:
            if not floor.ratio_low <= 1 <= floor.ratio_high:
                text = (
                    f"the baseline on {RUNTIME_NAMES.get(floor.runtime, floor.runtime)} differs from its own copy "
                    f"({floor.ratio_low:.3f} to {floor.ratio_high:.3f} ×): differences of that size mean nothing in this run"
                )
                problems.append(Problem(where, text))
        for told, limit, values in (
            ("the hypervisor", STEAL_TOLD, [block.steal_share for block in record.blocks]),
            ("other processes", OTHER_TOLD, [block.other_share for block in record.blocks]),
        ):
            known = [value for value in values if value is not None]
            if known and (mean := sum(known) / len(known)) > limit:
                problems.append(
                    Problem(where, f"{told} took {mean:.0%} of the machine while it was measured")
                )
    return problems


def time_plots(evidence: Evidence, variants: Sequence[Variant], looks: Mapping[str, Look]) -> list[Plot]:
    """Raw times in the order they were taken, one plot a file and runtime, and what the machine did meanwhile."""
    plots: list[Plot] = []
    activations = {
        (timing.source.number, timing.series.label): variant.look
        for variant in variants
        for timing in variant.timings
    }
    for item in evidence.of(LatencyRecord)[:MAX_PLOTS]:
        runtimes = list(dict.fromkeys(series.runtime for series in item.record.series))
        for runtime in runtimes[:MAX_PLOTS]:
            series = [one for one in item.record.series if one.runtime == runtime]
            shown = [(one, looks[activations[item.source.number, one.label]]) for one in series[:MAX_ROWS]]
            keys = [activations[item.source.number, one.label] for one in series[:MAX_ROWS]]
            plots.append(_over_time(item, runtime, shown, keys, len(plots)))
        if machine := _machine_plot(item, len(plots)):
            plots.append(machine)
    return plots


def _over_time(
    item: Sourced[LatencyRecord], runtime: str, shown: Sequence[tuple[LatencySeries, Look]],
    activations: Sequence[str], index: int,
) -> Plot:  # fmt: skip
    low = min(min(series.samples_ns) for series, _ in shown) / 1e6
    high = max(max(series.samples_ns) for series, _ in shown) / 1e6
    wide = high / low > LOG_FROM
    plot = blank(
        340, "seconds since the start", f"latency in ms{', log scale' if wide else ''}",
        yaxis=log_ticks(low, high) if wide else {},
    )  # fmt: skip
    _process_lines(plot, item.record.blocks, low, high)
    most = max(60, MAX_POINTS // len(shown))
    for (series, look), activation in zip(shown, activations, strict=True):
        kept = thinned(series.samples_ns, most)
        plot.add_scatter(
            x=[round(series.starts_ns[i] / 1e9, 4) for i in kept],
            y=[round(series.samples_ns[i] / 1e6, 6) for i in kept],
            mode="markers",
            marker={"color": look.light, "symbol": look.symbol, "size": 4, "opacity": 0.6},
            meta={"activation": activation},
            hovertemplate=f"{safe(series.label)}<br>%{{x:.1f}} s<br>%{{y:.4g}} ms<extra></extra>",
        )
    name = RUNTIME_NAMES.get(runtime, runtime)
    count = sum(len(series.samples_ns) for series, _ in shown)
    blocks = item.record.blocks
    alt = (
        f"{count} times on {name} in the order they were taken, from {low:.3g} to {high:.3g} ms, "
        f"in {len(blocks)} blocks of {len({block.process for block in blocks})} processes ({item.source.path})."
    )
    note = "Dotted lines: a fresh process begins. Times that stand out are drawn, never cut."
    return Plot(
        f"over-time-{index}",
        f"{name} ({item.source.path})",
        alt,
        plot,
        _block_table(item, runtime, index),
        note,
    )


def _process_lines(plot: Any, blocks: Sequence[LatencyBlock], low: float, high: float) -> None:
    starts: dict[int, float] = {}
    for block in blocks:
        starts.setdefault(block.process, block.start_ns / 1e9)
    x = [value for start in list(starts.values())[:100] for value in (start, start, None)]
    y = [value for _ in list(starts.values())[:100] for value in (low, high, None)]
    line = {"color": SOFT, "width": 1, "dash": "dot"}
    plot.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip")


def _block_table(item: Sourced[LatencyRecord], runtime: str, index: int) -> Table:
    record = item.record
    series = [one for one in record.series if one.runtime == runtime][:MAX_ROWS]
    medians = [block_medians(one) for one in series]
    rows = tuple(
        (
            Cell(str(number), number=True, value=number),
            count_cell(block.process),
            count_cell(block.start_ns / 1e9, "s", 1),
            count_cell(block.seconds, "s", 2),
            *(time_cell(found.get(number)) for found in medians),
            share_cell(block.steal_share),
            share_cell(block.other_share),
            count_cell(block.frequency_mhz, "MHz"),
            count_cell(block.load_average_1min, "", 2),
            source_cell(item.source),
        )
        for number, block in enumerate(record.blocks)
    )
    columns = (
        *("block", "process", "start in s", "seconds"),
        *(f"median {one.label}" for one in series),
        *("steal", "others", "MHz", "load", "source"),
    )
    name = RUNTIME_NAMES.get(runtime, runtime)
    return Table(f"table-over-time-{index}", f"Blocks on {name}", columns, rows)


def _machine_plot(item: Sourced[LatencyRecord], index: int) -> Plot | None:
    """Steal, others and load as shares of the machine; frequency as a share of its highest."""
    record = item.record
    blocks = record.blocks[:: max(1, -(-len(record.blocks) // MAX_BLOCKS))]
    highest = max((block.frequency_mhz or 0 for block in record.blocks), default=0)
    cores = max(1, record.circumstances.cpu_count)
    lines: dict[str, list[float | None]] = {
        "hypervisor (steal)": [block.steal_share for block in blocks],
        "other processes": [block.other_share for block in blocks],
        "load per core": [
            None if b.load_average_1min is None else b.load_average_1min / cores for b in blocks
        ],
        "frequency": [b.frequency_mhz / highest if b.frequency_mhz else None for b in blocks],
    }
    lines = {name: y for name, y in lines.items() if any(value is not None for value in y)}
    if not lines:
        return None
    plot = with_legend(
        blank(300, "seconds since the start", "share", yaxis={"tickformat": ".0~%", "rangemode": "tozero"})
    )
    x = [round(block.start_ns / 1e9, 3) for block in blocks]
    for (name, y), colour, symbol in zip(lines.items(), part_colours(lines).values(), SYMBOLS, strict=False):
        plot.add_scatter(
            x=x, y=y, mode="lines+markers", name=name,
            line={"color": colour, "width": 1.5, "shape": "hv"}, marker={"color": colour, "symbol": symbol, "size": 5},
            hovertemplate=f"{name}<br>%{{x:.1f}} s<br>%{{y:.1%}}<extra></extra>",
        )  # fmt: skip
    told = ", ".join(f"{name} {median([v for v in y if v is not None]):.1%}" for name, y in lines.items())
    alt = f"The machine during {item.source.path}, medians: {told}."
    note = (
        f"Load: processes that want to run, per core. Frequency: share of the highest seen, {highest:.0f} MHz."
        if highest
        else ""
    )
    rows = tuple((words(name), *_mean_and_most(y), source_cell(item.source)) for name, y in lines.items())
    table = Table(
        f"table-meanwhile-{index}", "The machine over time", ("what", "mean", "largest", "source"), rows
    )
    return Plot(f"meanwhile-{index}", f"The machine ({item.source.path})", alt, plot, table, note)


def benchmark_table(evidence: Evidence) -> Table | None:
    """How each benchmark was taken, and why it ended."""
    rows = [
        (words(item.source.path), *_benchmark(item.record), source_cell(item.source))
        for item in evidence.of(LatencyRecord)
    ]
    columns = (
        *("benchmark", "processes", "blocks", "warm-up rounds", "threads", "batch", "seed", "confidence"),
        *("half width asked", "reached", "time allowed", "time taken", "ended by", "source"),
    )
    return Table("benchmarks", "How it was timed", columns, tuple(rows)) if rows else None


def _benchmark(record: LatencyRecord) -> tuple[Cell, ...]:
    counts = (record.processes, len(record.blocks), record.warmup_rounds, record.threads, record.batch)
    return (
        *map(count_cell, counts),
        figure(str(record.seed)),
        share_cell(record.confidence),
        share_cell(record.precision_asked),
        share_cell(record.precision_reached),
        count_cell(record.budget_s, "s"),
        count_cell(record.seconds, "s"),
        words(record.stopped),
    )
