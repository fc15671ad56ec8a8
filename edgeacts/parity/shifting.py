"""How far the error of activation forms reaches: a torch model whose activations give a little too much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from edgeacts.modules import ActivationModule


def activations_of(model: nn.Module) -> list[ActivationModule]:
    """The modules whose exported forms have bounds."""
    return [module for module in model.modules() if isinstance(module, ActivationModule)]


@contextmanager
def moved_up(activations: Sequence[ActivationModule], bound: float) -> Iterator[None]:
    """Within this block each activation gives f(x) + bound·max(1, |x|): errors of one sign add up, others cancel."""

    def more(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + bound * inputs[0].abs().clamp(min=1.0)

    handles = [activation.register_forward_hook(more) for activation in activations]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
