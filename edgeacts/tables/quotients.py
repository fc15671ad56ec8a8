"""The cheapest quotient of two polynomials that is within the bound, if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeacts.quotient import DEGREE, POWER_DEGREE, POWER_QUOTIENT_DEGREE, Quotient
from edgeacts.tables.certificate import ULP_HALF, half_ulp, horner_with_rounding
from edgeacts.tables.power_quotients import certify_power_quotient, fit_power_quotient
from edgeacts.tables.subject import Doubles, Subject, line_at

_TAILS = (1e-7, 2.5e-7, 5e-7)  # how far the lines may be from the function where they take over
_DIVISION = 3  # multiply-adds that a division is worth
_EVEN, _POWER = 5, 9  # that squaring and what follows is worth; a power of two, with a polynomial of degree 4
_DEAREST = 21
_ROUGH, _FINE = (8, 200), (40, 500)  # (rounds of reweighting, points)
# A quotient stays the same when both polynomials are made larger, but its coefficients are rounded otherwise: where the first
# bound is not much too large, another size may do. The last digits differ from one CPU's linear algebra to the next.
_SIZES, _HOPE = tuple(2 ** (k / 16) for k in range(16)), 1.5
_POINTS = 20_000  # where a quotient is certified
_FARTHEST = 60.0  # powers of larger arguments lose too many digits


@dataclass(frozen=True)
class Rated:
    """A quotient and its certified bound."""

    quotient: Quotient
    bound: float


@dataclass(frozen=True)
class _Shape:
    """Degrees of the polynomials, what they are in, and what that costs in multiply-adds."""

    cost: int
    top: int
    below: int
    even: bool = False
    power: int = 0


def best_quotient(subject: Subject, allowed: float) -> Rated | None:
    """The cheapest within the bound; None for kinks in its range, digits lost, or derivatives, which only train."""
    if subject.order or subject.mirrored:
        return None
    ranges = list(_ranges(subject))
    for shape in _shapes(even=_is_even(subject)):
        for lo, hi in ranges:
            for found in _fitted(subject, lo, hi, shape, allowed):
                bound = certify_quotient(subject, found)
                if bound <= allowed:
                    return Rated(found, bound)
                if bound > _HOPE * allowed:
                    break
    return None


def _fitted(subject: Subject, lo: float, hi: float, shape: _Shape, allowed: float) -> Iterator[Quotient]:
    """The best one of a shape, its coefficients rounded in several ways."""
    if shape.power:
        power = fit_power_quotient(subject, lo, shape.below, shape.power, allowed)
        yield from () if power is None else (power,)
        return
    fit = _Fit(subject, lo, hi, shape.top, shape.below, even=shape.even)
    if fit.best(*_ROUGH, 2 * allowed) is None:
        return
    best = fit.best(*_FINE, allowed)
    if best is not None:
        yield from (fit.rounded(*best, size) for size in _SIZES)


def _is_even(subject: Subject) -> bool:
    """Whether f(x) - x/2 is the same for x and -x, and smooth in x²: a kink is an end of a range, which has one side only."""
    x = np.linspace(0.0, 20.0, 4001)
    return not subject.kinks and bool(np.max(np.abs(subject(x) - subject(-x) - x)) < 1e-12)


def _shapes(*, even: bool) -> list[_Shape]:
    """What may be tried, the cheapest first."""
    pairs = [(top, 0) for top in range(1, 9)]
    pairs += [(top, below) for below in range(2, DEGREE) for top in (below - 1, below, below + 1) if top]
    shapes = [
        _Shape(sum(p) + (_DIVISION if p[1] else 0) + _EVEN * even, *p, even)
        for p in pairs
        if sum(p) <= _DEAREST
    ]
    for power in (POWER_DEGREE - 1, POWER_DEGREE):
        cost = _POWER + _DIVISION + power - (POWER_DEGREE - 1)
        shapes += [
            _Shape(cost + 2 * degree, degree, degree, power=power)
            for degree in range(1, POWER_QUOTIENT_DEGREE + 1)
        ]
    return sorted(shapes, key=lambda shape: shape.cost)


def _ranges(subject: Subject) -> Iterator[tuple[float, float]]:
    """Where the function is smooth and beyond which it is its lines."""
    seen = set()
    for tail in _TAILS:
        lo, hi = (_at_kink(subject, end) for end in subject.ends(tail))
        inner = [k for k in subject.kinks if lo < k < hi]
        if len(inner) == 1 and (lo, hi) == (inner[0] - 1.0, inner[0] + 1.0):  # two lines and nothing between
            lo, inner = inner[0], []
        lo, hi = float(np.float32(lo)), float(np.float32(hi))
        if not inner and max(abs(lo), abs(hi)) <= _FARTHEST and (lo, hi) not in seen:
            seen.add((lo, hi))
            yield lo, hi


def _at_kink(subject: Subject, end: float) -> float:
    """The kink next to an end: the function is smooth up to it, whatever the lines are worth there."""
    return next((k for k in subject.kinks if abs(k - end) < 0.02), end)


class _Fit:
    """Least squares, reweighted until the errors are even. In Chebyshev's polynomials; the result is in powers."""

    def __init__(self, subject: Subject, lo: float, hi: float, top: int, below: int, *, even: bool) -> None:
        self.subject, self.below, self.even = subject, below, even
        self.lo, self.hi = (-max(-lo, hi), max(-lo, hi)) if even else (lo, hi)
        # what the polynomials are in
        self.start, self.end = (0.0, self.hi**2) if even else (lo, hi)
        # f(0) = 0 is kept exactly: the factor u.
        self.through_zero = float(subject(np.array([0.0]))[0]) == 0
        self.top = top - self.through_zero

    def best(self, rounds: int, points: int, least: float) -> tuple[Doubles, Doubles] | None:
        """Chebyshev's coefficients of the one with the smallest error below `least`; None without one, or for a zero below."""
        if self.top < 0:
            return None
        nodes = -np.cos(np.pi * (np.arange(points) + 0.5) / points)
        u = 0.5 * (self.lo + self.hi) + 0.5 * (self.hi - self.lo) * nodes
        wanted, scale = self.subject(u) - 0.5 * u * self.even, self.subject.scale(u)
        t = u * u if self.even else u
        g = (2.0 * t - self.start - self.end) / (self.end - self.start)
        over = np.polynomial.chebyshev.chebvander(g, self.top)
        if self.through_zero:
            over = over * t[:, None]
        under = np.polynomial.chebyshev.chebvander(g, self.below)
        found = None
        emphasis, q = np.ones(points), np.ones(points)
        for _ in range(rounds if self.below else 1):
            weight = np.sqrt(emphasis) / (scale * np.abs(q))
            system = np.hstack([over * weight[:, None], -under[:, 1:] * (wanted * weight)[:, None]])
            solution = np.linalg.lstsq(system, wanted * weight, rcond=None)[0]
            a = np.asarray(solution[: self.top + 1], np.float64)
            b: Doubles = np.append(1.0, solution[self.top + 1 :])
            q = under @ b
            q = np.where(np.abs(q) < 1e-9, 1e-9, q)
            error = np.abs(over @ a / q - wanted) / scale
            if error.max() <= least and (np.all(q > 0) or np.all(q < 0)):
                found, least = (a, b), float(error.max())
            emphasis = np.maximum(emphasis * (error / max(error.max(), 1e-30)), 1e-12)
            emphasis /= emphasis.max()
        return found

    def rounded(self, a: Doubles, b: Doubles, larger: float) -> Quotient:
        """In powers, as float32: the largest coefficient below is 1/`larger`."""
        top, below = (self._powers(c) for c in (a, b))
        if self.through_zero:
            top = np.append(0.0, top)
        size = below[0] if len(below) == 1 else larger * np.abs(below).max() * np.sign(below[0])
        rows = ((c / size).astype(np.float32) for c in (top, below))
        numerator, denominator = rows
        return Quotient(self.lo, self.hi, numerator, denominator, self.even)

    def _powers(self, c: Doubles) -> Doubles:
        """Coefficients of 1, t, t², ... of a sum of Chebyshev's polynomials over [start, end]."""
        half, middle = 0.5 * (self.end - self.start), 0.5 * (self.end + self.start)
        outer = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(c))
        result = np.zeros(len(c))
        found = outer(np.polynomial.Polynomial([-middle / half, 1.0 / half]))
        values = found.coef if isinstance(found, np.polynomial.Polynomial) else np.atleast_1d(found)
        result[: len(values)] = values
        return result


def certify_quotient(subject: Subject, quotient: Quotient) -> float:
    """A bound on |kernel - f|/max(1, |x|) for every x; infinite when the denominator has a zero in the range."""
    if quotient.power is not None:
        return certify_power_quotient(subject, quotient)
    lo, hi = quotient.lo, quotient.hi
    u = np.linspace(lo, hi, _POINTS + 1)
    value, rounding = _value_with_rounding(quotient, u)
    if value is None:
        return float("inf")
    scale = subject.scale(u)
    error = np.abs(value - subject(u)) / scale
    between = 0.25 * float(np.abs(np.diff(error, 2)).max())  # (spacing²/8)·max|e''|, doubled
    inside = float(np.max(error + rounding / scale)) + between
    return max(inside, _beyond(subject, quotient))


def _value_with_rounding(quotient: Quotient, u: Doubles) -> tuple[Doubles | None, Doubles]:
    """The exact value of the float32 coefficients' quotient, and how far float32 arithmetic may be from it."""
    t = u * u if quotient.even else u
    over, under = (row.astype(np.float64) for row in (quotient.numerator, quotient.denominator))
    top, top_bound = horner_with_rounding(over, t)
    below, below_bound = horner_with_rounding(under, t)
    if not (np.all(below > 4 * below_bound + 1e-12) or np.all(below < -4 * below_bound - 1e-12)):
        return None, u
    value = top / below
    bound = (top_bound + np.abs(value) * below_bound) / (np.abs(below) - below_bound)
    if not quotient.is_polynomial:
        bound = bound + half_ulp(value)
    if quotient.even:  # u² is rounded, and so is the sum
        slope = (_derived(over, t) - value * _derived(under, t)) / below
        bound = bound + np.abs(slope) * 1.01 * half_ulp(t)
        value = value + 0.5 * u
        bound = bound + half_ulp(value)
    return value, bound


def _derived(row: Doubles, t: Doubles) -> Doubles:
    return np.asarray(np.polynomial.polynomial.polyval(t, np.polynomial.polynomial.polyder(row)), np.float64)


def _beyond(subject: Subject, quotient: Quotient) -> float:
    """The same where the lines hold."""
    steps, scan = np.geomspace(1e-6, 32.0, 500), subject.scan
    below = np.concatenate([quotient.lo - steps, scan[scan < quotient.lo]])
    above = np.concatenate([quotient.hi + steps, scan[scan > quotient.hi]])
    left = line_at(subject.left, below)
    right, rounding = line_at(subject.right, above), np.zeros(1)
    slope = subject.right[0]
    if slope != 0:  # the value at the end, and what x has over it
        at_end, rounding = _value_with_rounding(quotient, np.array([quotient.hi]))
        if at_end is None:
            return float("inf")
        right = at_end + slope * (above - quotient.hi)
    left_error = np.abs(left - subject(below)) / subject.scale(below)
    right_error = (np.abs(right - subject(above)) + rounding) / subject.scale(above)
    lost = ULP_HALF * max(abs(subject.left[0]) + abs(subject.left[1]), 2 * abs(slope) + abs(subject.right[1]))
    return float(max(left_error.max(), right_error.max())) + lost
