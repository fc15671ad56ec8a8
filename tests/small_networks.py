"""Small networks whose signals are alive, and what it takes to plant a fault in an ONNX file."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgeacts.modules import activation_factory

SIDE = 12


class Net(nn.Sequential):
    """Two convolutions with batch norm, pooling, a classifier of five classes; 3 x 12 x 12 pixels."""

    def __init__(self, activation: str = "relu", classes: int = 5, **parameters: float) -> None:
        make = activation_factory(activation, **parameters)
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            make(8),
            nn.Conv2d(8, 8, 3, 1, 1, bias=False),
            nn.BatchNorm2d(8),
            make(8),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, classes),
        )


class Two(nn.Module):
    """Two outputs of one shape: logits and their negation, shifted."""

    def __init__(self) -> None:
        super().__init__()
        self.body = alive(Net())
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        y = self.body(image)
        return y, 1.0 - 2.0 * y


def alive(model: nn.Module, seed: int = 0, gain: float = 1.0) -> nn.Module:
    """`model` with weights and batch-norm statistics under which its output moves with the input; in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            module.weight.data *= gain
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.randn(32, 3, SIDE, SIDE, generator=generator))
    return model.eval()


def digit_images(which: slice) -> tuple[np.ndarray, np.ndarray]:
    """(images [N, 3, 12, 12], labels) of scikit-learn's digits, tinted so that the order of channels matters."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.pad(data.images[which] / 8.0 - 1.0, ((0, 0), (2, 2), (2, 2)), constant_values=-1.0)
    tint = np.array([1.0, 0.5, -0.8]).reshape(1, 3, 1, 1)
    return (grey[:, None] * tint).astype(np.float32), data.target[which]


def trained(model: nn.Module, steps: int = 250) -> nn.Module:
    """`model` after a second of training on tinted digits, in eval mode; it must have learnt something."""
    images, labels = map(torch.from_numpy, digit_images(slice(0, 1500)))
    generator = torch.Generator().manual_seed(0)
    alive(model)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    model.train()
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        accuracy = float((model(images).argmax(1) == labels).double().mean())
    assert accuracy > 0.8, f"learnt {accuracy:.0%} of the digits only"
    return model


def weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Float initializers of more than one dimension: kernels and classifier."""
    return {
        t.name: t
        for t in model.graph.initializer
        if len(t.dims) > 1 and t.data_type == onnx.TensorProto.FLOAT
    }


def rewrite(tensor: onnx.TensorProto, change: Callable[[Any], Any]) -> None:
    """tensor := change(array)."""
    array = numpy_helper.to_array(tensor).copy()
    tensor.CopyFrom(numpy_helper.from_array(change(array).astype(array.dtype), tensor.name))
