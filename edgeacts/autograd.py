"""f(x) and its closed derivatives of every order in torch: `Evaluation`, and `Apply`, which autograd differentiates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from edgeacts.cpu_reading import CpuOps
from edgeacts.definition import Activation
from edgeacts.plan import Plan, plan
from edgeacts.torch_reading import DoubleOps, TorchOps
from edgeacts.training_kernel import is_dense, kernel_reading

_HALVES = (torch.float16, torch.bfloat16)


class Evaluation:
    """f or one of its derivatives, to be called with x and the trainable parameters. One object each: see `evaluation`."""

    def __init__(self, activation: Activation, by: tuple[str, ...], *, kernel: bool = False) -> None:
        self.activation = activation
        self.by = by
        self.kernel = kernel_reading(activation, by) if kernel else None
        self.names = tuple(p.name for p in activation.parameters)
        self.plan: Plan = plan(activation, by)
        self._derivatives: dict[str, Evaluation] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return evaluation, (self.activation, self.by, self.kernel is not None)

    def derivative(self, name: str) -> Evaluation:
        """∂/∂name of this."""
        if name not in self._derivatives:
            self._derivatives[name] = evaluation(self.activation, (*self.by, name), self.kernel is not None)
        return self._derivatives[name]

    def prepare(self) -> Evaluation:
        """Derive what a backward pass needs now, so that torch.compile finds numbers and no SymPy."""
        for name in ("x", *self.names):
            self.derivative(name)
        return self

    def raw(
        self,
        x: Tensor,
        parameters: Sequence[Tensor],
        factor: Tensor | None = None,
        ops: type[TorchOps] = TorchOps,
    ) -> Tensor:
        """factor·f(x) in x's own dtype; half types are computed in float32 and not rounded back."""
        if self.kernel is not None and ops is TorchOps:
            result = self.kernel.run(x, list(parameters), factor)
            if result is not None:
                return result
        if ops is TorchOps and _in_blocks(x, parameters, factor):
            return self._blocks(x, parameters, factor)
        wide = x.float() if x.dtype in _HALVES else x
        values = {n: p.to(wide.dtype) for n, p in zip(self.names, parameters, strict=True)}
        if ops is TorchOps and wide.dtype == torch.float64:
            ops = DoubleOps
        result = self.plan.run(ops, wide, values)
        if not isinstance(result, Tensor) or result.shape != x.shape:
            result = torch.as_tensor(result, dtype=wide.dtype, device=x.device).expand_as(x).clone()
        elif result is x:  # the identity: autograd takes no input for an output
            result = x.clone()
        return result if factor is None else result * factor

    def _blocks(self, x: Tensor, parameters: Sequence[Tensor], factor: Tensor | None) -> Tensor:
        """The same, a cache-sized block at a time: the steps' intermediate results never reach main memory."""
        out = torch.empty_like(x, dtype=torch.float32 if x.dtype in _HALVES else x.dtype)
        flat_x, flat_out = _flat(x), _flat(out)
        flat_factor = None if factor is None else _flat(factor)
        for start in range(0, x.numel(), BLOCK):
            part = slice(start, start + BLOCK)
            block_factor = None if flat_factor is None else flat_factor[part]
            flat_out[part] = self.raw(flat_x[part], parameters, block_factor, CpuOps)
        return out


BLOCK = 2**17  # elements; 512 KiB of float32


def _in_blocks(x: Tensor, parameters: Sequence[Tensor], factor: Tensor | None) -> bool:
    """Large, dense CPU tensors with scalar parameters, outside torch.compile and transforms."""
    if torch.compiler.is_compiling() or x.numel() <= BLOCK or x.device.type != "cpu" or type(x) is not Tensor:
        return False
    if any(p.numel() != 1 for p in parameters) or not is_dense(x):
        return False
    return factor is None or (
        type(factor) is Tensor and factor.shape == x.shape and factor.stride() == x.stride()
    )


def _flat(x: Tensor) -> Tensor:
    """The elements in the order they lie in memory, as a view."""
    return x.view(-1) if x.is_contiguous() else x.permute(0, 2, 3, 1).reshape(-1)


def evaluation(activation: Activation, by: tuple[str, ...] = (), kernel: bool = False) -> Evaluation:
    """The evaluation of ∂f/∂by..., one object each. With `kernel`, large float32 CPU tensors are evaluated by table."""
    return _evaluation(activation, by, kernel)


@lru_cache(maxsize=1024)
def _evaluation(activation: Activation, by: tuple[str, ...], kernel: bool) -> Evaluation:
    return Evaluation(activation, by, kernel=kernel)


class Apply(torch.autograd.Function):
    """y = f(x; parameters), saving x and the parameters only; each derivative is an Apply of the closed derivative."""

    generate_vmap_rule = True  # torch.func.vmap, jacrev

    @staticmethod
    def forward(x: Tensor, f: Evaluation, *parameters: Tensor) -> Tensor:
        """The value, in x's dtype."""
        return f.raw(x, parameters).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the inputs, nothing else."""
        x, f, *parameters = inputs
        ctx.f = f
        ctx.save_for_backward(x, *parameters)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """grad·f'(x), and for each parameter the sum of grad·∂f/∂p over where it was used."""
        (grad,) = grads
        x, *parameters = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if needs[0] and needs[2:] == (True,) and (both := _both(grad, ctx.f, x, parameters)) is not None:
            return both[0], None, both[1]
        grad_x = _product(grad, ctx.f.derivative("x"), x, parameters).to(x.dtype) if needs[0] else None
        grad_p = [
            _product(grad, ctx.f.derivative(name), x, parameters).sum_to_size(p.shape).to(p.dtype)
            if need
            else None
            for name, p, need in zip(ctx.f.names, parameters, needs[2:], strict=True)
        ]
        return grad_x, None, *grad_p


def _product(grad: Tensor, f: Evaluation, x: Tensor, parameters: list[Tensor]) -> Tensor:
    if torch.is_grad_enabled():  # a higher derivative is wanted: stay differentiable
        higher: Tensor = Apply.apply(x, f, *parameters)  # type: ignore[no-untyped-call]
        return grad * higher
    return f.raw(x, parameters, grad)  # one rounding for half types


def _both(grad: Tensor, f: Evaluation, x: Tensor, parameters: list[Tensor]) -> tuple[Tensor, Tensor] | None:
    """The gradients of x and of the layer's only parameter in one pass, where the kernel can."""
    if f.kernel is None or len(parameters) != 1 or torch.is_grad_enabled():
        return None
    along_x, along_p = f.derivative("x").kernel, f.derivative(f.names[0]).kernel
    if along_x is None or along_p is None:
        return None
    found = along_x.run_with_sum(along_p, x, parameters, grad)
    return (
        None if found is None else (found[0], found[1].reshape(parameters[0].shape).to(parameters[0].dtype))
    )
