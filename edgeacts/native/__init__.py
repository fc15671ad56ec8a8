"""The kernels: a C++ library that evaluates tables. pip builds it where there is a compiler; `missing()` says what is wrong."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.machinery
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import NotAvailable
from edgeacts.piecewise import NUMBERS, Table

ISA_VARIABLE = "EDGEACTS_ISA"
ISAS = ("avx512", "avx2", "neon", "plain")
_CURE = "install a C++ compiler (g++ or clang++) and run pip install again, with --force-reinstall --no-deps"
_FLOAT = ctypes.c_void_p


def library_path() -> Path | None:
    """The built library, which ONNX Runtime loads with `register_custom_ops_library`; None when it was not built."""
    folder = Path(__file__).parent
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        candidate = folder / f"_kernels{suffix}"
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def missing() -> str | None:
    """None when the kernels can be used, else the reason and the cure on one line."""
    path = library_path()
    if path is None:
        return f"edgeacts' kernels were not built: {_CURE}"
    try:
        library = _load(path)
    except (OSError, AttributeError) as error:
        return f"edgeacts' kernels cannot be loaded ({error}): {_CURE}"
    if library.edgeacts_table_numbers() != NUMBERS or not hasattr(library, "edgeacts_depthwise8"):
        return f"edgeacts' kernels were built from another version: {_CURE}"
    return None


def available() -> bool:
    """Whether the kernels can be used."""
    return missing() is None


@functools.cache
def isa() -> str:
    """The instruction set in use: the best one of this CPU, or the one that EDGEACTS_ISA names. Raises NotAvailable."""
    return str(library().edgeacts_isa().decode())


def has(name: str) -> bool:
    """Whether this CPU has the instruction set (`avx512`, `vbmi`, `avx2`, `neon`, `plain`). Raises NotAvailable."""
    return bool(library().edgeacts_has(name.encode()))


@functools.cache
def version() -> str:
    """What identifies these kernels: the first 16 digits of the library's SHA-256. Raises NotAvailable."""
    library()
    path = library_path()
    assert path is not None  # noqa: S101  library() has found it
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def apply(table: Table, x: NDArray[np.float32], threads: int = 1) -> NDArray[np.float32]:
    """f(x) by the kernel, for a contiguous float32 array. Raises NotAvailable."""
    values = np.ascontiguousarray(x, np.float32)
    result = np.empty_like(values)
    apply_at(table, values.ctypes.data, None, result.ctypes.data, values.size, threads)
    return result


def measure(table: Table, count: int = 4096, rounds: int = 200) -> float:
    """Nanoseconds an element of f(x) on one thread, for `count` numbers that stay in the cache. Raises NotAvailable."""
    x = np.random.default_rng(0).uniform(-6, 6, count).astype(np.float32)
    y = np.empty_like(x)
    numbers = table.numbers
    found = library().edgeacts_measure(
        numbers.ctypes.data, numbers.size, x.ctypes.data, y.ctypes.data, count, rounds, 50
    )
    return float(found)


def apply_at(
    table: Table,
    x: int,
    factor: int | None,
    y: int,
    count: int,
    threads: int,
    parallel: int | None = None,
    *,
    mirrored: bool = False,
) -> None:
    """y = f(x), or factor·f(x), on `count` float32 numbers at these addresses; x, factor and y may be the same.

    `parallel` is the address of an OpenMP runtime's GOMP_parallel, whose threads are then used. `mirrored`: the table is that
    of f(-x). Raises NotAvailable.
    """
    _apply(table, x, factor, y, count, mirrored, None, None, threads, parallel)


def apply_and_sum_at(
    table: Table,
    summed: Table,
    x: int,
    factor: int,
    y: int,
    count: int,
    threads: int,
    parallel: int | None = None,
) -> float:
    """y = factor·f(x) as `apply_at`, and in the same pass Σ factor·g(x), g being `summed`, which is returned."""
    total = ctypes.c_double()
    _apply(table, x, factor, y, count, False, summed, ctypes.addressof(total), threads, parallel)
    return total.value


def _apply(
    table: Table,
    x: int,
    factor: int | None,
    y: int,
    count: int,
    mirrored: bool,
    summed: Table | None,
    total: int | None,
    threads: int,
    parallel: int | None,
) -> None:
    numbers = table.numbers
    other = None if summed is None else summed.numbers.ctypes.data
    status = library().edgeacts_apply(
        numbers.ctypes.data, numbers.size, x, factor, y, count, mirrored, other, total, threads, parallel
    )
    if status != 0:
        raise NotAvailable(f"edgeacts' kernels do not take this table of {table.name}: {_CURE}")


def library() -> ctypes.CDLL:
    """The loaded library. Raises NotAvailable."""
    reason = missing()
    path = library_path()
    if reason is not None or path is None:
        raise NotAvailable(str(reason))
    return _load(path)


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.edgeacts_table_numbers.restype = ctypes.c_size_t
    library.edgeacts_table_numbers.argtypes = []
    library.edgeacts_isa.restype = ctypes.c_char_p
    library.edgeacts_isa.argtypes = []
    library.edgeacts_has.restype = ctypes.c_int
    library.edgeacts_has.argtypes = [ctypes.c_char_p]
    library.edgeacts_measure.restype = ctypes.c_double
    library.edgeacts_measure.argtypes = [
        _FLOAT, ctypes.c_size_t, _FLOAT, _FLOAT, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
    ]  # fmt: skip
    library.edgeacts_apply.restype = ctypes.c_int
    library.edgeacts_apply.argtypes = [
        _FLOAT, ctypes.c_size_t, _FLOAT, _FLOAT, _FLOAT, ctypes.c_size_t, ctypes.c_int, _FLOAT, ctypes.c_void_p,
        ctypes.c_int, ctypes.c_void_p,
    ]  # fmt: skip
    return library
