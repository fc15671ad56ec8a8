"""What an activation's values are: float64 (numpy) for bulk, mpmath for any number of digits, and its lowest value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray

from edgeacts.atoms import MPMATH_ATOMS, X
from edgeacts.definition import Activation
from edgeacts.plan import NumpyOps, asymptotes, plan


def float64(activation: Activation, x: ArrayLike, order: int = 0, **parameters: float) -> NDArray[np.float64]:
    """f^(order)(x) in float64, for any x: ±inf follow the asymptotes, NaN gives NaN."""
    values = np.asarray(x, dtype=np.float64)
    with np.errstate(all="ignore"):
        result = _fixed_plan(activation, order, parameters).run(NumpyOps, values, {})
    return np.array(np.broadcast_to(result, values.shape), dtype=np.float64)


def _fixed_plan(activation: Activation, order: int, parameters: Mapping[str, float]) -> Any:
    return plan(activation.fix(**activation.values(parameters)), ("x",) * order)


def high_precision(
    activation: Activation, x: Any, order: int = 0, digits: int = 40, **parameters: float
) -> Any:
    """f^(order)(x) as an mpmath number with `digits` digits, from the formula as it was written.

    The derivatives are SymPy's of that formula, not of the rewritten one: an independent reference. Finite x only.
    """
    values = activation.values(parameters)
    f = _mp_formula(activation, order)
    with mpmath.workdps(digits):
        exact = [mpmath.mpf(repr(values[p.name])) for p in activation.parameters]
        return +f(mpmath.mpf(x), *exact)


@lru_cache(maxsize=256)
def _mp_formula(activation: Activation, order: int) -> Any:
    expression = (
        activation.formula.rewrite(sympy.Piecewise)
        if activation.formula.has(sympy.Max, sympy.Min)
        else activation.formula
    )
    expression = sympy.diff(expression, X, order) if order else expression
    expression = expression.replace(sympy.DiracDelta, lambda *_: sympy.S.Zero)  # of sign(u), at its jump only
    symbols = [p.symbol for p in activation.parameters]
    return sympy.lambdify([X, *symbols], expression, modules=[MPMATH_ATOMS, "mpmath"])


_FARTHEST = 1e6  # what is lowest near here is lower still further out


@lru_cache(maxsize=256)
def _minimum(activation: Activation) -> tuple[float, float] | None:
    left, right = asymptotes(activation)
    slopes = [None if e is None else float(sympy.diff(e, X)) for e in (left, right)]
    if (slopes[0] is not None and slopes[0] > 0) or (slopes[1] is not None and slopes[1] < 0):
        return None
    far = np.geomspace(40.0, _FARTHEST, 2001)
    grid = np.concatenate([-far[::-1], np.linspace(-40.0, 40.0, 8001), far])
    for _ in range(6):  # each round looks closer around the lowest point
        y = float64(activation, grid)
        ties = np.flatnonzero(y == np.nanmin(y))
        best = int(ties[np.argmin(np.abs(grid[ties]))])  # on a plateau, the point nearest 0
        lowest = float(grid[best]), float(y[best])
        grid = np.linspace(grid[max(best - 2, 0)], grid[min(best + 2, len(grid) - 1)], 8001)
    return None if abs(lowest[0]) > _FARTHEST / 10 else lowest


def minimum(activation: Activation, **parameters: float) -> tuple[float, float] | None:
    """(x, f(x)) where f is lowest, to about 1e-8 in x; None when it is not bounded below.

    On a plateau, the x nearest 0.
    """
    return _minimum(activation.fix(**activation.values(parameters)))
