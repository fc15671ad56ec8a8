"""What every plot shares: axes, sizes, hover, and text that a browser cannot mistake for markup."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import floor, log10
from typing import Any

import plotly.graph_objects as go

from edgeacts.report.cells import Table
from edgeacts.report.palette import LIGHT_BACKGROUND, PARTS, Look, looks

LONG_NAME = 14
MAX_LINE = 20
"""Characters of a row's name in a line; longer ones are clipped in plots, whole in tables."""
MAX_PART = 30
LEGEND_LINE = 19
"""Pixels of an entry of a legend; on a narrow screen each has a line of its own."""
MAX_PLOTS = 6
"""Plots of one sort, one a setting or file; further ones have their tables only."""
MAX_ROWS = 30
"""Rows of one plot; further ones are in its table only."""
INK = "#1c2430"
SOFT = "#55606e"
GRID = "#dde2e9"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Plot:
    """A figure with its numbers as a table.

    `title` may be empty where the section's will do; `alt` is for readers who cannot see the figure.
    """

    name: str
    title: str
    alt: str
    figure: Any
    table: Table
    note: str = ""
    wide: bool = False
    filters: tuple["Filter", ...] = ()


@dataclass(frozen=True)
class Filter:
    """Buttons that hide and show what has one of `values` in the field `key` of a trace's meta."""

    key: str
    title: str
    values: tuple[str, ...]


def safe(text: str) -> str:
    """Text for a Plotly label, which reads a little HTML."""
    return escape(text, quote=False)


def row_name(text: str, told: str = "") -> str:
    """Text for a row of a plot, with a second line `told`; a long one is broken at its last hyphen or space."""
    lines = [text]
    if len(text) > LONG_NAME:
        cut = max(text.rfind("-", 0, -1), text.rfind(" ", 0, -1))
        lines = [text[: cut + 1], text[cut + 1 :]] if cut > 0 else [text]
    lines += [told] if told else []
    return "<br>".join(safe(line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…") for line in lines)


def row_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis with one row a name, the first at the bottom, whatever the names are."""
    ticks = list(range(len(names)))
    return {"tickvals": ticks, "ticktext": list(names), "range": [-0.6, len(names) - 0.4], "showgrid": False}


def part_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour a part of stacked bars; the page swaps it in the dark theme like those of activations."""
    listed = list(dict.fromkeys(names))
    if len(listed) <= len(PARTS):
        return {name: light for name, (light, _) in zip(listed, PARTS, strict=False)}
    return {name: look.light for name, look in looks(listed).items()}


def with_legend(plot: Any) -> Any:
    """The same figure with its own legend, for parts that are not activations."""
    plot.update_layout(
        showlegend=True,
        legend={
            "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False,
            "traceorder": "normal", "bgcolor": "rgba(0,0,0,0)",
        },
    )  # fmt: skip
    return plot


def blank(height: int, x_title: str, y_title: str = "", **axes: Any) -> Any:
    """An empty figure: no legend (the page has one key for all plots), dragging scrolls the page."""
    figure = go.Figure()
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "ticks": "outside",
        "tickcolor": GRID,
        "automargin": True,
        "tickangle": 0,
    }
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 12, "r": 14, "t": 12, "b": 12},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=LIGHT_BACKGROUND,
        plot_bgcolor=LIGHT_BACKGROUND,
        showlegend=False,
        dragmode=False,
        hovermode="closest",
        xaxis={**axis, "title": {"text": safe(x_title), "standoff": 10}, **axes.get("xaxis", {})},
        yaxis={**axis, "title": {"text": safe(y_title), "standoff": 8}, **axes.get("yaxis", {})},
    )
    return figure


def marker(look: Look, size: int = 11, hollow: bool = False) -> dict[str, Any]:
    """Marker of an activation, filled or hollow."""
    symbol = f"{look.symbol}-open" if hollow else look.symbol
    return {"color": look.light, "symbol": symbol, "size": size, "line": {"width": 2 if hollow else 0}}


def line(look: Look, width: float = 2.2) -> dict[str, Any]:
    """Line of an activation."""
    return {"color": look.light, "dash": look.dash, "width": width, "simplify": False}


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis from `low` to `high` with ticks at 1, 2, 5 and their tens, and room at both ends."""
    room = 0.12 * max(log10(high / low), 0.3)
    ticks = [m * 10.0**e for e in range(floor(log10(low)) - 1, floor(log10(high)) + 2) for m in (1, 2, 5)]
    inside = [t for t in ticks if log10(low) - room <= log10(t) <= log10(high) + room]
    return {
        "type": "log",
        "range": [log10(low) - room, log10(high) + room],
        "tickvals": inside,
        "ticktext": [f"{t:g}" for t in inside],
    }


def stacked(
    rows: Sequence[str], parts: Mapping[str, Sequence[float]], title: str, hover: str, **axis: Any
) -> Any:
    """A bar of `parts` per row, the first row at the bottom; `hover` is the d3 format of a part's value."""
    height = 84 + 46 * len(rows) + LEGEND_LINE * len(parts)
    plot = blank(height, title, xaxis={"nticks": 6, **axis}, yaxis=row_axis(rows))
    for (part, values), colour in zip(parts.items(), part_colours(parts).values(), strict=True):
        plot.add_bar(
            x=list(values),
            y=list(range(len(rows))),
            orientation="h",
            name=safe(part[:MAX_PART]),
            marker={"color": colour, "line": {"color": SOFT, "width": 1}},
            width=0.55,
            hovertemplate=f"{safe(part)}: %{{x:{hover}}}<extra></extra>",
        )
    plot.update_layout(barmode="stack")
    return with_legend(plot)


def thinned(values: Sequence[float], most: int) -> list[int]:
    """At most `most` indices of `values`, in order: lowest and highest of equal stretches, so that no outlier is lost."""
    if len(values) <= most:
        return list(range(len(values)))
    stretches = most // 2
    edges = [round(i * len(values) / stretches) for i in range(stretches + 1)]
    found: set[int] = set()
    for start, end in pairwise(edges):
        found |= {
            min(range(start, end), key=values.__getitem__),
            max(range(start, end), key=values.__getitem__),
        }
    return sorted(found)
