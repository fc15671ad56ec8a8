"""INT8 file -> torch module that computes what the file says, with gradients: the same nodes, Q and DQ as fake quantization.

Built from the file's own graph, so it quantizes exactly where the file does: an activation as one unit, layers left in float not
at all, batch norms already inside the convolutions. Its parameters are the weights and biases in float.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from edgeacts.activations import catalogue
from edgeacts.definition import Activation
from edgeacts.errors import UsageError
from edgeacts.forms import DOMAIN
from edgeacts.modules import ActivationModule
from edgeacts.quantization.qat_operators import OPERATORS
from edgeacts.quantization.qat_reading import FileReading, Trained
from edgeacts.quantization.qat_sites import WeightSite, bias_on_grid

PER_CHANNEL = "PerChannel"


class QuantizedTwin(nn.Module):
    """[N, ...] as the file's input -> its first output. `trained` lists the parameters, `sites` the quantized tensors by name.

    `activation` is needed for functions of a definition of your own. Raises UsageError for what is not supported, naming it.
    """

    def __init__(self, model: onnx.ModelProto, *, activation: Activation | None = None) -> None:
        super().__init__()
        self._reading = FileReading(model)
        self.input, self.output = self._reading.input, self._reading.output
        self.sites, self.trained = self._reading.sites, self._reading.trained
        self.values = nn.ParameterDict(
            {_key(name): nn.Parameter(torch.tensor(start)) for name, start in self._reading.starts.items()}
        )
        self.activations = nn.ModuleDict()
        self._add_activations(activation)
        self._buffers_of: dict[str, str] = {}
        for node in self._reading.nodes:
            for name in node.input:
                if name in self._reading.constants and name not in self._buffers_of:
                    self._buffers_of[name] = f"constant_{len(self._buffers_of)}"
                    constant = torch.tensor(self._reading.constants[name])
                    self.register_buffer(self._buffers_of[name], constant, persistent=False)
        self._spent = self._reading.last_uses()

    def _add_activations(self, given: Activation | None) -> None:
        by_operator = {a.operator: a for a in catalogue().values()}
        if given is not None:
            by_operator[given.operator] = given
        for node, attributes in zip(self._reading.nodes, self._reading.attributes, strict=True):
            if node.domain != DOMAIN:
                continue
            operator = node.op_type.removesuffix(PER_CHANNEL)
            if operator not in by_operator:
                raise UsageError(
                    f"function {node.op_type} is of no activation in the catalogue: pass its definition as activation="
                )
            module = _module(by_operator[operator], attributes, self._reading.channels(node))
            self.activations[_key(node.output[0])] = module

    def start_from(self, prepared: onnx.ModelProto) -> int:
        """Take the float weights behind the file's where both have a layer of that name and they agree to a step; how many did.

        A file whose weights were changed by a quantizer (equalized, say) keeps its own, which are whole steps.
        """
        floats = {t.name: t for t in prepared.graph.initializer}
        by_name = {n.name: n for n in prepared.graph.node}
        count = 0
        for row in self.trained.values():
            source = by_name.get(row.node)
            if row.site is None or source is None or source.input[1] not in floats:
                continue
            weight = torch.tensor(numpy_helper.to_array(floats[source.input[1]]).copy())
            mine = self.weight(row.parameter)
            if weight.shape == mine.shape and _within_a_step(row.site, weight, mine):
                mine.data = weight
                count += 1
        return count

    def weight(self, name: str) -> Tensor:
        """A trained parameter, in float."""
        value: Tensor = self.values[_key(name)]
        return value

    def on_grid(self, row: Trained) -> Tensor:
        """A trained constant as the file will hold it."""
        value = self.weight(row.parameter)
        if row.site is not None:
            return row.site(value)
        return bias_on_grid(value, self.bias_step(row)) if row.bias_of else value

    def bias_step(self, row: Trained) -> Tensor:
        """float32(input scale · weight scale), a step of an int32 bias."""
        weight = self.trained[row.bias_of]
        assert weight.site is not None, "checked when it was read"  # noqa: S101
        return weight.site.scale(self.weight(weight.parameter)) * row.x_scale

    def forward(self, image: Tensor) -> Tensor:
        """The first output."""
        return self.run(image)[self.output]

    def run(
        self, image: Tensor, *, forced: Mapping[str, Tensor] | None = None, keep: bool = False
    ) -> dict[str, Tensor]:
        """Tensors by name, a quantized one on its grid in float: the output alone, or every one with `keep`.

        `forced` tensors are used under their names instead of the computed ones, which are then found at `NAME (computed)`.
        """
        known: dict[str, Any] = {self.input: image}
        known.update((row.value, self.on_grid(row)) for row in self.trained.values())
        pairs = zip(self._reading.nodes, self._reading.attributes, strict=True)
        for index, (node, attributes) in enumerate(pairs):
            if node.op_type == "QuantizeLinear":
                name = node.output[0]
                known[name] = self.sites[name](known[node.input[0]])
                if forced is not None and name in forced:
                    known[f"{name} (computed)"] = known[name]
                    known[name] = forced[name]
            elif node.op_type == "DequantizeLinear":
                if node.output[0] in self._reading.same:
                    known[node.output[0]] = known[node.input[0]]
            else:
                self._compute(node, attributes, known)
            if not keep:
                for name in self._spent[index]:
                    known.pop(name, None)
        return known

    def _compute(self, node: onnx.NodeProto, attributes: Mapping[str, Any], known: dict[str, Any]) -> None:
        if node.domain == DOMAIN:
            known[node.output[0]] = self.activations[_key(node.output[0])](known[node.input[0]])
            return
        inputs = [self._input(name, known) for name in node.input]
        result = OPERATORS[node.op_type](inputs, attributes)
        known.update(zip(node.output, result if isinstance(result, list) else [result], strict=True))

    def _input(self, name: str, known: Mapping[str, Any]) -> Any:
        if not name:
            return None
        if name in known:
            return known[name]
        return (
            getattr(self, self._buffers_of[name]) if name in self._buffers_of else self._reading.whole[name]
        )


def _key(name: str) -> str:
    """torch allows no dots in names of parameters and modules."""
    return name.replace(".", "·")


def _within_a_step(site: WeightSite, weight: Tensor, grid: Tensor) -> bool:
    """Whether `grid` is `weight` rounded, to its own steps or slightly other ones."""
    scale = site.scale(grid)
    shape = [-1 if d == site.axis else 1 for d in range(grid.dim())]
    step = scale if site.axis is None else scale.reshape(shape)
    return bool(((weight - grid).abs() <= 0.51 * step).all())


def _module(
    definition: Activation, attributes: Mapping[str, float], channels: list[NDArray[np.float32]]
) -> ActivationModule:
    """The activation with the file's parameters, which stay as they are."""
    names = [p.name for p in definition.parameters]
    per_channel = [n for n in names if n not in attributes][: len(channels)]
    fixed = {n: float(v) for n, v in attributes.items() if n in names}
    module = ActivationModule(
        definition,
        len(channels[0]) if channels else None,
        trainable={n: "channel" if n in per_channel else None for n in names},
        **fixed,
    )
    for name, values in zip(per_channel, channels, strict=True):
        getattr(module, name).data = torch.tensor(values.copy())
    return module.requires_grad_(False)
