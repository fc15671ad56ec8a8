"""Quotients of polynomials to a power, (P(u)/Q(u))^k, fitted so that the largest weighted error is small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
_SMALLEST = 1e-9  # values under a root, and denominators


@dataclass(frozen=True)
class Samples:
    """What R(v) is to be at points `v` of [start, end]: `wanted`, where an error of 1 counts as `weight`."""

    v: Doubles
    wanted: Doubles
    weight: Doubles
    start: float
    end: float


@dataclass(frozen=True)
class Shape:
    """(P/Q)^power with P of degree `top` and Q of degree `below`; `below` = 0 for a polynomial."""

    top: int
    below: int
    power: int = 1

    def __str__(self) -> str:
        degrees = f"{self.top}/{self.below}" if self.below else f"{self.top}"
        return degrees if self.power == 1 else f"{degrees}^{self.power}"


@dataclass(frozen=True)
class Quotient:
    """Float32 coefficients of 1, v, v², ...; the last one of a denominator that is more than (1,) is 1."""

    top: tuple[float, ...]
    below: tuple[float, ...]
    power: int
    error: float


def fit(samples: Samples, shape: Shape, rounds: int, allowed: float) -> Quotient | None:
    """The best of that shape, if its error on the samples is below `allowed` and its denominator stays positive.

    Least squares, reweighted by the errors until they are even, in Chebyshev's polynomials. A power is fitted by its root.
    """
    root_wanted = _root(samples.wanted, shape.power)
    if not np.isfinite(samples.wanted).all() or (shape.power > 1 and samples.wanted.min() < -allowed):
        return None
    g = (2.0 * samples.v - samples.start - samples.end) / (samples.end - samples.start)
    over = np.polynomial.chebyshev.chebvander(g, shape.top)
    under = np.polynomial.chebyshev.chebvander(g, shape.below)
    emphasis, q = np.ones(len(g)), np.ones(len(g))
    slope = _slope(root_wanted, root_wanted, shape.power)
    least = allowed
    found: tuple[Doubles, Doubles] | None = None
    for _ in range(rounds):
        scale = np.sqrt(emphasis) * slope * samples.weight / np.abs(q)
        system = np.hstack([over * scale[:, None], -under[:, 1:] * (root_wanted * scale)[:, None]])
        solution = _least_squares(system, root_wanted * scale)
        if solution is None:
            break
        a = np.asarray(solution[: shape.top + 1], np.float64)
        b = np.asarray(np.append(1.0, solution[shape.top + 1 :]), np.float64)
        q = under @ b
        q = np.where(np.abs(q) < _SMALLEST, _SMALLEST, q)
        root = over @ a / q
        error = np.abs(root**shape.power - samples.wanted) * samples.weight
        worst = float(error.max())
        if worst < least and np.all(q > 0):
            least, found = worst, (a, b)
        slope = _slope(root, root_wanted, shape.power)
        emphasis = np.maximum(emphasis * (error / max(worst, 1e-30)), 1e-12)
        emphasis /= emphasis.max()
    return None if found is None else _in_powers(samples, shape, *found, least)


def _least_squares(system: Doubles, wanted: Doubles) -> Doubles | None:
    """The solution by QR, which is four times as fast as by singular values; None where columns depend on each other."""
    triangle = np.asarray(np.linalg.qr(np.column_stack([system, wanted]), mode="r"), np.float64)
    columns = system.shape[1]
    diagonal = np.abs(np.diag(triangle)[:columns])
    if not np.isfinite(triangle).all() or diagonal.min() < 1e-14 * diagonal.max():
        return None
    return np.asarray(np.linalg.solve(triangle[:columns, :columns], triangle[:columns, columns]), np.float64)


def _root(values: Doubles, power: int) -> Doubles:
    return values if power == 1 else np.maximum(values, 0.0) ** (1.0 / power)


def _slope(a: Doubles, b: Doubles, power: int) -> Doubles:
    """(a^k - b^k)/(a - b): what a difference of the roots is worth."""
    a, b = np.abs(a), np.abs(b)
    total = sum((a**i * b ** (power - 1 - i) for i in range(power)), np.zeros_like(a))
    return np.maximum(total, _SMALLEST)


def _in_powers(samples: Samples, shape: Shape, a: Doubles, b: Doubles, error: float) -> Quotient | None:
    top, below = (_powers(c, samples.start, samples.end) for c in (a, b))
    if abs(below[-1]) < 1e-30:
        return None
    # A leading 1 in the denominator saves a constant and a multiplication.
    with np.errstate(over="ignore"):
        rows = [tuple((c / below[-1]).astype(np.float32).tolist()) for c in (top, below)]
    if not all(np.isfinite(row).all() for row in rows):
        return None
    return Quotient(rows[0], rows[1], shape.power, error)


def _powers(c: Doubles, start: float, end: float) -> Doubles:
    """Coefficients of 1, v, v², ... of a sum of Chebyshev's polynomials over [start, end]."""
    half, middle = 0.5 * (end - start), 0.5 * (end + start)
    found = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(c))(
        np.polynomial.Polynomial([-middle / half, 1.0 / half])
    )
    values = found.coef if isinstance(found, np.polynomial.Polynomial) else np.atleast_1d(found)
    result = np.zeros(len(c))
    result[: len(values)] = values
    return result
