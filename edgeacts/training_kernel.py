"""Training on the CPU with the kernels: tables of f and of its derivatives, for large dense float32 tensors."""

from __future__ import annotations

import ctypes
import os
from functools import cache, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from edgeacts import native
from edgeacts.definition import Activation
from edgeacts.piecewise import Table
from edgeacts.tables import NotTabulated, compile_affine, compile_mirrored, compile_table

SMALLEST = 2**13  # elements: below, the formula is as fast


class KernelReading:
    """f or one of its derivatives by the kernel; `run` gives None where the formula has to do it."""

    def __init__(self, activation: Activation, by: tuple[str, ...]) -> None:
        self._activation, self._by = activation, by
        self._parameter = activation.parameters[0].name if len(activation.parameters) == 1 else None
        self._usable = not activation.parameters or self._parameter is not None
        self._mirrored = False
        self._found: Table | None = None
        self._ends: tuple[Table, Table] | None = None

    def run(self, x: Tensor, parameters: list[Tensor], factor: Tensor | None) -> Tensor | None:
        """factor·f(x) for dense float32 CPU tensors of one layout, in the threads of torch's own pool."""
        if not self._usable or not _fits(x, factor) or any(p.numel() != 1 for p in parameters):
            return None
        if not native.available():
            return None
        table = self._table(parameters)
        if table is None:
            self._usable = False
            return None
        out = torch.empty_like(x)
        native.apply_at(
            table,
            x.data_ptr(),
            None if factor is None else factor.data_ptr(),
            out.data_ptr(),
            x.numel(),
            torch.get_num_threads(),
            gomp_parallel(),
            mirrored=self._mirrored,
        )
        return out

    def run_with_sum(
        self, other: KernelReading, x: Tensor, parameters: list[Tensor], factor: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """(factor·f(x), Σ factor·g(x)) in one pass, g being `other`: the gradients of x and of a parameter of the layer."""
        if (
            not (self._usable and other._usable)
            or not _fits(x, factor)
            or any(p.numel() != 1 for p in parameters)
        ):
            return None
        tables = (self._table(parameters), other._table(parameters)) if native.available() else (None, None)
        if tables[0] is None or tables[1] is None or self._mirrored or other._mirrored:
            return None
        out = torch.empty_like(x)
        threads = torch.get_num_threads()
        total = native.apply_and_sum_at(
            tables[0],
            tables[1],
            x.data_ptr(),
            factor.data_ptr(),
            out.data_ptr(),
            x.numel(),
            threads,
            gomp_parallel(),
        )
        return out, torch.tensor(total, dtype=torch.float32)

    def _table(self, parameters: list[Tensor]) -> Table | None:
        if self._found is not None:
            return self._found
        order = self._by.count("x")
        try:
            if self._parameter is None:
                self._found = self._fixed(order)
                return self._found
            self._ends = self._ends or compile_affine(self._activation, order)
        except NotTabulated:
            return None
        at_0, at_1 = self._ends
        others = len(self._by) - order
        if others > 1:
            return None
        if others == 1:
            self._found = at_0.combined(-1.0, at_1, 1.0)
            return self._found
        value = float(parameters[0])
        return at_0.combined(1.0 - value, at_1, value)

    def _fixed(self, order: int) -> Table:
        if self._mirrored:
            return compile_mirrored(self._activation, order)
        try:
            return compile_table(self._activation, order)
        except NotTabulated:
            self._mirrored = True  # ReLU's derivative jumps
            return compile_mirrored(self._activation, order)


def _fits(x: Tensor, factor: Tensor | None) -> bool:
    if type(x) is not Tensor or x.device.type != "cpu" or x.dtype != torch.float32 or x.numel() < SMALLEST:
        return False
    if torch.compiler.is_compiling() or not is_dense(x):
        return False
    return factor is None or (
        type(factor) is Tensor
        and factor.dtype == torch.float32
        and factor.shape == x.shape
        and factor.stride() == x.stride()
    )


def is_dense(x: Tensor) -> bool:
    """Whether the elements lie one after the other, in any of torch's usual orders."""
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))


@lru_cache(maxsize=1024)
def kernel_reading(activation: Activation, by: tuple[str, ...]) -> KernelReading:
    """The reading of ∂f/∂by..., one object each."""
    return KernelReading(activation, by)


@cache
def gomp_parallel() -> int | None:
    """Address of GOMP_parallel in the OpenMP runtime that torch has loaded: a second pool of threads would fight with its own."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    folder = Path(torch.__file__).parent / "lib"
    for path in (*sorted(folder.glob("libgomp*.so*")), Path("libgomp.so.1")):
        try:
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD)
            return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value
        except (OSError, AttributeError):
            continue
    return None
