"""|got - true| in units in the last place (ULP): the spacing of a floating-point type at the true value.

The true value is not rounded: a correctly rounded result is off by at most 1/2. Below the least normal number the spacing is
that of the subnormal ones, at 0 too. Where the true value rounds to infinity, infinity is what is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class FloatType:
    """A binary floating-point type: bits behind the point of the mantissa, exponents of its normal numbers."""

    name: str
    mantissa: int
    least_exponent: int
    greatest_exponent: int
    element_type: int  # ONNX's number

    @property
    def numpy(self) -> np.dtype[Any]:
        """numpy's type of that name; bfloat16 is the one that onnx brings along."""
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.element_type))

    @property
    def unit(self) -> float:
        """The largest relative error of rounding once."""
        return float(2.0 ** -(self.mantissa + 1))

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return float((2.0 - 2.0**-self.mantissa) * 2.0**self.greatest_exponent)

    @property
    def overflows_from(self) -> float:
        """The least number that rounds to infinity."""
        return self.largest + 0.5 * float(2.0 ** (self.greatest_exponent - self.mantissa))


FLOAT_TYPES: Mapping[str, FloatType] = MappingProxyType(
    {
        t.name: t
        for t in (
            FloatType("float32", 23, -126, 127, TensorProto.FLOAT),
            FloatType("float16", 10, -14, 15, TensorProto.FLOAT16),
            FloatType("bfloat16", 7, -126, 127, TensorProto.BFLOAT16),
        )
    }
)


def ulp(values: ArrayLike, kind: FloatType) -> Doubles:
    """The spacing of the type at each |value|, which must be finite."""
    _, exponent = np.frexp(np.asarray(values, np.float64))
    # frexp's fraction is in [1/2, 1); its exponent of 0 is 0.
    normal = np.where(np.asarray(values) == 0, kind.least_exponent, exponent - 1)
    bounded = np.clip(normal, kind.least_exponent, kind.greatest_exponent)
    return np.asarray(np.ldexp(1.0, bounded - kind.mantissa))


def errors_in_ulp(got: Doubles, true: Doubles, kind: FloatType) -> Doubles:
    """|got - true|/ULP(true); NaN where `got` is not finite although a finite number is right, or the other way round."""
    infinite = np.abs(true) >= kind.overflows_from
    limit = 2.0 ** (kind.greatest_exponent + 1)  # where the next number would be
    right_infinity = infinite & np.isinf(got) & (np.sign(got) == np.sign(true))
    given = np.where(right_infinity, np.copysign(limit, true), np.where(np.isfinite(got), got, np.nan))
    wanted = np.where(infinite, np.copysign(limit, true), true)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(given - wanted) / ulp(wanted, kind))
