"""What every plot shares: axes, sizes, hover, and text that a browser cannot mistake for markup."""

from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Any

import plotly.graph_objects as go

from edgeacts.report.cells import Table
from edgeacts.report.palette import LIGHT_BACKGROUND, Look

LONG_NAME = 14
INK = "#1c2430"
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


def safe(text: str) -> str:
    """Text for a Plotly label, which reads a little HTML."""
    return escape(text, quote=False)


def row_name(text: str) -> str:
    """Text for a row of a plot; a long one is broken at its last hyphen, to leave room for the plot."""
    head, hyphen, tail = text.rpartition("-")
    return f"{safe(head)}-<br>{safe(tail)}" if hyphen and len(text) > LONG_NAME else safe(text)


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
