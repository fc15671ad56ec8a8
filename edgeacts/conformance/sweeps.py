"""The inputs of a comparison: every finite value of the small types, a dense sweep of float32."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.conformance.ulps import FloatType

MANTISSAS = 32768  # of a power of two in the middle: 2.4 million values in all
MIDDLE = (-16, 7)  # 2^-16 to 2^7, where activations bend
OUTSIDE = 16  # so many times fewer elsewhere
REACH = 32  # ULP on each side of a point of interest
NEAR_EVERYWHERE = (
    1.0,
    88.72284,
    87.33655,
    103.97208,
    9.0,
    18.0,
    44.0,
)  # where exp, tanh and σ end or runtimes cut them off

SPECIALS = {"nan": float("nan"), "+inf": float("inf"), "-inf": float("-inf"), "+0": 0.0, "-0": -0.0}


def every_value(kind: FloatType) -> NDArray[Any]:
    """All finite values of a 16-bit type, both zeros, both signs, subnormals: 63,488 of float16, 65,280 of bfloat16."""
    if kind.numpy.itemsize != 2:
        raise ValueError(f"{kind.name} has more values than can be tried: use float32_sweep")
    values = np.arange(2**16, dtype=np.uint16).view(kind.numpy)
    return values[np.isfinite(values.astype(np.float32))]


def float32_sweep(
    focus: Sequence[float] = (), *, seed: int = 0, mantissas: int = MANTISSAS
) -> NDArray[np.float32]:
    """Every exponent of float32 with `mantissas` stratified random mantissas (fewer outside 2^-16 to 2^7), both signs.

    The ends of each power of two, subnormals, the largest finite values and ±0 are among them, and all neighbours within
    32 ULP of ± each point in `focus`. Sorted by bits, each value once.
    """
    near = neighbours([*focus, *NEAR_EVERYWHERE, 0.0, float(np.finfo(np.float32).max)])
    bits = np.concatenate([_positive(seed, mantissas), near.view(np.uint32) & 0x7FFFFFFF])
    bits = np.unique(bits)
    return np.concatenate([bits, bits | np.uint32(0x80000000)]).view(np.float32)


def neighbours(points: Sequence[float], reach: int = REACH) -> NDArray[np.float32]:
    """The float32 numbers within `reach` steps of each point, finite ones only; around 0 on its side of 0."""
    nearest = np.asarray(points, np.float64).astype(np.float32)
    nearest = nearest[np.isfinite(nearest)]
    magnitude = (nearest.view(np.uint32) & 0x7FFFFFFF).astype(np.int64)
    around = np.maximum(magnitude[:, None] + np.arange(-reach, reach + 1), 0).astype(np.uint32)
    around |= nearest.view(np.uint32)[:, None] & np.uint32(0x80000000)
    values: NDArray[np.float32] = around.ravel().view(np.float32)
    return values[np.isfinite(values)]


@lru_cache(maxsize=2)
def _positive(seed: int, mantissas: int) -> NDArray[np.uint32]:
    rng = np.random.default_rng(seed)
    parts = []
    for biased in range(255):  # 0: the subnormals
        inside = MIDDLE[0] <= biased - 127 < MIDDLE[1]
        count = mantissas if inside else max(mantissas // OUTSIDE, 4)
        stratified = ((np.arange(count) + rng.random(count)) * (2.0**23 / count)).astype(np.uint32)
        ends = np.array([0, 1, 2**23 - 1], np.uint32)
        parts.append(np.uint32(biased << 23) | np.concatenate([ends, stratified]))
    return np.concatenate(parts)
