"""Compiled tables: what the kernels compute is within the certified bound of both oracles, and what has no table is told why."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy
from numpy.typing import NDArray
from own_activations import OWN
from sympy import Abs, Max, Min, Piecewise, erf, exp, log, sin, sqrt, tanh

from edgeacts.activations import activation, catalogue
from edgeacts.definition import Activation, X, sigmoid
from edgeacts.oracles import float64, high_precision
from edgeacts.piecewise import NARROW_DEGREE, WIDE_DEGREES, Grid, Table, Which
from edgeacts.plan import parameter_samples
from edgeacts.quotient import Quotient
from edgeacts.tables import (
    BOUND,
    DERIVATIVE_BOUND,
    NotTabulated,
    compile_affine,
    compile_mirrored,
    compile_table,
)
from edgeacts.tables.certificate import certify
from edgeacts.tables.choosing import NARROW_DEGREES
from edgeacts.tables.kinks import kinks_of
from edgeacts.tables.quotients import best_quotient, certify_quotient
from edgeacts.tables.subject import Subject

GRIDS: tuple[Which, Which] = ("wide", "narrow")
READINGS: tuple[Which, ...] = (*GRIDS, "quotient")
KINKS = {"relu": (0,), "relu6": (0, 6), "leaky_relu": (0,), "hardswish": (-3, 3)}  # where f' jumps
CASES = [
    pytest.param(a, v, id=f"{a.name}-{','.join(f'{k}={x:g}' for k, x in v.items())}")
    for a in catalogue().values()
    for v in parameter_samples(a)
]
EXTREMES = np.array(
    [s * v for v in (0.0, 1e-45, 1e-40, 1.2e-38, 1e-20, 1e6, 1e20, 3e38, np.inf) for s in (1, -1)]
    + [np.finfo(np.float32).max, np.nan],
    np.float32,
)


def grid_of(table: Table, which: Which) -> Grid:
    return table.wide if which == "wide" else table.narrow


def dense(table: Table) -> NDArray[np.float32]:
    """The range three times over, every decade beyond it, and points thrown at random."""
    lo, hi = min(table.wide.lo, table.narrow.lo), max(table.wide.hi, table.narrow.hi)
    width = hi - lo
    random = np.random.default_rng(5)
    far = np.geomspace(width, 1e6, 2000)
    return np.concatenate(
        [np.linspace(lo - width, hi + width, 30001), random.normal(0, 1, 5000), -far, far, EXTREMES]
    ).astype(np.float32)


def borders(grid: Grid) -> NDArray[np.float32]:
    """Where one polynomial hands over to the next or to a line, each with its neighbours."""
    at = (grid.first + np.arange(grid.segments + 1)) * np.float64(grid.step)
    points = np.array([*at, grid.lo, grid.hi, *grid.ends, *grid.knees], np.float32)
    return np.concatenate(
        [points, np.nextafter(points, np.float32(-9e9)), np.nextafter(points, np.float32(9e9))]
    )


def off_by(got: NDArray[Any], true: NDArray[np.float64], x: NDArray[np.float32], order: int = 0) -> float:
    """The largest |got - true|/max(1, |x|), of derivatives |got - true|; NaN and overflows must be the same in both."""
    assert got.dtype == np.float32
    with np.errstate(over="ignore"):
        special = ~np.isfinite(true.astype(np.float32))
    np.testing.assert_array_equal(got[special], true.astype(np.float32)[special])
    fine = ~special
    scale = 1.0 if order else np.maximum(1.0, np.abs(x[fine].astype(np.float64)))
    error = np.abs(got[fine] - true[fine]) / scale
    assert error.size
    return float(error.max())


def check(table: Table, a: Activation, order: int = 0, points: int | None = None, **values: float) -> None:
    """Within its bound of float64 everywhere, and of mpmath where something changes."""
    x = dense(table)
    with np.errstate(over="ignore"):
        true = float64(a, x.astype(np.float64), order, **values)
        for which in READINGS:
            assert off_by(table.read(x, which), true, x, order) <= table.bound, which
    for which in GRIDS:
        x = borders(grid_of(table, which))[:points]
        exact = np.array([float(high_precision(a, float(p), order, **values)) for p in x])
        assert off_by(table.read(x, which), exact, x, order) <= table.bound, which
    if table.quotient is not None:
        x = quotient_points(table.quotient)[:points]
        exact = np.array([float(high_precision(a, float(p), order, **values)) for p in x])
        assert off_by(table.read(x, "quotient"), exact, x, order) <= table.bound


def quotient_points(quotient: Quotient) -> NDArray[np.float32]:
    """Both ends with their neighbours, and where the denominator is smallest."""
    ends = np.array([quotient.lo, quotient.hi], np.float32)
    u = np.linspace(quotient.lo, quotient.hi, 10001) ** (2 if quotient.even else 1)
    u = u if quotient.power is None else np.exp2(quotient.rate * u)
    under = np.polynomial.polynomial.polyval(u, quotient.denominator.astype(float))
    near = [np.nextafter(ends, np.float32(s)) for s in (-9e9, 9e9)]
    smallest = np.linspace(quotient.lo, quotient.hi, 10001)[[np.argmin(np.abs(under))]]
    return np.concatenate([ends, *near, smallest]).astype(np.float32)


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


# ---- the certificate


@pytest.mark.parametrize("which", GRIDS)
@pytest.mark.parametrize("name", ["silu", "gelu", "hardswish", "mish"])
def test_certificate_sees_any_wrong_coefficient(name: str, which: Which) -> None:
    """Each degree in turn, on a segment drawn by lot, by what moves the value there by two bounds."""
    a = activation(name)
    subject, table = Subject(a, 0, a.values()), compile_table(a)
    grid = grid_of(table, which)
    assert 0 < certify(subject, grid) <= table.bound
    random = np.random.default_rng(7)
    for degree in range(grid.degree + 1):
        segment = int(random.integers(1, grid.segments - 1))
        x = abs(grid.first + segment) * grid.step + grid.step
        reach = grid.step / 2 if grid.centred else grid.step
        damaged = grid.coefficients.copy()
        damaged[degree, (grid.first + segment) % grid.segments] += (
            2.2 * table.bound * max(1, x) / reach**degree
        )
        assert certify(subject, replace(grid, coefficients=damaged)) > table.bound, (degree, segment)


@pytest.mark.parametrize("which", GRIDS)
def test_certificate_sees_a_wrong_place(which: Which) -> None:
    """A line that takes over too early, polynomials that stand a column or half a segment beside theirs, and a wrong line."""
    a = activation("silu")
    subject, table = Subject(a, 0, a.values()), compile_table(a)
    grid = grid_of(table, which)
    for damaged in (
        replace(grid, hi=0.6 * grid.hi),
        replace(grid, lo=0.6 * grid.lo),
        replace(grid, first=grid.first + 1),
        replace(grid, coefficients=np.roll(grid.coefficients, 1, axis=1)),
        replace(grid, centred=not grid.centred),
        replace(grid, step=grid.step * 1.001),
    ):
        assert certify(subject, damaged) > 2 * table.bound
    subject.right = (1.0, 6e-5)
    assert certify(subject, grid) > table.bound  # seen where 1e-6·|x| allows the least: at the end


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_activation_of_the_catalogue_has_a_quotient(name: str) -> None:
    """Also the piecewise ones: their kinks are the ends. A parabola needs no division."""
    table = compile_table(catalogue()[name])
    assert table.quotient is not None
    assert table.quotient.is_polynomial == (name in {*KINKS, "sau"})
    assert table.quotient.even == (name == "gelu")
    assert (table.quotient.power is not None) == (name in {"silu", "mish"})
    assert float(table.read(np.float32(0.0), "quotient")) == 0.0


def test_a_quotient_is_refused_where_it_cannot_be_within_the_bound() -> None:
    def found(formula: Any, allowed: float = BOUND) -> Any:
        return best_quotient(Subject(Activation(name="f", formula=formula, source="-"), 0, {}), allowed)

    assert found(X * sigmoid(X)) is not None
    assert found(X * sigmoid(X), 1e-8) is None  # float32 loses more than that
    assert (
        found(Piecewise((X * sigmoid(X), X < 1), (X * sigmoid(X) + (X - 1) / 8, True))) is None
    )  # a kink inside
    silu = activation("silu")
    assert best_quotient(Subject(silu, 1, silu.values()), BOUND) is None  # derivatives only train


@pytest.mark.parametrize("name", ["silu", "mish"])
def test_certificate_sees_a_wrong_power_quotient(name: str) -> None:
    """Each coefficient of the three polynomials, the rate and the end, by what moves the value by several bounds."""
    a = activation(name)
    subject, table = Subject(a, 0, a.values()), compile_table(a)
    good = table.quotient
    assert good is not None
    assert good.power is not None
    assert 0 < certify_quotient(subject, good) <= table.bound
    for degree in range(len(good.power)):
        damaged = good.power.copy()
        damaged[degree] += 2e-5 * 2**degree
        assert certify_quotient(subject, replace(good, power=damaged)) > table.bound, degree
    for row in ("numerator", "denominator"):
        for degree in range(row == "numerator", len(good.denominator)):
            damaged = getattr(good, row).copy()
            damaged[degree] += 2e-5
            assert certify_quotient(subject, replace(good, **{row: damaged})) > table.bound, (row, degree)
    assert certify_quotient(subject, replace(good, rate=good.rate * 1.00001)) > table.bound
    assert certify_quotient(subject, replace(good, hi=0.5 * good.hi)) > table.bound
    assert certify_quotient(subject, replace(good, lo=-8.0)) > table.bound
    pole = good.denominator * np.float32(-1.0)
    pole[0] = 1.0
    assert certify_quotient(subject, replace(good, denominator=pole)) == np.inf


@pytest.mark.parametrize(
    ("formula", "degree"),
    [
        pytest.param(X * sigmoid(3 * X), 1, id="another rate"),
        pytest.param(X * tanh(log(1 + exp(X))), 2, id="mish"),
        pytest.param(X * sigmoid(X) * (1 + sigmoid(X)) / 2, 2, id="a mixture"),
        pytest.param(Max(0, X) * sigmoid(X), None, id="a kink"),
        pytest.param(X * sigmoid(X) + X / 10, None, id="a left line that is not 0"),
        pytest.param(X * sigmoid(X) / 2, None, id="a right line that is not x"),
        pytest.param(X * (1 + erf(X)) / 2, None, id="no exponential tail"),
    ],
)
def test_functions_made_of_an_exponential_get_a_power_quotient(formula: Any, degree: int | None) -> None:
    subject = Subject(Activation(name="f", formula=formula, source="-"), 0, {})
    found = best_quotient(subject, BOUND)
    got = found.quotient.power is not None if found else False
    assert got == (degree is not None)
    if degree is not None:
        assert found is not None
        assert len(found.quotient.denominator) - 1 == degree
        x = np.linspace(-120, 40, 400_001).astype(np.float32)
        y = found.quotient.read(x, (0.0, 0.0), (1.0, 0.0))
        assert off_by(y, subject(x.astype(np.float64)), x) <= found.bound
        assert np.isnan(found.quotient.read(np.array([np.nan], np.float32), (0.0, 0.0), (1.0, 0.0))).all()


@pytest.mark.parametrize("name", ["gelu", "hardswish", "tanhexp", "sau"])
def test_certificate_sees_a_wrong_quotient(name: str) -> None:
    """Each coefficient in turn, by what moves the value by two bounds at the end; ends that are elsewhere; a pole."""
    a = activation(name)
    subject, table = Subject(a, 0, a.values()), compile_table(a)
    good = table.quotient
    assert good is not None
    assert 0 < certify_quotient(subject, good) <= table.bound
    size = max(abs(good.lo), abs(good.hi))
    farthest = size**2 if good.even else size
    under = np.polynomial.polynomial.polyval(farthest, np.abs(good.denominator).astype(float))
    for row in ("numerator", "denominator") if not good.is_polynomial else ("numerator",):
        for degree in range(len(getattr(good, row))):
            damaged = getattr(good, row).copy()
            damaged[degree] += 2.5 * table.bound * max(1.0, size) * under / farthest**degree
            assert certify_quotient(subject, replace(good, **{row: damaged})) > table.bound, (row, degree)
    for lo, hi in ((0.6 * good.lo, good.hi), (good.lo, 0.6 * good.hi)):
        assert certify_quotient(subject, replace(good, lo=lo, hi=hi)) > table.bound
    pole = np.array([0.0, 1.0, 0.5], np.float32)
    assert certify_quotient(subject, replace(good, denominator=pole)) == np.inf


def test_the_kernels_have_room_for_every_degree() -> None:
    assert max(NARROW_DEGREES) <= NARROW_DEGREE
