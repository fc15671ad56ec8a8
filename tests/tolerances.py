"""How far a computed activation may be from the true one: one table, in units in the last place (ULP), each with its reason."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Where σ or an exponential is below 1e-38, torch gives 0; multiplied by x and by a few constants that is at most this.
UNDERFLOW = 2e-36

_MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}
_LEAST_EXPONENT = {"float16": -14, "bfloat16": -126, "float32": -126, "float64": -1022}


@dataclass(frozen=True)
class Tolerance:
    """|got - true| ≤ ulp·ULP(scale) or ≤ `slack`; the scale is |true|, or that of `condition`."""

    ulp: float
    why: str


TORCH = {
    "float16": Tolerance(1, "computed in float32, rounded once: 1/2, and a little where f' crosses 0"),
    "bfloat16": Tolerance(1, "as float16"),
    "float32": Tolerance(5, "three to six operations, each rounded to 1/2 ULP or, in torch's exp, to 1"),
    "float64": Tolerance(5, "as float32"),
}

# Written as a difference that is small against its terms: measured against the terms.
CANCELS = {"sau": "α·x + (1-α)·x·(1 + erf)/2: for α near 0 or below, a difference of terms as large as x"}

# ONNX Runtime's Sigmoid, Tanh and Erf are right to a few 1e-8 absolutely, not relatively: x·gate is right to that times |x|.
ONNX_ROUNDING = 5e-7  # times max(1, |x|): 4 ULP of 1
OPENVINO_ROUNDING = 2e-6  # its exponential and erf are polynomials of lower degree


def condition(x: NDArray[np.float64], values: list[NDArray[np.float64]], order: int) -> NDArray[np.float64]:
    """The size against which an error of f^(order) is small: |f| + |x·f'|, or |f'| + |x·f''| + |f/x|.

    The second term is what one ULP of x does; the third is the gate of x·gate(x), whose derivative is gate + x·gate'.
    """
    with np.errstate(all="ignore"):
        scale = np.abs(values[order]) + np.abs(x * values[order + 1])
        if order == 1:
            scale = scale + np.where(x == 0, 0, np.abs(values[0] / x))
    return np.nan_to_num(scale, nan=0.0, posinf=np.finfo(np.float64).max)


def slack(name: str, x: NDArray[np.float64], order: int, computed_in: str) -> NDArray[np.float64]:
    """The absolute error that is forgiven in any case."""
    underflow = UNDERFLOW if computed_in == "float32" else 1e-306
    if name not in CANCELS:
        return np.full(x.shape, underflow)
    terms = np.minimum(np.abs(x), 3e38) if order == 0 else np.ones_like(x)
    return underflow + TORCH[computed_in].ulp * ulp(np.nan_to_num(terms), computed_in)


def ulp(size: ArrayLike, dtype: str) -> NDArray[np.float64]:
    """The distance between neighbouring numbers of that type at |size|."""
    least = _LEAST_EXPONENT[dtype]
    exponent = np.floor(np.log2(np.maximum(np.abs(size), 2.0**least)))
    return np.asarray(2.0 ** (np.maximum(exponent, least) - _MANTISSA[dtype]))


def worst(
    got: NDArray[np.float64],
    true: NDArray[np.float64],
    scale: ArrayLike,
    dtype: str,
    x: NDArray[np.float64],
    forgiven: ArrayLike = 0.0,
) -> tuple[float, str]:
    """(largest error above `forgiven`, in ULP of the scale; where). Infinities and NaN must be the same in both."""
    assert got.shape == true.shape == x.shape
    assert got.size, "nothing was compared"
    kind = np.isnan(got) != np.isnan(true)
    assert not kind.any(), f"NaN is wrong at x = {x[kind][:5]}"
    kind = (np.isinf(got) | np.isinf(true)) & (got != true)
    assert not kind.any(), (
        f"infinity is wrong at x = {x[kind][:5]}: {got[kind][:5]} instead of {true[kind][:5]}"
    )
    error = np.abs(np.nan_to_num(got) - np.nan_to_num(true))
    error[~np.isfinite(true) | (error <= forgiven)] = 0
    off = error / ulp(np.nan_to_num(scale), dtype)
    at = int(np.argmax(off))
    return float(off[at]), f"x = {x[at]!r}: {got[at]!r} instead of {true[at]!r}"
