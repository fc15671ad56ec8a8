"""One quotient of two polynomials for the whole of a function between its lines: what AVX2 evaluates where a function has one.

There a coefficient that depends on the segment costs as much as two multiply-adds. A quotient has no segments, and a smooth
function needs one of degree 8 to 10 where it needs polynomials of degree 7 to 9 on each of 8 segments. A function whose gate
f(x)/x is a quotient in eˣ, as SiLU's and Mish's, needs degrees of 1 and 2 and a power of two instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Line = tuple[float, float]

DEGREE = 11  # at most, of either polynomial
POWER_DEGREE = 5  # or 4: of the polynomial for 2ʳ
POWER_QUOTIENT_DEGREE = 3  # at most: of both polynomials of a quotient in a power of two
HEADER = 7
SIZE = HEADER + POWER_DEGREE + 1 + 2 * (DEGREE + 1)
_EXPONENT = 120.001  # at most, of the largest power of v
_MAGIC = np.float32(1.5 * 2**23)  # a sum with it has no digits behind the point


@dataclass(frozen=True)
class Quotient:
    """f(x) = P(u)/Q(u), u = x taken into [lo, hi]; over hi, what x has more than u times the line's slope is added.

    Below lo the left line itself (at lo as well, for a quotient that ends as 0), over hi a line that is a constant itself.
    Coefficients are those of 1, u, u², ...; Q is (1,) for a polynomial. `even`: f(x) = u/2 + P(u²)/Q(u²), of half the
    degrees, for functions with f(x) - f(-x) = x, such as SiLU and GELU. With a `power`, a polynomial for 2ʳ on [-½, ½]:
    f(x) = max(lo, x)·P(v)/Q(v), v = 2^(rate·u), P(v) = v + ... of Q's degree, for functions that end as 0 on the left and as
    x on the right.
    """

    lo: float
    hi: float
    numerator: Floats
    denominator: Floats
    even: bool = False
    rate: float = 0.0
    power: Floats | None = None

    @property
    def is_polynomial(self) -> bool:
        """Whether nothing is divided."""
        return len(self.denominator) == 1

    @property
    def common(self) -> bool:
        """Whether Q is P and a constant, so that a kernel with a power needs one polynomial: of SiLU and Mish."""
        return np.array_equal(self.numerator[1:], self.denominator[1:])

    def read(self, x: Floats, left: Line, right: Line) -> Floats:
        """What a kernel computes, with fused multiply-adds, for a function with these lines (slope, offset); NaN stays NaN."""
        lo, hi = np.float32(self.lo), np.float32(self.hi)
        u = np.minimum(np.maximum(x, lo), hi)
        if self.power is not None:
            v = self._powers(u, self.power)
            top = _horner(self.numerator, v)
            below = top + self.denominator[0] if self.common else _horner(self.denominator, v)
            return np.maximum(x, lo) * (top / below).astype(np.float32)
        t = (u * u).astype(np.float32) if self.even else u
        y = _horner(self.numerator, t)
        if not self.is_polynomial:
            y = (y / _horner(self.denominator, t)).astype(np.float32)
        if self.even:
            y = fma(u, np.float32(0.5), y)
        if right[0] == 0:
            y = np.where(x > hi, np.float32(right[1]), y)
        else:
            over = (np.maximum(x, lo) - u).astype(np.float32)
            y = (y + over).astype(np.float32) if right[0] == 1.0 else fma(np.float32(right[0]), over, y)
        offset = np.float32(left[1])
        line = offset if left[0] == 0 else fma(np.float32(left[0]), x, offset)
        at_lo = (
            (x == lo) & (np.signbit(x) == np.signbit(lo)) & (left == (0.0, 0.0)) & (not self.is_polynomial)
        )
        return np.where((x < lo) | at_lo, line, y)

    def _powers(self, u: Floats, power: Floats) -> Floats:
        """2^(rate·u): a polynomial in what the exponent has behind the point, and the rest added to the number's exponent."""
        rate = np.float32(self.rate)
        moved = fma(u, rate, _MAGIC)
        r = fma(u, rate, -(moved - _MAGIC))
        return (_horner(power, r).view(np.int32) + (moved.view(np.int32) << 23)).view(np.float32)

    def scaled(self, beta: float) -> Quotient:
        """That of f(βx)/β, β > 0."""
        powers = np.float64(beta) ** (np.arange(DEGREE + 1) * (2 if self.even else 1))
        top = (self.numerator * powers[: len(self.numerator)] / beta).astype(np.float32)
        below = (self.denominator * powers[: len(self.denominator)]).astype(np.float32)
        lo, hi = (float(np.float32(end / beta)) for end in (self.lo, self.hi))
        if self.power is not None:
            return replace(self, lo=lo, hi=hi, rate=float(np.float32(self.rate * beta)))
        return Quotient(lo, hi, top, below, self.even)

    def numbers(self) -> list[float]:
        """As the kernels read it."""
        result: list[float] = [
            self.lo,
            self.hi,
            len(self.numerator) - 1,
            len(self.denominator) - 1,
            self.even,
            self.rate,
            0 if self.power is None else len(self.power) - 1,
        ]
        power = np.zeros(0, np.float32) if self.power is None else self.power
        for row, degree in ((power, POWER_DEGREE), (self.numerator, DEGREE), (self.denominator, DEGREE)):
            result += [*row.tolist(), *[0.0] * (degree + 1 - len(row))]
        return result


NONE: Sequence[float] = [0.0] * SIZE
"""The numbers of a table without one."""


def decode(numbers: Floats) -> Quotient | None:
    """The quotient of these numbers, None for NONE. Raises ValueError for what is neither."""
    lo, hi, top, below, even, rate, power = (float(v) for v in numbers[:HEADER])
    if not numbers.any():
        return None
    if top not in range(DEGREE + 1) or below not in range(DEGREE + 1):
        raise ValueError("the degrees of its quotient are damaged")
    if power not in (0, POWER_DEGREE - 1, POWER_DEGREE) or (power > 0) != (0 < rate < 1e6):
        raise ValueError("the exponential of its quotient is damaged")
    rows = numbers[HEADER + POWER_DEGREE + 1 :].reshape(2, DEGREE + 1)
    found = Quotient(
        lo, hi, rows[0, : int(top) + 1].copy(), rows[1, : int(below) + 1].copy(), even == 1, rate,
        numbers[HEADER : HEADER + int(power) + 1].copy() if power else None,
    )  # fmt: skip
    if power and not _is_power_quotient(found):
        raise ValueError("the exponential of its quotient is damaged")
    if not lo < hi or even not in (0, 1) or not _has_no_zero(found):
        raise ValueError("its quotient is damaged")
    if found.is_polynomial and found.denominator[0] != 1:
        raise ValueError("its quotient is damaged")
    return found


def _is_power_quotient(q: Quotient) -> bool:
    degree = len(q.denominator) - 1
    rows = len(q.numerator) == degree + 1 and tuple(q.numerator[:2]) == (0.0, 1.0)
    return (
        rows
        and degree in range(1, POWER_QUOTIENT_DEGREE + 1)
        and not q.even
        and max(-q.lo, degree * q.hi) * q.rate <= _EXPONENT
    )


def _has_no_zero(quotient: Quotient) -> bool:
    """Whether Q stays away from 0 on [lo, hi]."""
    u = np.linspace(quotient.lo, quotient.hi, 1001)
    u = u * u if quotient.even else u if quotient.power is None else np.exp2(quotient.rate * u)
    values = np.polynomial.polynomial.polyval(u, quotient.denominator.astype(np.float64))
    return bool(np.all(np.isfinite(values)) and (np.all(values > 0) or np.all(values < 0)))


def _horner(row: Floats, u: Floats) -> Floats:
    y = np.full_like(u, row[-1])
    for coefficient in row[-2::-1]:
        y = fma(y, u, coefficient)
    return y


def fma(a: Any, b: Any, c: Any) -> Floats:
    """a·b + c rounded once: the float64 sum keeps by its last bit that something was lost, so that no tie appears in it."""
    product, term = np.asarray(a, np.float64) * np.asarray(b, np.float64), np.asarray(c, np.float64)
    total = np.asarray(product + term)
    kept = total - product
    lost = (product - (total - kept)) + (term - kept)
    even = np.isfinite(total) & (lost != 0) & (total.view(np.int64) % 2 == 0)
    return np.where(even, np.nextafter(total, np.copysign(np.inf, lost)), total).astype(np.float32)
