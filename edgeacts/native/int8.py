"""The INT8 kernels by ctypes: 256-entry tables and depthwise convolutions, for tests and for measuring."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeacts import native

Bytes = NDArray[np.uint8]
_ADDRESS = ctypes.c_void_p


def isa() -> str:
    """The instruction set of the INT8 kernels: `vbmi`, `avx2`, `neon` or `plain`; AVX-512 without VBMI takes AVX2's.

    Raises NotAvailable.
    """
    return str(_library().edgeacts_int8_isa().decode())


def lookup(table: Bytes, x: Bytes, threads: int = 1) -> Bytes:
    """table[x] for a contiguous array of bytes. Raises NotAvailable."""
    values = np.ascontiguousarray(x, np.uint8)
    result = np.empty_like(values)
    lookup_at(table, values.ctypes.data, result.ctypes.data, values.size, threads)
    return result


def lookup_at(table: Bytes, x: int, y: int, count: int, threads: int = 1) -> None:
    """y = table[x] on `count` bytes at these addresses, which may be the same. Raises NotAvailable."""
    _library().edgeacts_lookup(_table(table).ctypes.data, x, y, count, threads)


def measure_lookup(count: int = 12288, rounds: int = 200) -> float:
    """Gigabytes a second of table[x] on one thread, for bytes that stay in the cache. Raises NotAvailable."""
    random = np.random.default_rng(0)
    table, x = random.integers(0, 256, 256, np.uint8), random.integers(0, 256, count, np.uint8)
    y = np.empty_like(x)
    found = _library().edgeacts_measure_lookup(
        table.ctypes.data, x.ctypes.data, y.ctypes.data, count, rounds, 20
    )
    return float(found)


def paired(weights: NDArray[np.integer]) -> NDArray[np.int16]:
    """[K, K, C] -> [2, (K + 1) // 2, K, C, 2]: rows by two, from the first and from the second on, zeros where there is none."""
    size, _, channels = weights.shape
    rows = np.zeros((2, size + 1, size, channels), np.int16)
    rows[0, :size] = weights
    rows[1, 1:] = weights
    rows[1, :2] = rows[1, 1::-1]  # the first stands alone, before its zeros
    return np.ascontiguousarray(rows.reshape(2, -1, 2, size, channels).transpose(0, 1, 3, 4, 2))


def packed(weights: NDArray[np.integer]) -> NDArray[np.int8]:
    """[depth, channels] as a convolution of all channels takes them: by 16 or 8 channels and by four rows, zeros below the last.

    Where channels are no multiple of 8, the last vector overlaps the one before it.
    """
    depth, channels = weights.shape
    rows = np.zeros((depth + -depth % 4, channels), np.int8)
    rows[:depth] = weights
    parts, at = [], 0
    while at < channels:
        vectors = 2 if at + 16 <= channels else 1
        start = at if vectors == 2 else min(at, channels - 8)
        part = rows[:, start : start + 8 * vectors].reshape(-1, 4, vectors, 8)
        parts.append(part.transpose(0, 2, 3, 1).ravel())
        at += 8 * vectors
    return np.concatenate(parts)


def depthwise(
    x: Bytes,
    weights: NDArray[np.integer],
    bias: NDArray[np.int32],
    scale: NDArray[np.float32],
    *,
    stride: int,
    pads: Sequence[int],
    zero_point: int,
    padding: int,
    before: Bytes | None = None,
    after: Bytes | None = None,
) -> Bytes:
    """after[clip(round(scale·(bias + Σ w·before[x])) + zero_point, 0, 255)] of x [N, H, W, C].

    `weights` are [K, K, C], less their zero point. `padding` stands beside the image, after the table;
    `pads` are top, left, bottom, right. Raises NotAvailable.
    """
    batch, height, width, channels = x.shape
    size = weights.shape[0]
    out_height = (height + pads[0] + pads[2] - size) // stride + 1
    out_width = (width + pads[1] + pads[3] - size) // stride + 1
    numbers = (
        batch,
        channels,
        height,
        width,
        out_height,
        out_width,
        size,
        stride,
        pads[0],
        pads[1],
        zero_point,
        padding,
    )
    x, bias, scale = np.ascontiguousarray(x), np.ascontiguousarray(bias), np.ascontiguousarray(scale)
    packed, result = paired(weights), np.empty((batch, out_height, out_width, channels), np.uint8)
    tables = [None if t is None else _table(t) for t in (before, after)]
    _library().edgeacts_depthwise8(
        (ctypes.c_int64 * len(numbers))(*numbers),
        x.ctypes.data,
        packed.ctypes.data,
        bias.ctypes.data,
        scale.ctypes.data,
        *(None if t is None else t.ctypes.data for t in tables),
        result.ctypes.data,
    )
    return result


def _table(table: Bytes) -> Bytes:
    whole = np.ascontiguousarray(table, np.uint8)
    if whole.shape != (256,):
        raise ValueError(f"a table of bytes has 256 entries, not shape {whole.shape}")
    return whole


@functools.cache
def _library() -> ctypes.CDLL:
    library = native.library()
    library.edgeacts_int8_isa.restype = ctypes.c_char_p
    library.edgeacts_int8_isa.argtypes = []
    library.edgeacts_lookup.restype = None
    library.edgeacts_lookup.argtypes = [_ADDRESS, _ADDRESS, _ADDRESS, ctypes.c_size_t, ctypes.c_int]
    library.edgeacts_measure_lookup.restype = ctypes.c_double
    library.edgeacts_measure_lookup.argtypes = [
        _ADDRESS, _ADDRESS, _ADDRESS, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
    ]  # fmt: skip
    library.edgeacts_depthwise8.restype = None
    library.edgeacts_depthwise8.argtypes = [_ADDRESS] * 8
    return library
