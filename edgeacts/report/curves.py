"""Curves of activations and their derivatives, drawn from the definitions in the catalogue."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from edgeacts.errors import EdgeactsError
from edgeacts.report.cells import Cell, Table, figure, words
from edgeacts.report.drawing import Plot, blank, line, safe
from edgeacts.report.palette import Look, looks

X_MIN, X_MAX, STEPS = -6.0, 6.0, 481
Y_SHOWN, ROOM = 3.0, 0.15
"""Above 3 all look alike; the interesting part is around the lowest values."""
DERIVED = "computed from the definition"
TITLES = ("Activation functions", "First derivatives")
SYMBOLS = ("f(x)", "f′(x)")


def definition(name: str) -> Any:
    """The catalogue's `Activation` of that name. Raises UsageError when it has none."""
    from edgeacts.activations import activation

    return activation(name)


def values(name: str, x: np.ndarray, order: int) -> np.ndarray:
    """f(x) (`order` 0) or f'(x) (1) in float64, at the parameters' defaults."""
    from edgeacts.oracles import float64

    return np.asarray(float64(definition(name), x, order))


def curve_figure(name: str) -> Any:
    """Plotly figure of one activation: function and derivative for x from -6 to 6, its formula as the title.

    Raises UsageError for an unknown name.
    """
    found, x = definition(name), np.linspace(X_MIN, X_MAX, STEPS)
    plot = blank(440, "x")
    for order, look in enumerate(looks(SYMBOLS).values()):
        y = values(name, x, order)
        plot.add_scatter(x=x.tolist(), y=_drawable(y), mode="lines", name=SYMBOLS[order], line=line(look))
    plot.update_layout(
        title={
            "text": safe(f"{name}: f(x) = {found.formula}"),
            "x": 0.02,
            "y": 0.97,
            "yanchor": "top",
            "font": {"size": 16},
        },
        margin={"t": 84},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return plot


def known_activations(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """(those with a definition, name -> why not for the others)."""
    known: list[str] = []
    unknown: dict[str, str] = {}
    for name in names:
        try:
            definition(name)
            known.append(name)
        except EdgeactsError as error:
            unknown[name] = str(error)
    return known, unknown


def curve_plots(names: Sequence[str], colours: Mapping[str, Look]) -> list[Plot]:
    """Two plots, functions and derivatives, each with a table of its values at whole x."""
    return [_curves(names, colours, order) for order in (0, 1)] if names else []


def _curves(names: Sequence[str], colours: Mapping[str, Look], order: int) -> Plot:
    x, title = np.linspace(X_MIN, X_MAX, STEPS), TITLES[order]
    drawn = {name: values(name, x, order) for name in names}
    low, high = (extreme([extreme(y[np.isfinite(y)]) for y in drawn.values()]) for extreme in (min, max))
    shown = [float(low) - ROOM, min(float(high), Y_SHOWN) + ROOM]
    plot = blank(340, "x", SYMBOLS[order], yaxis={"range": shown})
    for name in names:
        plot.add_scatter(
            x=x.tolist(),
            y=_drawable(drawn[name]),
            mode="lines",
            name=safe(name),
            line=line(colours[name]),
            meta={"activation": name},
            hovertemplate=f"{safe(name)}<br>x = %{{x:.2f}}<br>{SYMBOLS[order]} = %{{y:.5f}}<extra></extra>",
        )
    lowest = ", ".join(f"{name} {np.nanmin(y):.4f}" for name, y in drawn.items())
    alt = f"{title} for x from -6 to 6. Lowest value there: {lowest}."
    return Plot(
        f"curves-{order}", title, alt, plot, _value_table(names, order), note=f"Values {DERIVED} in float64."
    )


def _value_table(names: Sequence[str], order: int) -> Table:
    points = np.arange(X_MIN, X_MAX + 0.5)
    columns = [values(name, points, order) for name in names]
    rows = tuple(
        (words(f"{x:g}"), *(figure(f"{column[i]:.6f}") for column in columns), words(DERIVED))
        for i, x in enumerate(points)
    )
    return Table(f"values-{order}", f"{SYMBOLS[order]} at whole x", ("x", *names, "source"), rows)


def _drawable(y: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in y]


def formula_table(names: Sequence[str]) -> Table:
    """Name, formula (MathML), LaTeX, parameters and the paper, from the catalogue."""
    rows = []
    for name in names:
        found = definition(name)
        parameters = ", ".join(f"{p.name} = {p.default:g}" for p in getattr(found, "parameters", ()))
        rows.append(
            (
                words(name),
                _formula(found),
                _code(found.latex()),
                words(parameters or "none"),
                words(found.source),
            )
        )
    return Table(
        "formulas",
        "Definitions",
        ("activation", "f(x)", "LaTeX", "parameters", "defined in"),
        tuple(rows),
        cards=True,
    )


def _code(text: str) -> Cell:
    return Cell(text, markup=Markup("<code>{}</code>").format(text))


def _formula(found: Any) -> Cell:
    """Presentation MathML, which browsers draw by themselves; the formula is ours, not a file's."""
    from sympy import Piecewise

    body = _cases(found.formula) if isinstance(found.formula, Piecewise) else _mathml(found.formula)
    markup = f'<math aria-label="{escape(found.latex())}">{body}</math>'
    return Cell(str(found.formula), markup=Markup(markup))  # noqa: S704  # no text from outside in it


_LETTERS = {
    "&InvisibleTimes;": "&#x2062;",
    "&ExponentialE;": "e",
    "<mi>sigmoid</mi>": "<mi>σ</mi>",
    "<mi>normal_cdf</mi>": "<mi>Φ</mi>",
}


def _mathml(expression: Any) -> str:
    from sympy.printing.mathml import mathml

    body = str(mathml(expression, printer="presentation"))
    for old, new in _LETTERS.items():
        body = body.replace(old, new)
    return body


def _cases(piecewise: Any) -> str:
    """A brace with one line per case, which SymPy's printer does not draw."""
    lines = []
    for value, condition in piecewise.args:
        when = "<mtext>otherwise</mtext>" if condition == True else _mathml(condition)  # noqa: E712  # SymPy's true
        lines.append(f"<mtr><mtd>{_mathml(value)}</mtd><mtd>{when}</mtd></mtr>")
    return f'<mrow><mo>{{</mo><mtable columnalign="left left">{"".join(lines)}</mtable></mrow>'
