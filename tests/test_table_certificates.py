"""Certificates of grids and quotients see what is wrong; which functions get which quotient."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sympy import Max, Piecewise, erf, exp, log, tanh
from table_checks import (
    GRIDS,
    KINKS,
    grid_of,
    off_by,
)

from edgeacts.activations import activation, catalogue
from edgeacts.definition import Activation, X, sigmoid
from edgeacts.piecewise import NARROW_DEGREE, Which
from edgeacts.tables import (
    BOUND,
    compile_table,
)
from edgeacts.tables.certificate import certify
from edgeacts.tables.choosing import NARROW_DEGREES
from edgeacts.tables.quotients import best_quotient, certify_quotient
from edgeacts.tables.subject import Subject


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
