"""QLinearConv and its kin in numpy: exactly, or with the 16-bit sums of x86 CPUs without VNNI.

There uint8 x int8 products are summed in pairs by `vpmaddubsw`, whose 16-bit result saturates:

    sum over j of clip(a[2j]·w[2j] + a[2j+1]·w[2j+1], -32768, 32767)    with a unsigned

K runs as ONNX Runtime's MLAS packs it: kernel position first, channel last, per group; an odd K has a zero at its end. The pair
saturates only if |w[2j]| + |w[2j+1]| > 128, so few pairs need to be looked at: the sum is the exact one plus corrections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
LOW, HIGH = -32768, 32767  # int16
# 512 products of at most 255·128 stay below 2**24, where float32 sums are exact in any order.
EXACT_TERMS = 512


@dataclass(frozen=True)
class Sums:
    """`values` int32 [M, O]; of `pairs` pairs that were summed, `saturated` hit the limits of 16 bits."""

    values: Ints
    saturated: int
    pairs: int


def exact_sums(a: NDArray[Any], w: NDArray[Any]) -> Ints:
    """int32 [M, O] = a [M, K] times w [K, O], both of 8-bit values; without any saturation."""
    left, right = a.astype(np.float32), w.astype(np.float32)
    total = np.zeros((a.shape[0], w.shape[1]), np.int32)
    for start in range(0, a.shape[1], EXACT_TERMS):
        part = slice(start, start + EXACT_TERMS)
        total += (left[:, part] @ right[part]).astype(np.int32)
    return total


def paired_sums(a: NDArray[np.uint8], w: NDArray[np.int8]) -> Sums:
    """What `vpmaddubsw` makes of a [M, K] times w [K, O]."""
    total = exact_sums(a, w)
    count = (a.shape[1] + 1) // 2
    left, right = _even(a, axis=1).astype(np.int32), _even(w, axis=0).astype(np.int32)
    highest = left.max(axis=0, initial=0)
    saturated = 0
    for pair, columns in _candidates(right, highest):
        first, second = 2 * pair, 2 * pair + 1
        sums = left[:, first, None] * right[first, columns] + left[:, second, None] * right[second, columns]
        excess = np.clip(sums, LOW, HIGH) - sums
        total[:, columns] += excess
        saturated += int(np.count_nonzero(excess))
    return Sums(total, saturated, a.shape[0] * w.shape[1] * count)


def _even(values: NDArray[Any], axis: int) -> NDArray[Any]:
    if values.shape[axis] % 2 == 0:
        return values
    widths = [(0, 0), (0, 0)]
    widths[axis] = (0, 1)
    return np.pad(values, widths)


def _candidates(w: Ints, highest: Ints) -> list[tuple[int, NDArray[np.intp]]]:
    """(pair, output channels) where activations up to `highest` can saturate."""
    up, down = np.maximum(w, 0) * highest[:, None], np.minimum(w, 0) * highest[:, None]
    can = (up[0::2] + up[1::2] > HIGH) | (down[0::2] + down[1::2] < LOW)
    return [(int(pair), np.flatnonzero(can[pair])) for pair in np.flatnonzero(can.any(axis=1))]


@dataclass(frozen=True)
class Window:
    """A convolution's geometry: pads are (top, left, bottom, right)."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)


def patches(x: NDArray[Any], window: Window, fill: int) -> tuple[NDArray[Any], tuple[int, int, int]]:
    """([N·H'·W', kernel positions, C], (N, H', W')) of x [N, H, W, C] padded with `fill`."""
    top, left, bottom, right = window.pads
    if any(window.pads):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    count, height, width, channels = x.shape
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.strides, window.dilations
    rows, columns = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    result = np.empty((count, rows, columns, kh * kw, channels), x.dtype)
    for i in range(kh):
        for j in range(kw):
            part = x[
                :, i * dh : i * dh + sh * (rows - 1) + 1 : sh, j * dw : j * dw + sw * (columns - 1) + 1 : sw
            ]
            result[:, :, :, i * kw + j] = part
    return result.reshape(count * rows * columns, kh * kw, channels), (count, rows, columns)


def requantize(sums: Ints, scale: NDArray[np.float32], zero: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """clip(round(sums·scale)) + zero in float32, ties to even, in the order of MLAS: clip before rounding."""
    limits = np.iinfo(dtype)
    values = sums.astype(np.float32) * scale
    values = np.clip(values, np.float32(limits.min - zero), np.float32(limits.max - zero))
    result: NDArray[Any] = (np.rint(values).astype(np.int32) + zero).astype(dtype)
    return result
