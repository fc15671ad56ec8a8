"""f(x) ≈ m·P(t): the cheapest polynomial for an activation on the inputs it was seen to get, within a share of an 8-bit step.

What is behind an 8-bit quantizer need not be exact to 1e-7, and OpenVINO computes a few multiply-adds inside the pass that
quantizes, where an exponential or a tangent costs as much as the network (docs/openvino_int8.md has the figures). What counts
for the outputs is the error's root mean square over the inputs that occur, not its maximum at the rim, where few are: that
saves one or two degrees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]
MAX_DEGREE = 8
_POINTS, _DENSE = 193, 4001
_PLACES = 9  # of each end of the polynomial's range, tried together
_EVEN = 0.1  # share of the density that is even over the range, the rest is normal
_WORST = 4.0  # times what a root mean square of tolerance/√2 allows (an even error of `tolerance`)
_FAR = 1e3
_SYMMETRIC_WITHIN = 1e-4


@dataclass(frozen=True)
class Seen:
    """What an activation was seen to get: its lowest and highest input, their mean and standard deviation."""

    low: float
    high: float
    mean: float = 0.0
    deviation: float = float("inf")

    def density(self, x: _Array) -> _Array:
        """[N] of [N], with a sum of 1: nine tenths normal, one tenth even; all even for an infinite deviation."""
        normal = np.exp(-0.5 * ((x - self.mean) / self.deviation) ** 2)
        even = np.full_like(x, 1.0 / len(x))
        return (1 - _EVEN) * normal / normal.sum() + _EVEN * even if normal.sum() > 0 else even


@dataclass(frozen=True)
class Gate:
    """m·P(t) with m = x held at `level_left`, `level_right` where those are given, t = m clipped to [left, right].

    `odd`: P(t) = 1/2 + t·Q(t²), and `coefficients` are Q's, constant first; else they are P's. `error` is the largest
    distance to the activation on the inputs it was made for, evaluated in float32.
    """

    left: float
    right: float
    level_left: bool
    level_right: bool
    odd: bool
    coefficients: tuple[float, ...]
    error: float

    @property
    def operations(self) -> int:
        """Clips, multiply-adds and products an element."""
        return 3 + (len(self.coefficients) + 1 if self.odd else len(self.coefficients) - 1)

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """As it is evaluated: float32, one rounding an operation."""
        f = np.float32
        m = np.maximum(x, f(self.left)) if self.level_left else x
        m = np.minimum(m, f(self.right)) if self.level_right else m
        t = np.clip(m, f(self.left), f(self.right))
        s = t * t if self.odd else t
        y = np.full_like(t, f(self.coefficients[-1]))
        for coefficient in self.coefficients[-2::-1]:
            y = y * s + f(coefficient)
        result: NDArray[np.float32] = m * (y * t + f(0.5)) if self.odd else m * y
        return result


def fit(function: Callable[[_Array], _Array], seen: Seen, tolerance: float) -> Gate | None:
    """The Gate of fewest operations near `function` on what was seen; None where no degree up to 8 is.

    Near: the error's root mean square is at most `tolerance`/√2, as that of an even error of `tolerance` is, and no error more
    than 4 times the tolerance. `function` takes and gives float64 [N]. Outside of what was seen the gate goes on as a level
    or a line, as the function does.
    """
    low, high = seen.low, seen.high
    if not (np.isfinite([low, high, tolerance]).all() and low < high and tolerance > 0 < seen.deviation):
        return None
    x = _points(low, high, _POINTS)
    y, ends = function(x), function(np.array([-_FAR, _FAR]))
    if not (np.isfinite(y).all() and np.isfinite(ends).all()):
        return None
    levels = (bool(abs(ends[0]) < _FAR / 100), bool(abs(ends[1]) < _FAR / 100))  # a line is far away by then
    symmetric = not any(levels[1:]) and _is_symmetric(function, low, high)
    dense = _points(low, high, _DENSE)
    wanted, density, weights = function(dense), seen.density(dense), seen.density(x)
    for odd, count in _shapes(symmetric):
        gate = _best(x, y, weights, levels, odd, count)
        if gate is None:
            continue
        distance = np.abs(gate(dense.astype(np.float32)).astype(np.float64) - wanted)
        if score(density, distance) <= tolerance:
            return replace(gate, error=float(distance.max()))
    return None


def score(density: _Array, distance: _Array) -> _Array:
    """The even error that would be as bad, of distances [..., N]."""
    mean_square = np.asarray((density * distance * distance).sum(axis=-1))
    worse: _Array = np.maximum(np.sqrt(2.0 * mean_square), distance.max(axis=-1) / _WORST)
    return worse


def _points(low: float, high: float, count: int) -> _Array:
    inside = np.linspace(low, high, count)
    return np.unique(np.append(inside, 0.0)) if low < 0 < high else inside


def _is_symmetric(function: Callable[[_Array], _Array], low: float, high: float) -> bool:
    """Whether f(x) - f(-x) = x, as for SiLU and GELU, whose gate is 1/2 plus an odd function."""
    x = np.linspace(0.0, max(abs(low), abs(high)), 65)
    return bool(np.abs(function(x) - function(-x) - x).max() < _SYMMETRIC_WITHIN)


def _shapes(symmetric: bool) -> Iterator[tuple[bool, int]]:
    """(odd, number of coefficients), the fewest operations first."""
    for operations in range(4, 4 + MAX_DEGREE):
        if symmetric and operations >= 6:
            yield True, operations - 4
        yield False, operations - 2


def _best(
    x: _Array, y: _Array, weights: _Array, levels: tuple[bool, bool], odd: bool, count: int
) -> Gate | None:
    """The smallest error over all places of the range's ends, by least squares for all of them at once."""
    left, right = _places(x, odd)
    m = np.broadcast_to(x, (len(left), len(x)))
    if levels[0] and not odd:
        m = np.maximum(m, left[:, None])
    if levels[1]:
        m = np.minimum(m, right[:, None])
    t = np.clip(m, left[:, None], right[:, None])
    half = np.where(right > left, right - left, 1.0)[:, None] / 2
    if odd:
        u = t / right[:, None]
        columns = (m * t)[:, :, None] * (u * u)[:, :, None] ** np.arange(count)
        target = y - m / 2
    else:
        u = (t - (left + right)[:, None] / 2) / half
        columns = m[:, :, None] * np.polynomial.chebyshev.chebvander(u, count - 1)
        target = np.broadcast_to(y, m.shape)
    found, errors = _least_squares(columns, target, weights)
    place = int(np.argmin(errors))
    if not np.isfinite(errors[place]):
        return None
    a, b = float(np.float32(left[place])), float(np.float32(right[place]))
    if odd:
        values = found[place] / right[place] ** (2 * np.arange(count))
    else:
        values = _monomial(found[place], left[place], right[place], count)
    rounded = tuple(float(np.float32(value)) for value in values)
    return Gate(a, b, levels[0] and not odd, levels[1], odd, rounded, float(errors[place]))


def _places(x: _Array, odd: bool) -> tuple[_Array, _Array]:
    """Pairs (left, right) to try; where all inputs have one sign the range is theirs."""
    low, high = float(x[0]), float(x[-1])
    if odd:
        ends = max(-low, high) * np.linspace(0.25, 1.0, 2 * _PLACES)
        return -ends, ends
    lefts = low * np.linspace(0.25, 1.0, _PLACES) if low < 0 else np.array([low])
    rights = high * np.linspace(0.0, 1.0, _PLACES) if high > 0 else np.array([high])
    left, right = np.meshgrid(lefts, rights, indexing="ij")
    return left.ravel(), right.ravel()


def _least_squares(columns: _Array, target: _Array, weights: _Array) -> tuple[_Array, _Array]:
    """Coefficients [places, count] and errors [places]."""
    weighted = columns * weights[:, None]
    matrix = np.einsum("pni,pnj->pij", weighted, columns)
    ridge = 1e-12 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] + 1e-30
    vector = np.einsum("pni,pn->pi", weighted, target)
    found = np.linalg.solve(matrix + ridge * np.eye(columns.shape[2]), vector[:, :, None])[:, :, 0]
    return found, score(weights, np.abs(np.einsum("pni,pi->pn", columns, found) - target))


def _monomial(values: _Array, left: float, right: float, count: int) -> _Array:
    """Coefficients in t, constant first, of a Chebyshev series on [left, right]."""
    series = np.polynomial.Chebyshev(values, domain=[left, right] if right > left else [left - 1, left + 1])
    found = series.convert(kind=np.polynomial.Polynomial).coef
    return np.pad(found, (0, count - len(found)))
