"""Activation modules, frozen for the export: one node of domain `edgeacts`, trained values as attributes or constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeacts.definition import Activation
from edgeacts.errors import UsageError
from edgeacts.forms import DOMAIN, DOMAIN_VERSION, Choice, attribute_names, choose, choose_for, operator_name
from edgeacts.modules import ActivationModule


class FrozenActivation(nn.Module):
    """One ONNX node `edgeacts::Operator` with the parameters' values as they are now. Only for torch.onnx.export."""

    def __init__(self, module: ActivationModule, choice: Choice, per_channel: tuple[str, ...]) -> None:
        super().__init__()
        values = module.frozen_values()
        self.operator = f"{DOMAIN}::{operator_name(choice.activation, per_channel)}"
        self.attributes = {name: values[name][0] for name in attribute_names(choice, per_channel)}
        self.per_channel = per_channel
        for name in per_channel:
            self.register_buffer(name, torch.tensor(values[name], dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """The placeholder node; its value is computed by the function's body in the runtime, in float32."""
        if x.dtype in (torch.float16, torch.bfloat16):
            return self.forward(x.float()).to(x.dtype)
        if x.dtype != torch.float32:
            raise UsageError(
                f"{self.operator} gets {x.dtype} inside the model: only float32 and half types are exported"
            )
        shape = [-1] + [1] * max(x.dim() - 2, 0)
        channels = tuple(getattr(self, name).view(shape) for name in self.per_channel)
        result: Tensor = torch.onnx.ops.symbolic(
            self.operator,
            (x, *channels),
            attrs=dict(self.attributes),
            dtype=x.dtype,
            shape=x.shape,
            version=DOMAIN_VERSION,
        )
        return result


@dataclass(frozen=True)
class Functions:
    """The functions one definition needs: its form, and the parameter lists (scalar: (), per channel: names) and values."""

    choice: Choice
    signatures: tuple[tuple[str, ...], ...]
    points: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class Chooser:
    """How forms are chosen: within `tolerance`, for `opset`; the one called `form`, or the fastest on `runtime` by `tuning`."""

    tolerance: float
    opset: int
    form: str | None = None
    runtime: str | None = None
    tuning: str | Path | None = None

    def __call__(
        self,
        definition: Activation,
        points: Sequence[Mapping[str, float]],
        signatures: Iterable[tuple[str, ...]],
    ) -> Choice:
        """The choice; by the definition's own order where no runtime is given, or parameters differ by channel."""
        if self.form is not None or self.runtime is None or any(signatures):
            return choose(definition, points, tolerance=self.tolerance, opset=self.opset, form=self.form)
        return choose_for(
            definition,
            points,
            runtime=self.runtime,
            tolerance=self.tolerance,
            opset=self.opset,
            tuning=self.tuning,
        )


def freeze(model: nn.Module, choose_form: Chooser) -> tuple[nn.Module, dict[str, Functions]]:
    """Replace every ActivationModule in `model` by its frozen twin; gives the functions needed, by operator name."""
    modules = {
        n: m for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, ActivationModule)
    }
    definitions: dict[str, Activation] = {}
    for module in modules.values():
        known = definitions.setdefault(module.activation.operator, module.activation)
        if known != module.activation:
            raise UsageError(
                f"two different definitions, {known.name} and {module.activation.name}, both have operator {known.operator}"
            )
    functions: dict[str, Functions] = {}
    for operator, definition in definitions.items():
        members = [m for m in modules.values() if m.activation == definition]
        points = tuple(v for m in members for v in _points(m))
        signatures = tuple(dict.fromkeys(_per_channel(m) for m in members))
        choice = choose_form(definition, points, signatures)
        functions[operator] = Functions(choice, signatures, points)
    twins: dict[int, nn.Module] = {}
    for name, module in modules.items():
        choice = functions[module.activation.operator].choice
        twin = twins.setdefault(id(module), FrozenActivation(module, choice, _per_channel(module)).eval())
        if not name:
            return twin, functions
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, twin)
    return model, functions


def _per_channel(module: ActivationModule) -> tuple[str, ...]:
    return tuple(n for n in module.trained if getattr(module, n).dim() > 0)


def _points(module: ActivationModule) -> list[Mapping[str, float]]:
    """The parameter values of each channel, or of the layer."""
    values: dict[str, Any] = module.frozen_values()
    count = max((len(v) for v in values.values()), default=1)
    return [{n: v[i if len(v) > 1 else 0] for n, v in values.items()} for i in range(count)]
