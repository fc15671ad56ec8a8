"""Definition -> nn.Module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from edgeacts.activations import activation as find_activation
from edgeacts.autograd import Apply, evaluation
from edgeacts.definition import Activation, Trainable
from edgeacts.errors import UsageError

ActivationLike = str | Activation | Callable[[int], nn.Module]


class ActivationModule(nn.Module):
    """y = f(x), same shape and dtype. Trained parameters are nn.Parameters of shape [] (layer) or [channels] (channel).

    A parameter per channel belongs to dimension 1 of the input (the last one of a 1-D input). Half types are computed in
    float32. The backward pass uses the closed derivative and saves only the input.
    Raises UsageError for an unknown parameter, for "channel" without a channel count, and for an input of integers.
    """

    def __init__(
        self,
        activation: str | Activation,
        channels: int | None = None,
        *,
        trainable: Mapping[str, Trainable] | None = None,
        **parameters: float,
    ) -> None:
        super().__init__()
        self.activation = find_activation(activation) if isinstance(activation, str) else activation
        self.values = self.activation.values(parameters)
        modes = _modes(self.activation, trainable or {})
        self.trained = tuple(name for name, mode in modes.items() if mode is not None)
        for name in self.trained:
            if modes[name] == "channel" and channels is None:
                raise UsageError(
                    f"{self.activation.name}: {name} is trained per channel, so `channels` is needed"
                )
            if hasattr(self, name):
                raise UsageError(
                    f"{self.activation.name}: a trained parameter cannot be called {name!r}, nn.Module has that name"
                )
            shape = (channels,) if modes[name] == "channel" and channels is not None else ()
            self.register_parameter(name, nn.Parameter(torch.full(shape, self.values[name])))
        fixed = self.activation.fix(**{n: v for n, v in self.values.items() if n not in self.trained})
        self.evaluation = evaluation(fixed).prepare()
        self.training_evaluation = evaluation(fixed, kernel=True).prepare()

    def forward(self, x: Tensor) -> Tensor:
        """f(x)."""
        if not x.is_floating_point():
            raise UsageError(
                f"{self.activation.name} needs a floating-point input, not {x.dtype}: call .float()"
            )
        parameters = [self._broadcast(getattr(self, name), x) for name in self.trained]
        # While training, tables within 1e-6 (float32, CPU) instead of the formula: several times faster.
        trains = self.training and x.requires_grad and torch.is_grad_enabled()
        f = self.training_evaluation if trains else self.evaluation
        result: Tensor = Apply.apply(x, f, *parameters)  # type: ignore[no-untyped-call]
        return result

    def _broadcast(self, parameter: Tensor, x: Tensor) -> Tensor:
        if parameter.dim() == 0 or x.dim() <= 2:
            return parameter
        return parameter.view(-1, *[1] * (x.dim() - 2))

    def frozen_values(self) -> dict[str, list[float]]:
        """Every parameter's present value: one number, or one per channel."""
        return {n: _numbers(getattr(self, n)) if n in self.trained else [v] for n, v in self.values.items()}

    def extra_repr(self) -> str:
        """Name and values, as they appear in the model's printout."""
        shown = [f"{n}={v:g}" for n, v in self.values.items() if n not in self.trained]
        shown += [f"{n}: trained, {tuple(getattr(self, n).shape)}" for n in self.trained]
        return ", ".join([self.activation.name, *shown])


def _numbers(parameter: Tensor) -> list[float]:
    return [float(v) for v in parameter.detach().reshape(-1).double().tolist()]


def _modes(activation: Activation, given: Mapping[str, Trainable]) -> dict[str, Trainable]:
    activation.values(dict.fromkeys(given, 0.0))
    for name, mode in given.items():
        if mode not in (None, "layer", "channel"):
            raise UsageError(
                f"{activation.name}: trainable={{{name!r}: {mode!r}}}: use None, 'layer' or 'channel'"
            )
    return {p.name: given.get(p.name, p.trainable) for p in activation.parameters}


def activation_factory(
    activation: ActivationLike, *, trainable: Mapping[str, Trainable] | None = None, **parameters: float
) -> Callable[[int], nn.Module]:
    """channels -> a fresh module, so that no two places share a trained parameter.

    A name is looked up in the catalogue now, so that an unknown one fails here.
    """
    if not isinstance(activation, str | Activation):
        return activation
    definition = find_activation(activation) if isinstance(activation, str) else activation
    definition.values(parameters)

    def build(channels: int) -> nn.Module:
        return ActivationModule(definition, channels, trainable=trainable, **parameters)

    return build
