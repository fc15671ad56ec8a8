"""Compiled tables: what the kernels compute is within the certified bound of both oracles, and what has no table is told why."""

from typing import Any

import numpy as np
import pytest
import sympy
from own_activations import OWN
from sympy import Abs, Max, Min, exp, sin, sqrt
from table_checks import EXTREMES, GRIDS, KINKS, READINGS, check, dense, grid_of, off_by

from edgeacts.activations import activation, catalogue
from edgeacts.definition import Activation, X
from edgeacts.oracles import float64
from edgeacts.piecewise import WIDE_DEGREES
from edgeacts.plan import parameter_samples
from edgeacts.tables import (
    BOUND,
    DERIVATIVE_BOUND,
    NotTabulated,
    compile_affine,
    compile_mirrored,
    compile_table,
)
from edgeacts.tables.kinks import kinks_of

CASES = [
    pytest.param(a, v, id=f"{a.name}-{','.join(f'{k}={x:g}' for k, x in v.items())}")
    for a in catalogue().values()
    for v in parameter_samples(a)
]


# ---- the catalogue


@pytest.mark.parametrize(("a", "values"), CASES)
def test_catalogue_is_within_its_bound(a: Activation, values: dict[str, float]) -> None:
    table = compile_table(a, **values)
    assert 0 < table.bound <= BOUND == 1e-6
    assert table.wide.degree in WIDE_DEGREES
    assert (table.wide.segments, table.narrow.segments) == (32, 8)
    check(table, a, **values)


@pytest.mark.parametrize(("a", "values"), CASES)
def test_extremes(a: Activation, values: dict[str, float]) -> None:
    """NaN stays, ±inf follow the lines, and next to 0 the value is f(0), which is 0 for the whole catalogue."""
    table = compile_table(a, **values)
    x = np.array([np.nan, -np.inf, np.inf, 0.0, -0.0, 1e-45, -1e-45], np.float32)
    for which in READINGS:
        nan, left, right, *near = table.read(x, which)
        assert np.isnan(nan)
        np.testing.assert_allclose([left, right], float64(a, [-np.inf, np.inf], **values), rtol=0, atol=1e-8)
        np.testing.assert_allclose(near, 0.0, rtol=0, atol=table.bound)
        if a.name in KINKS:
            assert not np.any(near[:2])
    assert table.read(np.float32(1.5)).shape == ()
    assert table.read(np.zeros((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize(("a", "values"), CASES)
def test_derivative(a: Activation, values: dict[str, float]) -> None:
    if a.name in KINKS:
        with pytest.raises(NotTabulated, match=rf"^{a.name}' jumps at x = {KINKS[a.name][0]}$"):
            compile_table(a, 1, **values)
        return
    table = compile_table(a, 1, **values)
    assert table.name == f"{a.name}'"
    assert 0 < table.bound <= DERIVATIVE_BOUND == 4e-6
    check(table, a, 1, points=12, **values)


@pytest.mark.parametrize("name", KINKS)
def test_derivative_that_jumps_is_read_from_the_right(name: str) -> None:
    a = activation(name)
    table = compile_mirrored(a, 1)
    x = dense(table)
    for which in GRIDS:
        away = np.all([np.abs(x - np.float32(k)) > 1e-5 for k in KINKS[name]], axis=0)
        got = table.read(-x, which)
        assert off_by(got[away], float64(a, x[away], 1), x[away], 1) <= DERIVATIVE_BOUND
        assert np.isnan(table.read(np.float32(np.nan), which))


def test_float32_value_of_a_parameter_is_what_a_line_has() -> None:
    """0.15 is no float32; what the kernel multiplies by is."""
    table = compile_table(activation("sau"), alpha=0.15)
    assert table.left == (float(np.float32(0.15)), 0.0)
    assert table.right == (1.0, 0.0)
    assert table.formula.endswith("; alpha = 0.15, n = 20000")


# ---- one's own

NO_LINE = r"{} approaches no straight line towards [+-]∞"
SLOW = r"{}: (it is still 1e-07 away from its straight tail at \|x\| = \d{{4,}}|polynomials of degree 5 on 32 segments do not reach it)"
REFUSED = {
    "snake": NO_LINE,
    "relu_squared": NO_LINE,
    "wavy_left": NO_LINE,
    "log_sign": NO_LINE,
    "softsign": SLOW,
    "isru": SLOW,
    "arctan_gate": SLOW,
    "arctan_gate_in_floats": SLOW,
    "bent_identity": SLOW,
    "pade_gate": SLOW,
    "rational": SLOW,
    "eis": SLOW,
}


@pytest.mark.parametrize("name", OWN)
def test_own_activation(name: str) -> None:
    a = OWN[name].activation
    if name in REFUSED:
        with pytest.raises(NotTabulated, match=f"^{REFUSED[name].format(name)}$"):
            compile_table(a)
        return
    table = compile_table(a)
    assert table.bound <= BOUND
    check(table, a, points=40)
    limits = [table.read(np.float32(s * np.inf)) for s in (-1, 1)]
    for got, limit in zip(limits, (OWN[name].left, OWN[name].right), strict=True):
        assert got == pytest.approx(limit, abs=1e-6) or name == "tanh_by_exp"  # its left tail is -x


def own(formula: Any) -> Activation:
    return Activation("own", formula, "here")


@pytest.mark.parametrize(
    "formula",
    [
        Min(Max(X, 0), 6),
        Abs(X) + Abs(X - 1) / 2 - Abs(X + 1),
        Min(Max(X, -1), 1) + Min(Max(X - sympy.Rational(1, 2), 0), 2),
        sympy.Piecewise((X, X > 2), (X**2 / 2, X > 0), (0, True)),
        3 * X - 1,
        sympy.S(4),
    ],
    ids=str,
)
def test_own_kinks_are_borders(formula: Any) -> None:
    a = own(formula)
    table = compile_table(a)
    check(table, a)
    for which in GRIDS:
        grid = grid_of(table, which)
        for kink in kinks_of(a, {}):
            if grid.lo < kink < grid.hi:
                assert (kink / grid.step) % 1 == pytest.approx(0, abs=1e-6)
    x = np.array(kinks_of(a, {}) or [0.0], np.float32)
    assert off_by(table.read(x), float64(a, x), x) <= table.bound


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        (
            Min(Max(X, 0), 1) + Min(Max(X - sqrt(2), 0), 1),
            r"own: no 32 equal segments have its kinks at 0, 1, 1\.41421, 2\.41421 as borders",
        ),
        (Max(X - 70, 0), r"own: its best table is off by up to \d\.\de-06·max\(1, \|x\|\), more than 1e-06"),
        (sin(10 * X) * exp(-(X**2)), r"own: polynomials of degree 5 on 32 segments do not reach it"),
        (sin(X), r"own approaches no straight line towards -∞"),
        (sympy.Piecewise((X, X > 0), (X - 1, True)), r"own jumps at x = 0"),
    ],
    ids=str,
)
def test_refusal_says_why(formula: Any, reason: str) -> None:
    with pytest.raises(NotTabulated, match=f"^{reason}$"):
        compile_table(own(formula))


# ---- made from others


@pytest.mark.parametrize("beta", [0.25, 1.702, 4.0, 37.0])
def test_scaled(beta: float) -> None:
    """f(βx)/β of x·σ(x) is SiLU's β: against the oracle, and against the table that was compiled for it."""
    silu = activation("silu")
    scaled = compile_table(silu).scaled(beta)
    check(scaled, silu, points=30, beta=beta)
    if beta < 1:  # its own table is worse, or refused
        return
    direct = compile_table(silu, beta=beta)
    x = dense(scaled)[: -len(EXTREMES)]
    for which in GRIDS:
        assert (
            off_by(scaled.read(x, which), direct.read(x, which).astype(float), x)
            <= scaled.bound + direct.bound
        )


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.3, 1.0, -0.5, 2.0])
def test_affine_tables_give_any_slope(slope: float) -> None:
    a = activation("leaky_relu")
    at_0, at_1 = compile_affine(a)
    table = at_0.combined(1 - slope, at_1, slope)
    check(table, a, points=40, negative_slope=slope)


def test_affine_refusals() -> None:
    with pytest.raises(NotTabulated, match=r"^sau has not one parameter$"):
        compile_affine(activation("sau"))
    with pytest.raises(NotTabulated, match=r"^silu is not of the first degree in beta$"):
        compile_affine(activation("silu"))
