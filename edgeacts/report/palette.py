"""One look per activation: colour (light and dark), marker symbol and line dash, the same in every plot.

Any two colours differ by at least 20 in CIE Lab for normal sight, protanopia, deuteranopia and tritanopia;
all stand out from their background by 3:1 or more. tests/report/test_report_palette.py measures both.
"""

from collections.abc import Iterable
from dataclasses import dataclass

LIGHT_BACKGROUND = "#ffffff"
DARK_BACKGROUND = "#161a20"
COLOURS = (
    ("#5540aa", "#6075ff"),
    ("#bf2a00", "#ea8000"),
    ("#006a4a", "#6aea9f"),
    ("#5595df", "#bfdfff"),
    ("#df6a95", "#f4354a"),
    ("#809555", "#fff475"),
    ("#750060", "#ca60bf"),
    ("#2a0000", "#b5959f"),
    ("#9e00ff", "#4fa76a"),
    ("#720900", "#ffca00"),
)
PARTS = (("#274060", "#dbe7f3"), ("#5f86b3", "#8fb0d4"), ("#b4c8de", "#45648a"))
"""Parts of one bar: steps of lightness of one hue, so that they are not taken for activations."""
SYMBOLS = {
    "circle": "M12 12m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "square": "M7 7H17V17H7Z",
    "diamond": "M12 5L18 12L12 19L6 12Z",
    "triangle-up": "M12 6L18 17H6Z",
    "triangle-down": "M12 18L18 7H6Z",
    "cross": "M10 6H14V10H18V14H14V18H10V14H6V10H10Z",
    "star": "M12 5L14 10L19 10L15 13L17 19L12 15.5L7 19L9 13L5 10L10 10Z",
}
"""Plotly's name of a marker and its outline in a 24 x 24 box, for the key above the plots."""
DASHES = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "12 4"}
"""Plotly's name of a dash and the same in SVG."""


@dataclass(frozen=True)
class Look:
    """How one activation is drawn."""

    light: str
    dark: str
    symbol: str
    dash: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look per name in the given order; ten colours, seven symbols: no two of the first 70 are alike."""
    symbols, dashes = tuple(SYMBOLS), tuple(DASHES)
    found: dict[str, Look] = {}
    for name in names:
        i = len(found)
        light, dark = COLOURS[i % len(COLOURS)]
        found.setdefault(name, Look(light, dark, symbols[i % len(symbols)], dashes[i % len(dashes)]))
    return found
