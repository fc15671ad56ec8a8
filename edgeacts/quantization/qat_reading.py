"""What an INT8 file says, taken apart for training: quantized tensors, trained constants, and the nodes between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeacts.errors import UsageError
from edgeacts.forms import DOMAIN
from edgeacts.quantization.qat_operators import OPERATORS
from edgeacts.quantization.qat_sites import ActivationSite, WeightSite, weight_site

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
_QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})
Array = NDArray[Any]


@dataclass(frozen=True)
class Trained:
    """A trained constant: `parameter` is its name in the twin, `node` the layer's in the file, `value` the tensor it reads there.

    A quantized weight has a `site`; a quantized bias says whose weight (`bias_of`) and which input scale its steps come from.
    """

    parameter: str
    node: str
    value: str
    site: WeightSite | None = None
    bias_of: str = ""
    x_scale: float = 0.0


class FileReading:
    """`nodes` to compute with their `attributes`; `sites` and `trained` by name, `starts` what training begins with.

    `same` maps outputs of DequantizeLinear to the quantized tensors they read; `constants` are float32, `whole` the others.
    Raises UsageError for what cannot be trained, naming it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._file = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.nodes = [node for node in graph.node if not self._folded(node)]
        self.attributes = [
            {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in self.nodes
        ]
        self.input = next(v.name for v in graph.input if v.name not in self._file)
        self.output = graph.output[0].name
        self.sites: dict[str, ActivationSite] = {}
        self.trained: dict[str, Trained] = {}
        self.starts: dict[str, NDArray[np.float32]] = {}
        self.same: dict[str, str] = {}
        self._dequantized: dict[str, onnx.NodeProto] = {}
        for node in self.nodes:
            self._check(node)
            self._read_quantization(node)
        for node in self.nodes:
            if not node.domain and node.op_type in WEIGHTED:
                self._read_layer(node)
        if not self.trained:
            raise UsageError("the model has no layer with constant weights: nothing to fine-tune")
        rows = {row.value for row in self.trained.values()}
        self.constants = {n: a for n, a in self._file.items() if a.dtype == np.float32}
        self.constants |= {n: self._values(node) for n, node in self._dequantized.items() if n not in rows}
        self.whole = {n: a for n, a in self._file.items() if n not in self.constants}

    def channels(self, node: onnx.NodeProto) -> list[NDArray[np.float32]]:
        """An activation's parameters per channel."""
        return [self._file[name].reshape(-1) for name in node.input[1:] if name]

    def last_uses(self) -> list[list[str]]:
        """For each node the tensors that no later one reads, but for the output."""
        last = {name: index for index, node in enumerate(self.nodes) for name in node.input}
        result: list[list[str]] = [[] for _ in self.nodes]
        for name, index in last.items():
            if name != self.output:
                result[index].append(name)
        return result

    def _folded(self, node: onnx.NodeProto) -> bool:
        """Constants, and the scale of a bias that the file leaves to be multiplied: known now, no nodes to compute."""
        if node.op_type == "Constant":
            value = onnx.helper.get_attribute_value(node.attribute[0])
            is_tensor = isinstance(value, onnx.TensorProto)
            self._file[node.output[0]] = numpy_helper.to_array(value) if is_tensor else np.asarray(value)
            return True
        if node.op_type == "Mul" and all(name in self._file for name in node.input):
            self._file[node.output[0]] = self._file[node.input[0]] * self._file[node.input[1]]
            return True
        return False

    def _check(self, node: onnx.NodeProto) -> None:
        if node.domain != DOMAIN and node.op_type not in OPERATORS and node.op_type not in _QDQ:
            raise UsageError(
                f"operator {node.op_type} of {node.name or node.output[0]} is not supported by fine-tuning; "
                f"supported: {', '.join(sorted(OPERATORS))}"
            )

    def _read_quantization(self, node: onnx.NodeProto) -> None:
        output = node.output[0]
        if node.op_type == "QuantizeLinear":
            scale, zero = self._grid(node)
            limits = np.iinfo(zero.dtype)
            if scale.size != 1:
                raise UsageError(f"{output} has a scale a channel: only weights may, here")
            self.sites[output] = ActivationSite(
                output, float(scale.item()), int(zero.item()), int(limits.min), int(limits.max)
            )
        elif node.op_type == "DequantizeLinear" and node.input[0] in self._file:
            self._dequantized[output] = node
        elif node.op_type == "DequantizeLinear":
            self.same[output] = node.input[0]

    def _grid(self, node: onnx.NodeProto) -> tuple[NDArray[np.float32], Array]:
        """Scale and zero point; without one it is 0, in the type of the values."""
        given = [name for name in node.input[1:] if name]
        missing = [name for name in given if name not in self._file]
        if missing:
            raise UsageError(
                f"{node.output[0]} is quantized by {missing[0]}, which is computed: quantize statically"
            )
        values = self._file.get(node.input[0])
        zero = (
            self._file[given[1]]
            if len(given) > 1
            else np.zeros((), np.uint8 if values is None else values.dtype)
        )
        return np.asarray(self._file[given[0]], np.float32), np.asarray(zero)

    def _read_layer(self, node: onnx.NodeProto) -> None:
        weight = node.input[1]
        if weight in self._dequantized:
            quantized = self._dequantized[weight]
            scale, zero = self._grid(quantized)
            if np.any(zero):
                raise UsageError(
                    f"the weight of {node.name} has a zero point: only symmetric weights are fine-tuned"
                )
            site = weight_site(node.name, self._file[quantized.input[0]], scale, _axis(quantized))
            self._train(Trained(node.name, node.name, weight, site), self._values(quantized))
        elif weight in self._file:
            self._train(Trained(node.name, node.name, weight), self._file[weight])
        if len(node.input) > 2 and node.input[2]:
            self._read_bias(node, node.input[2])

    def _read_bias(self, node: onnx.NodeProto, bias: str) -> None:
        key = f"{node.name}.bias"
        if bias in self._dequantized:
            grid = self.sites.get(self.same.get(node.input[0], ""))
            owner = next((r for r in self.trained.values() if r.value == node.input[1]), None)
            if grid is None or owner is None or owner.site is None:
                raise UsageError(
                    f"{node.name}: an int32 bias without an 8-bit input and weight: quantize the model again"
                )
            row = Trained(key, node.name, bias, bias_of=owner.parameter, x_scale=grid.scale)
            self._train(row, self._values(self._dequantized[bias]))
        elif bias in self._file:
            self._train(Trained(key, node.name, bias), self._file[bias])

    def _train(self, row: Trained, start: Array) -> None:
        if any(row.value == other.value for other in self.trained.values()):
            return  # two layers that share a weight
        self.trained[row.parameter] = row
        self.starts[row.parameter] = np.array(start, np.float32)

    def _values(self, node: onnx.NodeProto) -> NDArray[np.float32]:
        """A constant that is stored in whole numbers: (values - zero)·scale, by channel or not."""
        scale, zero = self._grid(node)
        values = self._file[node.input[0]]
        shape = [1] * values.ndim
        if scale.size > 1:
            shape[_axis(node) % values.ndim] = -1
        steps = values.astype(np.float64) - (zero.reshape(shape) if zero.size > 1 else zero.item())
        return np.asarray(steps * (scale.reshape(shape) if scale.size > 1 else scale.item()), np.float32)


def _axis(node: onnx.NodeProto) -> int:
    return int(next((a.i for a in node.attribute if a.name == "axis"), 1))
