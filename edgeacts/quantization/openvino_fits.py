"""f(x) ≈ m·P(t): the cheapest polynomial for an activation on the inputs it was seen to get, within a share of an 8-bit step.

What is behind an 8-bit quantizer need not be exact to 1e-7, and OpenVINO computes a few multiply-adds inside the pass that
quantizes, where an exponential or a tangent costs as much as the network (docs/openvino_int8.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]
MAX_DEGREE = 8
_POINTS, _DENSE = 193, 4001
_PLACES = 9  # of each end of the polynomial's range, tried together
_ROUNDS = 14
_FAR = 1e3
_SYMMETRIC_WITHIN = 1e-4


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


def fit(function: Callable[[_Array], _Array], low: float, high: float, tolerance: float) -> Gate | None:
    """The Gate of fewest operations within `tolerance` of `function` on [low, high]; None where no degree up to 8 is.

    `function` takes and gives float64 [N]. Outside [low, high] the gate goes on as a level or a line, as the function does.
    """
    if not (np.isfinite([low, high, tolerance]).all() and low < high and tolerance > 0):
        return None
    x = _points(low, high, _POINTS)
    y, ends = function(x), function(np.array([-_FAR, _FAR]))
    if not (np.isfinite(y).all() and np.isfinite(ends).all()):
        return None
    levels = (bool(abs(ends[0]) < _FAR / 100), bool(abs(ends[1]) < _FAR / 100))  # a line is far away by then
    symmetric = not any(levels[1:]) and _is_symmetric(function, low, high)
    dense = _points(low, high, _DENSE)
    wanted = function(dense)
    for odd, count in _shapes(symmetric):
        gate = _best(x, y, levels, odd, count)
        if gate is None:
            continue
        error = float(np.abs(gate(dense.astype(np.float32)).astype(np.float64) - wanted).max())
        if error <= tolerance:
            return Gate(
                gate.left, gate.right, gate.level_left, gate.level_right, odd, gate.coefficients, error
            )
    return None


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


def _best(x: _Array, y: _Array, levels: tuple[bool, bool], odd: bool, count: int) -> Gate | None:
    """The smallest largest error over all places of the range's ends; Lawson's reweighted least squares, all places at once."""
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
    found, errors = _minimax(columns, target)
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


def _minimax(columns: _Array, target: _Array) -> tuple[_Array, _Array]:
    """Coefficients [places, count] and largest errors [places]."""
    places, points, count = columns.shape
    weights = np.full((places, points), 1.0 / points)
    best, errors = np.zeros((places, count)), np.full(places, np.inf)
    for _ in range(_ROUNDS):
        weighted = columns * weights[:, :, None]
        matrix = np.einsum("pni,pnj->pij", weighted, columns)
        ridge = 1e-12 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] + 1e-30
        vector = np.einsum("pni,pn->pi", weighted, target)
        found = np.linalg.solve(matrix + ridge * np.eye(count), vector[:, :, None])[:, :, 0]
        distance = np.abs(np.einsum("pni,pi->pn", columns, found) - target)
        largest = distance.max(axis=1)
        better = largest < errors
        best[better], errors[better] = found[better], largest[better]
        weights = weights * (distance + 1e-12)
        weights /= weights.sum(axis=1, keepdims=True)
    return best, errors


def _monomial(values: _Array, left: float, right: float, count: int) -> _Array:
    """Coefficients in t, constant first, of a Chebyshev series on [left, right]."""
    series = np.polynomial.Chebyshev(values, domain=[left, right] if right > left else [left - 1, left + 1])
    found = series.convert(kind=np.polynomial.Polynomial).coef
    return np.pad(found, (0, count - len(found)))
