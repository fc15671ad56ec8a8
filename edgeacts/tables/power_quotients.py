"""Quotients in a power of two: f(x) = x·P(v)/Q(v), v = e^(ax): fits and certificates, for gates f(x)/x made of eˣ."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgeacts.quotient import Floats, Quotient
from edgeacts.tables.certificate import half_ulp, horner_with_rounding
from edgeacts.tables.subject import Doubles, Subject

_SAME = 1.5e-8  # a gate this near to 1 is 1 in float32
LARGEST = 120.0  # exponent of the largest and of the least power of v: they stay normal numbers
_OCTAVE = np.linspace(
    -0.5001, 0.5001, 401
)  # where each octave of v is certified: rounding may number one r beyond its end


def fit_power_quotient(subject: Subject, lo: float, degree: int, power: int, least: float) -> Quotient | None:
    """The quotient of these degrees with an error below `least`; None when there is none, or f is not such a function."""
    rate = _rate(subject, lo)
    if rate is None:
        return None
    hi = _end(subject)
    if degree * rate * hi > LARGEST or -rate * lo > LARGEST:
        return None
    rows = _fit(subject, lo, hi, rate, degree, least)
    if rows is None:
        return None
    # So far out that what is left of x·v is 1e-34: then the left line needs no choice between two numbers.
    return Quotient(float(np.float32(-LARGEST / rate)), hi, *rows, rate=rate, power=two_to(power))


@lru_cache(maxsize=8)
def two_to(degree: int) -> Floats:
    """Coefficients of the polynomial for 2ʳ on [-½, ½] with the least relative error: 2.6e-6 for 4, 7.5e-8 for 5."""
    r = -0.5 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    true, emphasis = np.exp2(r), np.ones_like(r)
    for _ in range(60):
        weight = np.sqrt(emphasis) / true
        system = np.vander(r, degree + 1, increasing=True) * weight[:, None]
        row = np.linalg.lstsq(system, true * weight, rcond=None)[0]
        error = np.abs(np.polynomial.polynomial.polyval(r, row) / true - 1.0)
        emphasis = np.maximum(emphasis * error / error.max(), 1e-12)
    found = row.astype(np.float32)
    found.setflags(write=False)
    return found


def _rate(subject: Subject, lo: float) -> float | None:
    """a/ln 2 for the gate's decay e^(ax) towards -∞; None unless f is 0 at 0, 0 on the left and x on the right, and smooth."""
    if subject.left != (0.0, 0.0) or subject.right != (1.0, 0.0) or subject.kinks or lo >= -1.0:
        return None
    x = np.array([1.5 * lo, 1.25 * lo, 0.0])  # where the gate is nothing but e^(ax)
    y = subject(x)
    gate = np.abs(y[:2] / x[:2])
    if y[2] != 0 or not np.all(gate > 1e-30):
        return None
    rate = float(np.log2(gate[1] / gate[0]) / (x[1] - x[0]))
    return float(np.float32(rate)) if rate > 0 else None


def _end(subject: Subject) -> float:
    """Where the gate has become 1."""
    above = subject.scan[subject.scan > 1e-3]
    off = np.flatnonzero(np.abs(subject(above) / above - 1.0) > _SAME)
    return float(np.float32(above[min(off[-1] + 1, len(above) - 1)] if len(off) else 1.0))


def _fit(
    subject: Subject, lo: float, hi: float, rate: float, degree: int, least: float
) -> tuple[Floats, Floats] | None:
    """(P, Q), by least squares reweighted until the errors are even; in s = v/(1 + v), which stays between 0 and 1."""
    u = np.linspace(lo, hi, 1600)
    u = u[u != 0]
    wanted, weighed = subject(u) / u, np.abs(u) / subject.scale(u)
    v = np.exp2(rate * u)
    s = v / (1.0 + v)
    g = 2.0 * s / s.max() - 1.0
    over = np.polynomial.chebyshev.chebvander(g, degree - 1) * s[:, None]
    under = np.polynomial.chebyshev.chebvander(g, degree)
    found, emphasis, q = None, np.ones_like(u), np.ones_like(u)
    for _ in range(40):
        weight = np.sqrt(emphasis) * weighed / np.abs(q)
        system = np.hstack([over * weight[:, None], -under[:, 1:] * (wanted * weight)[:, None]])
        solution = np.linalg.lstsq(system, wanted * weight, rcond=None)[0]
        a, b = solution[:degree], np.append(1.0, solution[degree:])
        q = under @ b
        q = np.where(np.abs(q) < 1e-9, 1e-9, q)
        error = np.abs(over @ a / q - wanted) * weighed
        if error.max() <= least and (np.all(q > 0) or np.all(q < 0)):
            found, least = (a, b), float(error.max())
        if error.max() < 1e-14:
            break
        emphasis = np.maximum(emphasis * (error / error.max()), 1e-12)
    if found is None:
        return None
    rows = np.append(0.0, _in_s(found[0], s.max())), _in_s(found[1], s.max())
    top, below = (_in_v(row, degree) for row in rows)
    numerator, denominator = ((row / top[1]).astype(np.float32) for row in (top, below))
    return numerator, denominator


def _in_s(row: Doubles, largest: float) -> Doubles:
    """Coefficients of 1, s, s², ... of a sum of Chebyshev's polynomials in 2s/largest - 1."""
    outer = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(row))
    result = np.zeros(len(row))
    inner = outer(np.polynomial.Polynomial([-1.0, 2.0 / largest]))
    values = inner.coef if isinstance(inner, np.polynomial.Polynomial) else np.atleast_1d(inner)
    result[: len(values)] = values
    return result


def _in_v(row: Doubles, degree: int) -> Doubles:
    """The polynomial in v = s/(1 - s), times (1 + v)^degree; what is nothing beside the others is left out."""
    total = np.polynomial.Polynomial([0.0])
    for k, coefficient in enumerate(row):
        power = np.polynomial.Polynomial([0.0] * k + [1.0])
        total = total + coefficient * power * np.polynomial.Polynomial([1.0, 1.0]) ** (degree - k)
    result = np.zeros(degree + 1)
    result[: len(total.coef)] = total.coef
    return np.where(np.abs(result) < 1e-12 * np.abs(result).max(), 0.0, result)


def certify_power_quotient(subject: Subject, quotient: Quotient) -> float:
    """A bound on |kernel - f|/max(1, |x|) for every x; infinite when the denominator has a zero in the range."""
    first, last = (np.floor(end * quotient.rate + 0.5) for end in (quotient.lo, quotient.hi))
    number = np.arange(first, last + 1)[:, None]
    u = np.clip((number + _OCTAVE) / quotient.rate, quotient.lo, quotient.hi)
    value, rounding = _value_with_rounding(quotient, u, number)
    if value is None:
        return float("inf")
    scale = subject.scale(u)
    error = np.abs(value - subject(u)) / scale
    between = 0.25 * float(np.abs(np.diff(error, 2, axis=1)).max())  # (spacing²/8)·max|e''|, doubled
    inside = float(np.max(error + rounding / scale)) + between
    below = subject.scan[subject.scan < quotient.lo]
    left = (
        float(np.max(np.abs(subject(below)) / subject.scale(below))) + 1e-30
    )  # of what is left of x·v there
    return max(inside, left, _beyond(subject, quotient, float(last)))


def _value_with_rounding(quotient: Quotient, u: Doubles, number: Doubles) -> tuple[Doubles | None, Doubles]:
    """The exact value with the float32 coefficients, and how far float32 arithmetic may be from it."""
    assert quotient.power is not None  # noqa: S101  both callers have looked: others have no powers to round
    power, over, under = (
        row.astype(np.float64) for row in (quotient.power, quotient.numerator, quotient.denominator)
    )
    r = u * quotient.rate - number
    base, lost = horner_with_rounding(power, r)
    lost = lost + np.abs(
        np.polynomial.polynomial.polyval(r, np.polynomial.polynomial.polyder(power))
    ) * half_ulp(r)
    v = base * np.exp2(number)
    top, top_bound = horner_with_rounding(over, v)
    below, below_bound = horner_with_rounding(under, v)
    if quotient.common:  # kernels may add the constant to the numerator instead
        below_bound = np.maximum(below_bound, top_bound + half_ulp(below))
    if not (np.all(below > 4 * below_bound) or np.all(below < -4 * below_bound)):
        return None, u
    gate = top / below
    slope = np.polynomial.polynomial.polyval(v, np.polynomial.polynomial.polyder(over))
    slope = (
        slope - gate * np.polynomial.polynomial.polyval(v, np.polynomial.polynomial.polyder(under))
    ) / below
    bound = (top_bound + np.abs(gate) * below_bound) / (np.abs(below) - below_bound)
    bound = bound + 1.01 * np.abs(slope) * np.exp2(number) * lost + half_ulp(gate)
    return u * gate, np.abs(u) * bound + half_ulp(u * gate)


def _beyond(subject: Subject, quotient: Quotient, number: float) -> float:
    """Over hi the gate stays what it is there."""
    hi = np.array([[quotient.hi]])
    value, rounding = _value_with_rounding(quotient, hi, np.array([[number]]))
    if value is None:
        return float("inf")
    x = np.concatenate(
        [quotient.hi + np.geomspace(1e-6, 32.0, 500), subject.scan[subject.scan > quotient.hi]]
    )
    gate, lost = value.item() / quotient.hi, rounding.item() / quotient.hi
    return float(np.max((np.abs(x * gate - subject(x)) + x * lost) / subject.scale(x)))
