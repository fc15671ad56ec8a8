"""Where an INT8 file quantizes, as torch fake quantization: activations by the file's scales, weights by their own maxima."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeacts.errors import UsageError

_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class ActivationSite:
    """One QuantizeLinear of a computed tensor: (round(x / scale) + zero) within [low, high], and back."""

    name: str
    scale: float
    zero: int
    low: int
    high: int

    def __call__(self, x: Tensor) -> Tensor:
        """x on the file's grid; the gradient passes within the range and is 0 outside."""
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, self.low, self.high)

    def integers(self, x: Tensor) -> Tensor:
        """The 8-bit numbers of a tensor on the grid."""
        return torch.round(x / self.scale).to(torch.int64) + self.zero


@dataclass(frozen=True)
class WeightSite:
    """One DequantizeLinear of a constant weight: `axis` of its scales, None where there is one; whole numbers to ±`largest`."""

    name: str
    axis: int | None
    largest: int

    def scale(self, weight: Tensor) -> Tensor:
        """float32 [channels] or []: the largest weight is `largest` steps; never 0."""
        magnitudes = weight.detach().abs()
        others = [d for d in range(weight.dim()) if d != self.axis]
        scale = magnitudes.amax(dim=others) / self.largest
        return torch.where(scale > _SMALLEST_SCALE, scale, torch.ones_like(scale))

    def __call__(self, weight: Tensor) -> Tensor:
        """The weight on its grid; the gradient passes."""
        scale = self.scale(weight)
        low, high = -self.largest, self.largest
        if self.axis is None:
            return torch.fake_quantize_per_tensor_affine(
                weight, scale, torch.zeros((), dtype=torch.int32, device=weight.device), low, high
            )
        zero = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, self.axis, low, high)

    def written(self, weight: Tensor) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """(int8 values, scales) whose product is exactly what `__call__` gives."""
        scale = self.scale(weight)
        shape = [-1 if d == self.axis else 1 for d in range(weight.dim())]
        steps = torch.round(self(weight).detach() / (scale if self.axis is None else scale.reshape(shape)))
        return steps.to(torch.int8).cpu().numpy(), scale.cpu().numpy().astype(np.float32)


def weight_site(name: str, values: NDArray[np.int8], scale: NDArray[np.float32], axis: int) -> WeightSite:
    """The site that a file's weight belongs to: its largest number says how many bits it uses (64: the reduced range).

    Raises UsageError for weights that are not int8.
    """
    if values.dtype != np.int8:
        raise UsageError(f"weight {name} is {values.dtype}: only symmetric int8 weights are fine-tuned")
    largest = max(1, int(np.abs(values.astype(np.int32)).max(initial=0)))
    return WeightSite(name, axis % values.ndim if scale.size > 1 else None, largest)


def bias_on_grid(bias: Tensor, step: Tensor) -> Tensor:
    """round(bias / step)·step, as int32 biases are; the gradient passes."""
    rounded = torch.round(bias / step) * step
    return bias + (rounded - bias).detach()
