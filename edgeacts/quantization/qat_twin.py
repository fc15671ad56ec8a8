"""INT8 file -> torch module that computes what the file says, with gradients: the same nodes, Q and DQ as fake quantization.

Built from the file's own graph, so it quantizes exactly where the file does: an activation as one unit, layers left in float not
at all, batch norms already inside the convolutions. Its parameters are the weights and biases in float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from edgeacts.quantization.qat_sites import ActivationSite, WeightSite, bias_on_grid, weight_site

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
PER_CHANNEL = "PerChannel"


@dataclass(frozen=True)
class Trained:
    """A trained constant: `parameter` is its name in the twin, `node` the layer's in the file, `value` the tensor it reads there.

    A quantized weight has a `site`; a quantized bias says whose weight (`weight`) and which input scale its steps come from.
    """

    parameter: str
    node: str
    value: str
    site: WeightSite | None = None
    bias_of: str = ""
    x_scale: float = 0.0


class QuantizedTwin(nn.Module):
    """[N, ...] as the file's input -> its first output. `trained` lists the parameters, `sites` the quantized tensors by name.

    `activation` is needed for functions of a definition of your own. Raises UsageError for what is not supported, naming it.
    """

    def __init__(self, model: onnx.ModelProto, *, activation: Activation | None = None) -> None:
        super().__init__()
        graph = model.graph
        self._file = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self._file |= {n.output[0]: _constant(n) for n in graph.node if n.op_type == "Constant"}
        self.nodes = [n for n in graph.node if n.op_type != "Constant"]
        self._attributes = [
            {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in self.nodes
        ]
        self.input = next(v.name for v in graph.input if v.name not in self._file)
        self.output = graph.output[0].name
        self.sites: dict[str, ActivationSite] = {}
        self.trained: dict[str, Trained] = {}
        self.activations = nn.ModuleDict()
        self.values = nn.ParameterDict()
        self._same: dict[str, str] = {}  # output of a DQ -> the quantized tensor it reads
        self._dequantized: dict[str, onnx.NodeProto] = {}
        self._read_quantization()
        self._read_layers()
        self._read_activations(activation)
        self._register_constants()
        self._spent = self._last_uses()

    # ---- reading the file

    def _read_quantization(self) -> None:
        for node in self.nodes:
            if node.op_type == "QuantizeLinear":
                scale, zero = self._grid(node)
                limits = np.iinfo(zero.dtype)
                if scale.size != 1:
                    raise UsageError(f"{node.output[0]} has a scale a channel: only weights may, here")
                self.sites[node.output[0]] = ActivationSite(
                    node.output[0], float(scale), int(zero), int(limits.min), int(limits.max)
                )
            elif node.op_type == "DequantizeLinear" and node.input[0] in self._file:
                self._dequantized[node.output[0]] = node
            elif node.op_type == "DequantizeLinear":
                self._same[node.output[0]] = node.input[0]

    def _grid(self, node: onnx.NodeProto) -> tuple[NDArray[np.float32], NDArray[Any]]:
        missing = [n for n in node.input[1:] if n and n not in self._file]
        if missing:
            raise UsageError(
                f"{node.output[0]} is quantized by {missing[0]}, which is computed: quantize statically"
            )
        zero = self._file[node.input[2]] if len(node.input) > 2 and node.input[2] else np.uint8(0)
        return np.asarray(self._file[node.input[1]], np.float32), np.asarray(zero)

    def _read_layers(self) -> None:
        for node in self.nodes:
            if node.domain in ("", "ai.onnx") and node.op_type in WEIGHTED:
                self._read_weight(node)
                if len(node.input) > 2 and node.input[2]:
                    self._read_bias(node)
        if not self.trained:
            raise UsageError("the model has no layer with constant weights: nothing to fine-tune")

    def _read_weight(self, node: onnx.NodeProto) -> None:
        name = node.input[1]
        if name in self._dequantized:
            quantized = self._dequantized[name]
            values = self._file[quantized.input[0]]
            scale, zero = self._grid(quantized)
            axis = next((a.i for a in quantized.attribute if a.name == "axis"), 1)
            if np.any(zero):
                raise UsageError(f"weight {name} has a zero point: only symmetric weights are fine-tuned")
            site = weight_site(name, values, scale, axis)
            self._train(Trained(node.name, node.name, name, site), self._values(quantized))
        elif name in self._file:
            self._train(Trained(node.name, node.name, name), self._file[name])

    def _read_bias(self, node: onnx.NodeProto) -> None:
        name, key = node.input[2], f"{node.name}.bias"
        if name in self._dequantized:
            quantized = self._dequantized[name]
            scale, _ = self._grid(quantized)
            start = self._file[quantized.input[0]].astype(np.float64) * scale
            grid = self.sites.get(self._same.get(node.input[0], ""))
            if grid is None or node.name not in self.trained:
                raise UsageError(
                    f"{node.name}: an int32 bias without an 8-bit input and weight: quantize the model again"
                )
            self._train(
                Trained(key, node.name, name, bias_of=node.name, x_scale=grid.scale), start.astype(np.float32)
            )
        elif name in self._file:
            self._train(Trained(key, node.name, name), self._file[name])

    def _train(self, row: Trained, start: NDArray[Any]) -> None:
        if any(row.value == other.value for other in self.trained.values()):
            return  # two layers that share a weight
        self.trained[row.parameter] = row
        self.values[_key(row.parameter)] = nn.Parameter(torch.tensor(np.array(start, np.float32)))

    def _read_activations(self, given: Activation | None) -> None:
        by_operator = {a.operator: a for a in catalogue().values()}
        if given is not None:
            by_operator[given.operator] = given
        for node, attributes in zip(self.nodes, self._attributes, strict=True):
            if node.domain != DOMAIN:
                if node.op_type not in OPERATORS and node.op_type not in (
                    "QuantizeLinear",
                    "DequantizeLinear",
                ):
                    raise UsageError(
                        f"operator {node.op_type} of {node.name or node.output[0]} is not supported by fine-tuning; "
                        f"supported: {', '.join(sorted(OPERATORS))}"
                    )
                continue
            operator = node.op_type.removesuffix(PER_CHANNEL)
            if operator not in by_operator:
                raise UsageError(
                    f"function {node.op_type} is of no activation in the catalogue: pass its definition as activation="
                )
            self.activations[_key(node.output[0])] = _module(
                by_operator[operator], attributes, self._channels(node)
            )

    def _channels(self, node: onnx.NodeProto) -> list[NDArray[np.float32]]:
        return [self._file[name].reshape(-1) for name in node.input[1:] if name]

    def _register_constants(self) -> None:
        """Float constants that nodes other than Q, DQ and layers read move with the module; those in 8 bits as their values."""
        self.constants: dict[str, str] = {}
        trained = {row.value for row in self.trained.values()}
        arrays = {n: a for n, a in self._file.items() if a.dtype == np.float32}
        arrays |= {n: self._values(node) for n, node in self._dequantized.items() if n not in trained}
        for name in dict.fromkeys(name for node in self.nodes for name in node.input):
            if name in arrays:
                self.constants[name] = f"constant_{len(self.constants)}"
                self.register_buffer(self.constants[name], torch.tensor(arrays[name]), persistent=False)

    def _values(self, node: onnx.NodeProto) -> NDArray[np.float32]:
        """A constant that is stored in whole numbers: (values - zero)·scale, by channel or not."""
        scale, zero = self._grid(node)
        values = self._file[node.input[0]].astype(np.float32)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [1] * values.ndim
        if scale.size > 1:
            shape[axis % values.ndim] = -1
        result = (values - zero.astype(np.float32).reshape(shape if zero.size > 1 else ())) * scale.reshape(
            shape if scale.size > 1 else ()
        )
        return np.asarray(result, np.float32)

    def _last_uses(self) -> list[list[str]]:
        """For each node the tensors that no later one reads, but for the output."""
        last = {name: index for index, node in enumerate(self.nodes) for name in node.input}
        result: list[list[str]] = [[] for _ in self.nodes]
        for name, index in last.items():
            if name != self.output:
                result[index].append(name)
        return result

    # ---- computing

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
            mine = self.values[_key(row.parameter)]
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
        if row.bias_of:
            return bias_on_grid(value, self.bias_step(row))
        return value

    def bias_step(self, row: Trained) -> Tensor:
        """float32(input scale · weight scale), a step of an int32 bias."""
        weight = self.trained[row.bias_of]
        assert weight.site is not None, "checked when it was read"  # noqa: S101
        return weight.site.scale(self.weight(weight.parameter)) * np.float32(row.x_scale).item()

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
        for index, (node, attributes) in enumerate(zip(self.nodes, self._attributes, strict=True)):
            if node.op_type == "QuantizeLinear":
                name = node.output[0]
                known[name] = self.sites[name](known[node.input[0]])
                if forced is not None and name in forced:
                    known[f"{name} (computed)"] = known[name]
                    known[name] = forced[name]
            elif node.op_type == "DequantizeLinear":
                if node.output[0] in self._same:
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
        return getattr(self, self.constants[name]) if name in self.constants else self._file[name]


def _key(name: str) -> str:
    """torch allows no dots in names of parameters and modules."""
    return name.replace(".", "·")


def _within_a_step(site: WeightSite, weight: Tensor, grid: Tensor) -> bool:
    """Whether `grid` is `weight` rounded, to its own steps or slightly other ones."""
    scale = site.scale(grid)
    shape = [-1 if d == site.axis else 1 for d in range(grid.dim())]
    step = scale if site.axis is None else scale.reshape(shape)
    return bool(((weight - grid).abs() <= 0.51 * step).all())


def _constant(node: onnx.NodeProto) -> NDArray[Any]:
    value = onnx.helper.get_attribute_value(node.attribute[0])
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


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
