"""Where tables are looked at, and how far what kernels compute may be from the oracles there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.definition import Activation
from edgeacts.oracles import float64, high_precision
from edgeacts.piecewise import Grid, Table, Which
from edgeacts.quotient import Quotient

GRIDS: tuple[Which, Which] = ("wide", "narrow")
READINGS: tuple[Which, ...] = (*GRIDS, "quotient")
KINKS = {"relu": (0,), "relu6": (0, 6), "leaky_relu": (0,), "hardswish": (-3, 3)}  # where f' jumps
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
