"""The atoms: values against mpmath, derivatives against the textbook forms, and that `stabilise` changes no function."""

import mpmath
import numpy as np
import pytest
import sympy
from sympy import Max, Min, Piecewise, Rational, erfc, exp, log, oo, pi, sign, sqrt, tanh

from edgeacts.atoms import (
    MPMATH_ATOMS,
    X,
    maximum,
    minimum,
    normal_cdf,
    sech2,
    sigmoid,
    softplus,
    stabilise,
    stable_tanh,
)

TEXTBOOK = {
    sigmoid: 1 / (1 + exp(-X)),
    softplus: log(1 + exp(X)),
    sech2: 1 - tanh(X) ** 2,
    stable_tanh: tanh(X),
    normal_cdf: erfc(-X / sqrt(2)) / 2,
}
POINTS = [-31.5, -3.0, -0.25, 0.0, 1e-3, 0.7, 4.0, 25.0]


def at(expression: sympy.Expr, x: float) -> mpmath.mpf:
    with mpmath.workdps(60):
        return sympy.lambdify([X], expression, modules=[MPMATH_ATOMS, "mpmath"])(mpmath.mpf(x))


@pytest.mark.parametrize("atom", TEXTBOOK, ids=lambda a: a.__name__)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_atoms_and_their_derivatives_equal_the_textbook(atom: type, order: int) -> None:
    mine, theirs = sympy.diff(atom(X), X, order), sympy.diff(TEXTBOOK[atom], X, order)
    for x in POINTS:
        assert mpmath.almosteq(at(mine, x), at(theirs, x), rel_eps=1e-25, abs_eps=1e-45), (atom, order, x)


def test_chain_rule() -> None:
    assert sympy.diff(softplus(3 * X), X) == 3 * sigmoid(3 * X)
    assert sympy.diff(normal_cdf(2 * X), X).equals(2 * exp(-2 * X**2) / sqrt(2 * pi))


def test_exact_values() -> None:
    assert [sigmoid(v) for v in (-oo, 0, oo)] == [0, Rational(1, 2), 1]
    assert [softplus(v) for v in (-oo, oo)] == [0, oo]
    assert stable_tanh(0) == 0


@pytest.mark.parametrize(
    ("atom", "name", "first"), [(maximum, "max", lambda a, b: a >= b), (minimum, "min", lambda a, b: a <= b)]
)
def test_extrema_at_a_tie_differentiate_their_first_argument(atom: type, name: str, first: object) -> None:
    derivative = sympy.diff(atom(3 * X, X), X)
    assert derivative.subs(X, 0) == 3
    assert sympy.diff(atom(X, 3 * X), X).subs(X, 0) == 1
    for x in (-2, 2):
        assert derivative.subs(X, x) == (3 if first(3 * x, x) else 1)
    assert MPMATH_ATOMS[atom.__name__](2, 5) == {"max": 5, "min": 2}[name]


def test_constants_win_ties_as_in_torchs_relu() -> None:
    relu, cap = stabilise(Max(X, 0)), stabilise(Min(6, X))
    assert (relu, cap) == (maximum(0, X), minimum(6, X))
    assert sympy.diff(relu, X).subs(X, 0) == 0
    assert sympy.diff(cap, X).subs(X, 6) == 0
    assert stabilise(Max(1, X, -X)).args[0].args[0] == 1


@pytest.mark.parametrize(
    ("written", "stable"),
    [
        (log(1 + exp(X)), softplus(X)),
        (log(1 + exp(-2 * X)), softplus(-2 * X)),
        (1 / (1 + exp(-X)), sigmoid(X)),
        (X / (1 + exp(-X)), X * sigmoid(X)),
        (exp(X) / (1 + exp(X)), sigmoid(X)),
        ((1 + exp(-X)) ** -2, sigmoid(X) ** 2),
        ((1 + exp(-X)) ** Rational(-1, 2), sqrt(sigmoid(X))),
        (tanh(X), stable_tanh(X)),
        (X * tanh(log(1 + exp(X))), X * stable_tanh(softplus(X))),
        (sympy.DiracDelta(X) + X, X),
    ],
    ids=str,
)
def test_what_is_rewritten(written: sympy.Expr, stable: sympy.Expr) -> None:
    assert stabilise(written) == stable


@pytest.mark.parametrize(
    "untouched",
    [log(2 + exp(X)), log(1 + X), (1 + exp(X)) ** 2, exp(X) * sigmoid(X), 1 / (1 + 2 * exp(X)), sympy.S(3)],
    ids=str,
)
def test_what_is_not(untouched: sympy.Expr) -> None:
    assert stabilise(untouched) == untouched


@pytest.mark.parametrize(
    "formula",
    [
        X * (exp(X) - exp(-X)) / (exp(X) + exp(-X)),
        Piecewise((X, X > 0), (exp(X) - 1, True)) * Max(0, Min(1, X / 6 + Rational(1, 2))),
        exp(3 * X) / (1 + exp(3 * X)) ** 3,
        tanh(X) ** 3 / (1 + exp(-X)) + sign(X) * log(1 + exp(X)) ** 2,
    ],
    ids=str,
)
def test_stabilising_changes_no_value(formula: sympy.Expr) -> None:
    for x in POINTS:
        assert mpmath.almosteq(at(stabilise(formula), x), at(formula, x), rel_eps=1e-25, abs_eps=1e-45)


def test_derivative_of_a_jump_is_zero() -> None:
    assert stabilise(sympy.diff(sign(X), X)) == 0
    assert stabilise(sympy.diff(X * sign(X), X)) == sign(X)


@pytest.mark.parametrize(
    ("atom", "latex"),
    [
        (sigmoid(X), r"\sigma\left(x\right)"),
        (softplus(X) ** 2, r"{\operatorname{softplus}\left(x\right)}^{2}"),
        (sech2(X), r"\operatorname{sech}^2\left(x\right)"),
        (stable_tanh(X), r"\tanh\left(x\right)"),
        (normal_cdf(X), r"\Phi\left(x\right)"),
    ],
    ids=str,
)
def test_latex(atom: sympy.Expr, latex: str) -> None:
    assert sympy.latex(atom) == latex


def test_derivatives_of_atoms_do_not_cancel() -> None:
    """1 - tanh² in float64 is 0 from 19 on and wrong long before; sech² is right to the last bits."""
    naive, stable = 1 - np.tanh(18.0) ** 2, 1 / np.cosh(18.0) ** 2
    true = float(at(sympy.diff(tanh(X), X), 18.0))
    assert abs(stable - true) < 1e-15 * true
    assert abs(naive - true) > 0.04 * true
    assert sympy.diff(stable_tanh(X), X) == sech2(X)
