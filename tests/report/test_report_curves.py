"""Curves follow the definitions, over the whole catalogue: function, derivative, formula."""

import numpy as np
import pytest

from edgeacts.activations import activation, names
from edgeacts.errors import UsageError
from edgeacts.report import curve_figure
from edgeacts.report.curves import curve_plots, formula_table, known_activations
from edgeacts.report.palette import looks


@pytest.mark.parametrize("name", names())
def test_figure_shows_function_and_derivative(name: str) -> None:
    figure = curve_figure(name)
    function, derivative = figure.data
    x, y, slope = (np.array(values, dtype=float) for values in (function.x, function.y, derivative.y))
    assert (x[0], x[-1]) == (-6.0, 6.0)
    assert np.isfinite(y).all()
    by_differences = (y[2:] - y[:-2]) / (x[2:] - x[:-2])
    smooth = np.abs(y[2:] - 2 * y[1:-1] + y[:-2]) < 2e-3  # not at a kink
    assert np.abs(slope[1:-1] - by_differences)[smooth].max() < 1e-2
    assert figure.layout.title.text.startswith(f"{name}: f(x) = ")


def test_relu_is_drawn_exactly() -> None:
    function, derivative = curve_figure("relu").data
    x = np.array(function.x)
    assert np.array_equal(function.y, np.maximum(x, 0))
    assert np.array_equal(np.array(derivative.y)[x != 0], (x > 0).astype(float)[x != 0])


def test_unknown_name_is_answered() -> None:
    with pytest.raises(UsageError, match="unknown activation 'tanhexq': did you mean tanhexp"):
        curve_figure("tanhexq")


def test_known_and_unknown_are_kept_apart() -> None:
    known, unknown = known_activations(["mish", "nonsense"])
    assert known == ["mish"]
    assert list(unknown) == ["nonsense"]
    assert "unknown activation" in unknown["nonsense"]


def test_table_holds_values_of_the_definition() -> None:
    plots = curve_plots(["mish", "relu"], looks(["mish", "relu"]))
    assert [plot.name for plot in plots] == ["curves-0", "curves-1"]
    row = next(row for row in plots[0].table.rows if row[0].text == "1")
    assert (row[1].text, row[2].text) == ("0.865098", "1.000000")  # mish(1) = tanh(ln(1 + e))
    assert plots[0].table.columns == ("x", "mish", "relu", "source")
    assert curve_plots([], {}) == []


@pytest.mark.parametrize("name", names())
def test_formula_is_mathml(name: str) -> None:
    row = formula_table([name]).rows[0]
    assert row[1].markup is not None
    assert row[1].markup.startswith("<math")
    assert "piecewise" not in row[1].markup
    assert "ExponentialE" not in row[1].markup
    assert activation(name).latex() in row[2].text
    assert row[4].text == activation(name).source
