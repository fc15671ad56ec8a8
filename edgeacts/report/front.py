"""The accuracy-latency front: every network, float and INT8, on every runtime, with intervals, and what is best of all.

A point is on the front when no other is at least as accurate and faster. One that is off it, but whose intervals reach those
of every better point, may be on it: this run cannot tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

from edgeacts.report.accuracies import Accuracy
from edgeacts.report.cells import (
    Cell,
    Table,
    latency_interval,
    milliseconds,
    percent,
    ratio_cell,
    share_cell,
    share_span,
    source_cell,
    time_cell,
    time_span,
    times,
    words,
)
from edgeacts.report.drawing import MAX_PLOTS, SOFT, Filter, Plot, blank, log_ticks, marker, safe
from edgeacts.report.palette import Look
from edgeacts.report.parity import changed_cell, comparisons, parity_outcome
from edgeacts.report.placement import place_labels
from edgeacts.report.variants import Setting, Timing, Variant, measured_accuracies, timing_names

MAX_POINTS = 200
FILLINGS = ("", "-open", "-dot", "-open-dot")
FILLING_WORDS = ("filled", "hollow", "filled with a dot", "hollow with a dot")


@dataclass(frozen=True)
class Point:
    """One variant as it ran in one setting: latency and accuracy, each with its interval."""

    variant: Variant
    timing: Timing
    name: str
    measured: Accuracy
    latency_ns: float
    latency_span: tuple[float, float]

    @property
    def accuracy(self) -> float:
        """Share of the test images."""
        return self.measured.share

    @property
    def accuracy_span(self) -> tuple[float, float]:
        """The interval of that."""
        return self.measured.interval

    @property
    def refused(self) -> str:
        """Why it is drawn but is no choice: its parity or its accuracy gate failed; "" where it is one."""
        return "parity failed" if parity_outcome(self.variant) == "fail" else self.measured.refused

    def clearly_behind(self, other: "Point") -> bool:
        """Whether `other` is more accurate and faster, and not an interval reaches across."""
        slower = other.latency_span[1] < self.latency_span[0]
        return slower and other.accuracy_span[0] > self.accuracy_span[1]


def points(variants: Sequence[Variant], settings: Sequence[Setting]) -> list[Point]:
    """A point per variant, setting and executed precision, where the variant's accuracy is known and holds."""
    found = [
        (variant, timing, accuracy)
        for setting in settings
        for variant, accuracy in measured_accuracies(variants)
        if accuracy.holds_in(setting.runtime)
        for timing in variant.timings_in(setting)
    ]
    names = timing_names([(variant, timing) for variant, timing, _ in found])
    return [
        Point(
            variant=variant,
            timing=timing,
            name=name,
            measured=accuracy,
            latency_ns=timing.series.median_ns,
            latency_span=latency_interval(timing.series),
        )
        for (variant, timing, accuracy), name in zip(found, names, strict=True)
    ]


def front(found: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both, the fastest first; failed parity or a failed gate rules a point out."""
    best: list[Point] = []
    for point in sorted(found, key=lambda p: (p.latency_ns, -p.accuracy)):
        if not point.refused and (not best or point.accuracy > best[-1].accuracy):
            best.append(point)
    return best


def standing(point: Point, found: Sequence[Point], best: Sequence[Point]) -> str:
    """In words: on the front, clearly behind, or neither."""
    if point.refused:
        return point.refused
    if point in best:
        return "on the front"
    better = any(point.clearly_behind(other) for other in found if not other.refused)
    return "behind" if better else "cannot tell"


def front_plots(
    variants: Sequence[Variant], looks: Mapping[str, Look], settings: Sequence[Setting]
) -> list[Plot]:
    """All settings in one plot, then each on its own; one plot when there is one setting."""
    whole = points(variants, settings)
    parts = [(setting, [p for p in whole if p.timing.setting == setting]) for setting in settings]
    parts = [(setting, part) for setting, part in parts if part]
    plots = []
    if len(parts) > 1:
        title = "All runtimes together"
        plots.append(_front("front", title, whole[:MAX_POINTS], looks, [s for s, _ in parts]))
    for index, (setting, part) in enumerate(parts[:MAX_PLOTS]):
        plots.append(_front(f"tradeoff-{index}", setting.name, part[:MAX_POINTS], looks, [setting]))
    return plots


def _front(
    name: str, title: str, found: Sequence[Point], looks: Mapping[str, Look], settings: Sequence[Setting]
) -> Plot:
    best, several = front(found), len(settings) > 1
    groups = list(dict.fromkeys(_group(point, several) for point in found))
    x_axis, y_axis = _axes(found)
    labels = [_label(point, best, several) for point in found]
    sides = place_labels(_places(found, x_axis["range"], y_axis["range"]), labels, "bottom right")
    height, x_title = 460 if several else 390, "median latency in ms, log scale"
    plot = blank(height, x_title, "test accuracy", xaxis=x_axis, yaxis=y_axis)
    plot.add_scatter(
        x=[point.latency_ns / 1e6 for point in best],
        y=[point.accuracy for point in best],
        mode="lines",
        line={"color": SOFT, "width": 1.5, "shape": "hv", "dash": "dot"},
        meta={"front": True},
        hoverinfo="skip",
    )
    for point, label, side in zip(found, labels, sides, strict=True):
        filling = FILLINGS[groups.index(_group(point, several)) % len(FILLINGS)]
        _draw(plot, point, looks[point.variant.look], filling, label if side else "", side)
    told = ", ".join(
        f"{p.variant.label} on {p.timing.setting.name} {milliseconds(p.latency_ns)} {percent(p.accuracy)}"
        for p in best
    )
    alt = f"Test accuracy against median latency ({title}). On the front: {told or 'nothing'}."
    reasons = " or ".join(dict.fromkeys(point.refused for point in found if point.refused))
    pale = f"Pale: {reasons}, no choice. " if reasons else ""
    pale += "Small: INT8. " if any(point.variant.in_8_bits for point in found) else ""
    note = pale + _note(groups, "" in [side for side, label in zip(sides, labels, strict=True) if label])
    return Plot(
        name, title, alt, plot, _table(name, title, found, best), note, several, _filters(found, several)
    )


def _group(point: Point, several: bool) -> str:
    return point.timing.setting.name if several else point.variant.model


def _label(point: Point, best: Sequence[Point], several: bool) -> str:
    """With several settings only the front is named, with its runtime: all points would cover each other."""
    if not several:
        return point.name
    return f"{point.name}, {point.timing.setting.runtime_name}" if point in best else ""


def _axes(found: Sequence[Point]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Room for all points and most of their intervals; a long interval does not squeeze the points together."""
    ms = [point.latency_ns / 1e6 for point in found]
    y = [point.accuracy for point in found]
    low, high = min(y), max(y)
    reach = max(high - low, 0.01)
    bottom = max(min(p.accuracy_span[0] for p in found), low - 1.5 * reach)
    top = min(max(p.accuracy_span[1] for p in found), high + 1.5 * reach)
    room = 0.06 * (top - bottom)
    return log_ticks(min(ms), max(ms)), {
        "tickformat": ".1~%",
        "range": [bottom - room, top + room],
        "nticks": 6,
    }


def _places(
    found: Sequence[Point], x_range: Sequence[float], y_range: Sequence[float]
) -> list[tuple[float, float]]:
    (x_low, x_high), (y_low, y_high) = x_range, y_range
    return [
        ((log10(p.latency_ns / 1e6) - x_low) / (x_high - x_low), (p.accuracy - y_low) / (y_high - y_low))
        for p in found
    ]


def _draw(plot: Any, point: Point, look: Look, filling: str, label: str, side: str) -> None:
    low, high = (ns / 1e6 for ns in point.latency_span)
    bottom, top = point.accuracy_span
    x, setting = point.latency_ns / 1e6, point.timing.setting
    bar = {"color": look.light, "thickness": 1, "width": 3}
    drawn = marker(look, 8 if point.variant.in_8_bits else 12)
    drawn |= {"symbol": f"{look.symbol}{filling}", "line": {"width": 2 if "open" in filling else 0}}
    ratio = f"{times(point.timing.series.ratio)} {safe(point.timing.reference)}"
    plot.add_scatter(
        x=[x],
        y=[point.accuracy],
        text=[safe(label)],
        textposition=side or "middle right",
        mode="markers+text" if label else "markers",
        cliponaxis=False,
        marker=drawn,
        error_x={"array": [max(0.0, high - x)], "arrayminus": [max(0.0, x - low)], **bar},
        error_y={"array": [max(0.0, top - point.accuracy)], "arrayminus": [max(0.0, point.accuracy - bottom)], **bar},
        opacity=0.45 if point.refused else 1,
        meta={
            "activation": point.variant.look, "setting": setting.name, "model": point.variant.model,
            "precision": point.timing.precision, "failed": bool(point.refused),
        },
        hovertemplate=(
            f"{safe(point.variant.label)} {safe(point.timing.precision)}<br>{safe(setting.name)}<br>"
            f"{x:.3g} ms ({low:.3g} to {high:.3g}), {ratio}<br>"
            f"{point.accuracy:.2%} ({bottom:.1%} to {top:.1%})<extra></extra>"
        ),
    )  # fmt: skip


def _note(groups: Sequence[str], crowded: bool) -> str:
    note = (
        "Upper left is better; dotted: the front. Bars: 95 % intervals, of the accuracy over the test images, of the latency "
        "over the blocks of the measurement."
    )
    if len(groups) > 1:
        told = "; ".join(
            f"{FILLING_WORDS[index % len(FILLINGS)]}: {group}" for index, group in enumerate(groups)
        )
        note += f" {told[0].upper()}{told[1:]}."
    if crowded:
        note += " Points without room for a name are named in the key and in the table."
    return note


def _filters(found: Sequence[Point], several: bool) -> tuple[Filter, ...]:
    if not several:
        return ()
    choices = (
        ("setting", "Runtime", [point.timing.setting.name for point in found]),
        ("model", "Model", [point.variant.model for point in found]),
        ("precision", "Precision", [point.timing.precision for point in found]),
    )
    filters = (Filter(key, title, tuple(dict.fromkeys(values))) for key, title, values in choices)
    return tuple(choice for choice in filters if len(choice.values) > 1)


def _table(name: str, title: str, found: Sequence[Point], best: Sequence[Point]) -> Table:
    rows = []
    for point in sorted(found, key=lambda p: (p.latency_ns, -p.accuracy)):
        series = point.timing.series
        place = standing(point, found, best)
        tone = {
            "on the front": "good",
            "parity failed": "bad",
            "gate failed": "bad",
            "cannot tell": "unsure",
        }.get(place, "")
        made = [row for row in comparisons(point.variant) if row.row.runtime == series.runtime]
        rows.append(
            (
                words(point.variant.label),
                words(point.timing.setting.name),
                words(point.timing.precision or "not said"),
                share_cell(point.accuracy),
                share_span(*point.accuracy_span),
                time_cell(point.latency_ns),
                time_span(*point.latency_span),
                ratio_cell(series.ratio, series.comparison),
                changed_cell(made),
                Cell(place, tone=tone),
                words(point.measured.of),
                source_cell(point.measured.source, point.timing.source),
            )
        )
    columns = (
        *("variant", "setting", "precision", "test accuracy", "95 % interval", "median latency"),
        *("interval of it", "ratio", "changed predictions there", "front", "accuracy of", "source"),
    )
    caption = f"Accuracy and latency: {title}"
    note = (
        "Accuracy is the trained network's in PyTorch, or the INT8 file's as ONNX Runtime ran it; predictions that change in the "
        "runtime are in a column of their own."
    )
    return Table(f"table-{name}", caption, columns, tuple(rows), note=note)
