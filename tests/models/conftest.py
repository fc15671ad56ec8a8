"""Networks whose output moves with the input: a fresh one is blind, and passes any comparison."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These tensors are small: on a busy machine several threads wait seconds for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def enliven() -> Callable[[nn.Module, Tensor], Tensor]:
    """enliven(model, images) -> logits; the model is then in evaluation mode and sees.

    What nothing normalises (a layer with a bias) gets outputs of mean 0 and deviation 1 on these images;
    batch norm takes the statistics of one pass at momentum 1 (after two at 0.1 the signal still dies).
    """

    def run(model: nn.Module, images: Tensor) -> Tensor:
        hooks = []
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
            elif isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                hooks.append(module.register_forward_hook(_standardise))
        with torch.no_grad():
            model.train()(images)
            for hook in hooks:
                hook.remove()
            logits: Tensor = model.eval()(images)
        moves = (logits - logits.mean(dim=0)).abs().amax(dim=0)
        assert moves.max() > 0.1, f"the network is blind: logits move by {moves.max():.2e} between images"
        return logits

    return run


def _standardise(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    assert layer.bias is not None
    shape = (-1, *[1] * (output.dim() - 2))
    deviation, mean = torch.std_mean(output.transpose(0, 1).flatten(1), dim=1)
    layer.weight /= deviation.view(-1, *[1] * (layer.weight.dim() - 1))
    layer.bias.copy_((layer.bias - mean) / deviation)
    return (output - mean.view(shape)) / deviation.view(shape)
