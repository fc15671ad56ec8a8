"""Where the time goes: operators by the runtime's own profiler, and the share of the activations."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from edgeacts.records import ProfileSeries
from edgeacts.report.cells import Table, count_cell, percent, share_cell, source_cell, time_cell, words
from edgeacts.report.drawing import MAX_ROWS, Plot, row_name, stacked
from edgeacts.report.modes import names_of
from edgeacts.report.variants import Seen, Variant, seen

MAX_PARTS = 7
"""Sorts of operators with a colour of their own; the others are one part."""
ACTIVATION_PARTS = ("activations alone", "fused with one", "the rest")
REST = "all others"
Items = Sequence[tuple[Seen[ProfileSeries], str]]


def profile_plots(variants: Sequence[Variant]) -> list[Plot]:
    """Share of the time in activations, and by sort of operator."""
    items = seen(variants, ProfileSeries)
    named = list(zip(items, names_of(items), strict=True))
    return [_activations(named), _operators(named)] if named else []


def _shares(series: ProfileSeries) -> tuple[float, float, float]:
    alone, fused = series.activation_share, series.fused_share
    return alone, fused, max(0.0, 1 - alone - fused)


def _activations(named: Items) -> Plot:
    drawn = sorted(named, key=lambda pair: -pair[0].series.activation_share)[:MAX_ROWS]
    parts = {part: [_shares(item.series)[i] for item, _ in drawn] for i, part in enumerate(ACTIVATION_PARTS)}
    plot = _stack(drawn, parts)
    rows = tuple(
        (
            words(name),
            *map(share_cell, _shares(item.series)),
            time_cell(item.series.total_ns),
            time_cell(item.series.whole_run_ns),
            count_cell(item.series.activations),
            words(", ".join(item.series.unaccounted) or "none"),
            count_cell(item.series.runs),
            source_cell(item.source),
        )
        for item, name in named
    )
    columns = ("variant", *ACTIVATION_PARTS, "operators of a run", "whole run", "activations", "without an operator",
               "runs", "source")  # fmt: skip
    table = Table("table-activation-share", "Share of the time in activations", columns, rows)
    told = ", ".join(f"{name} {percent(item.series.activation_share)} alone" for item, name in drawn)
    note = "By the runtime's own profiler. Fused: the operator carries out an activation together with something else."
    title = "Share of the time in activations"
    return Plot("activation-share", title, f"{title}: {told}.", plot, table, note)


def _operators(named: Items) -> Plot:
    totals: dict[str, float] = defaultdict(float)
    for item, _ in named:
        for operator in item.series.operators:
            totals[operator.operator] += operator.share
    sorts = sorted(totals, key=lambda name: -totals[name])[:MAX_PARTS]
    drawn = named[:MAX_ROWS][::-1]
    parts: dict[str, list[float]] = {sort: [] for sort in sorts}
    for item, _ in drawn:
        for sort in sorts:
            parts[sort].append(sum(o.share for o in item.series.operators if o.operator == sort))
    if len(totals) > len(sorts):
        parts[REST] = [
            sum(o.share for o in item.series.operators if o.operator not in sorts) for item, _ in drawn
        ]
    alt = f"Share of the time by operator; the largest: {', '.join(sorts[:3])}."
    table = _operator_table(named)
    return Plot(
        "operators",
        "By operator",
        alt,
        _stack(drawn, parts),
        table,
        "Each operator of the executed graph is in the table.",
    )


def _stack(drawn: Items, parts: Mapping[str, Sequence[float]]) -> Any:
    rows = [
        row_name(name.removesuffix(item.runtime_name).rstrip(), item.runtime_name) for item, name in drawn
    ]
    return stacked(rows, parts, "share of a run", ".1%", tickformat=".0~%")


def _operator_table(named: Items) -> Table:
    rows = tuple(
        (
            words(name),
            words(operator.name),
            words(operator.operator),
            words(", ".join(operator.layers) or "–"),
            words(operator.activation or "–"),
            time_cell(operator.duration_ns),
            share_cell(operator.share),
            source_cell(item.source),
        )
        for item, name in named
        for operator in sorted(item.series.operators, key=lambda o: -o.duration_ns)
    )
    columns = ("variant", "operator", "sort", "layers", "activation", "time of a run", "share", "source")
    return Table("table-operators", "Operators", columns, rows)
