"""Polynomials for the segments of a grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgeacts.piecewise import Grid
from edgeacts.tables.placement import Place
from edgeacts.tables.subject import Doubles, Subject

_NOTHING = 1e-13


def borders(subject_step: float, first: int, lo: float, hi: float, segments: int) -> tuple[Doubles, Doubles]:
    """Left and right ends of the segments."""
    starts = (first + np.arange(segments)) * np.float64(np.float32(subject_step))
    ends = starts + np.float64(np.float32(subject_step))
    left, right = starts.copy(), ends.copy()
    left[0], right[-1] = lo, hi
    return left, right


def fit(subject: Subject, place: Place, segments: int, degree: int, *, centred: bool) -> Grid:
    """The grid at that place with the polynomials of that degree that fit best."""
    step, first = place.step, place.first
    count = 4 * (degree + 1)
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)  # Chebyshev's: nearly the smallest largest error
    left, right = borders(step, first, place.lo, place.hi, segments)
    x = left[:, None] + 0.5 * (right - left)[:, None] * (1 + nodes)
    y = subject(x)
    origin = (first + np.arange(segments)) * step + (0.5 * step if centred else 0.0)
    powers = _to_powers(degree) @ y.T  # in u from -1 to 1 across the segment
    half = 0.5 * (right - left)
    columns = _substituted(powers / half ** np.arange(degree + 1)[:, None], origin - (left + half))
    if not centred and subject.left[0] == 0:  # what x clamped to the left end gives is then the tail itself
        t = place.lo - first * step
        missing = subject.left[1] - np.polynomial.polynomial.polyval(t, columns[:, 0])
        if abs(missing) < 1e-5:  # no jump
            columns[0, 0] += missing
    sizes = np.abs(columns) * (step ** np.arange(degree + 1))[:, None]
    columns[sizes < _NOTHING * sizes.max()] = 0.0  # so that relu(0) is 0 and not 1e-17
    rows = np.roll(columns, first % segments, axis=1).astype(np.float32)
    return Grid(step, first, rows, centred, place.lo, place.hi)


@lru_cache(maxsize=32)
def _to_powers(degree: int) -> Doubles:
    """Matrix from values at Chebyshev's nodes to the power coefficients of the polynomial that fits them best."""
    count = 4 * (degree + 1)
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    fit = np.linalg.pinv(np.polynomial.chebyshev.chebvander(nodes, degree))
    powers = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        column = np.polynomial.chebyshev.cheb2poly(np.eye(degree + 1)[k])
        powers[: len(column), k] = column
    result: Doubles = powers @ fit
    return result


def _substituted(columns: Doubles, shift: Doubles) -> Doubles:
    """The polynomials p(t + shift), column by column."""
    result = columns.copy()
    count = len(columns)
    for low in range(count - 1):  # Horner's scheme, again and again
        for k in range(count - 2, low - 1, -1):
            result[k] += shift * result[k + 1]
    return result
