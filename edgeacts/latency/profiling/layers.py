"""The layers of an ONNX model as its author wrote them: a node, a function call, an activation however it is spelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx.inliner import inline_local_functions

from edgeacts.acceleration.graph import varying
from edgeacts.acceleration.sites import DOMAIN, find_sites
from edgeacts.errors import DamagedFile, one_line

TAG = "edgeacts_layer_"
# Operators that are an activation on their own. A Sigmoid that multiplies another tensor is a gate, and no activation.
_ALONE = frozenset({
    "Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Clip", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Tanh",
    "Mish", "HardSwish", "Gelu", "Swish", "FastGelu", "BiasGelu", "QuickGelu",
})  # fmt: skip
_WEIGHTS = ".weight"


@dataclass(frozen=True)
class Layer:
    """`name` is that of the module whose weights it has, else of its node or output; `activation` the operator, or ""."""

    index: int
    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    activation: str = ""


class Layers:
    """Layers of a model, and `model`: the same without functions, every node under the name of its layer.

    Raises DamagedFile when the functions cannot be inlined or the tables in the metadata not be read.
    """

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        self._changing = varying(model.graph)
        self._activations = _activations(model, where)
        self._weights = {tensor.name for tensor in model.graph.initializer}
        self.layers = tuple(self._read(model))
        self._names = self._own_names(model)
        self._maker = {value: layer for layer in self.layers for value in layer.outputs}
        self._readers: dict[str, list[Layer]] = defaultdict(list)
        for layer in self.layers:
            for value in dict.fromkeys(layer.inputs):
                self._readers[value].append(layer)
        self.model = self._tagged(_inlined(model, where))

    @property
    def activations(self) -> tuple[Layer, ...]:
        """Those that are activations and depend on an input."""
        return tuple(layer for layer in self.layers if layer.activation)

    def find(self, name: str) -> Layer | None:
        """The layer of a node: of `model` (whatever a runtime appends to its name), or of the file as it was."""
        if TAG in name:
            digits = name.partition(TAG)[2].partition("_")[0]
            return self.layers[int(digits)] if digits.isdigit() and int(digits) < len(self.layers) else None
        return self._names.get(name)

    def maker(self, value: str) -> Layer | None:
        """The layer that gives a value of the model."""
        return self._maker.get(value)

    def before(self, layer: Layer) -> list[Layer]:
        """Layers whose outputs it reads."""
        found = (self._maker.get(value) for value in layer.inputs)
        return list(dict.fromkeys(one for one in found if one is not None))

    def after(self, layer: Layer) -> list[Layer]:
        """Layers that read its outputs."""
        return list(dict.fromkeys(one for value in layer.outputs for one in self._readers[value]))

    # ---- reading

    def _read(self, model: onnx.ModelProto) -> Iterator[Layer]:
        """Layers in the graph's order; of what depends on an input alone, the rest is computed when the model is loaded."""
        inner = {value for _, _, values in self._activations.values() for value in values}
        index = 0
        for node in model.graph.node:
            outputs = tuple(name for name in node.output if name)
            if not outputs or outputs[0] in inner or outputs[0] not in self._changing:
                continue
            operator, source, _ = self._activations.get(outputs[0], (node.op_type, "", frozenset()))
            inputs = (source,) if source else tuple(name for name in node.input if name)
            activation = operator if outputs[0] in self._activations else ""
            yield Layer(index, self._name(node), operator, inputs, outputs, activation)
            index += 1

    def _name(self, node: onnx.NodeProto) -> str:
        for name in node.input:
            if name in self._weights and name.endswith(_WEIGHTS):
                return str(name.removesuffix(_WEIGHTS))
        return str(node.name or next(name for name in node.output if name))

    def _own_names(self, model: onnx.ModelProto) -> dict[str, Layer]:
        """Names that one node alone has."""
        counts = Counter(node.name for node in model.graph.node)
        by_output = {layer.outputs[0]: layer for layer in self.layers}
        return {
            node.name: by_output[node.output[0]]
            for node in model.graph.node
            if node.name and counts[node.name] == 1 and node.output and node.output[0] in by_output
        }

    def _tagged(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """`model` with each node named by the layer whose output it helps to make: a layer ends where its inputs begin."""
        makers = {name: node for node in model.graph.node for name in node.output if name}
        for layer in self.layers:
            pending, seen, stop = list(layer.outputs), set[str](), set(layer.inputs)
            while pending:
                value = pending.pop()
                node = makers.get(value)
                if node is None or value in seen or value in stop:
                    continue
                seen.update(node.output)
                node.name = f"{TAG}{layer.index}_{len(seen)}"
                pending.extend(name for name in node.input if name)
        for index, node in enumerate(model.graph.node):
            if not node.name.startswith(TAG):
                node.name = f"constant_{index}"
        return model


def _activations(model: onnx.ModelProto, where: str) -> dict[str, tuple[str, str, frozenset[str]]]:
    """Output of each activation -> (operator, its input, values between the two that only it uses)."""
    marked, sites = find_sites(model, where)
    changing = varying(model.graph)
    calls = {node.output[0]: node for node in marked.graph.node if node.domain == DOMAIN}
    makers = {name: node for node in model.graph.node for name in node.output if name}
    kept = {name for node in marked.graph.node for name in node.output}
    found = {}
    for site in sites:
        source = calls[site.name].input[0]
        if source in changing:
            between = (
                frozenset(_between(site.name, source, makers) - kept)
                if not model.functions
                else frozenset[str]()
            )
            found[site.name] = (site.operator, source, between)
    for node in marked.graph.node:
        if (
            node.op_type in _ALONE
            and node.domain in {"", "ai.onnx", "com.microsoft"}
            and node.input[0] in changing
        ):
            found[node.output[0]] = (node.op_type, node.input[0], frozenset())
    return found


def _between(output: str, source: str, makers: dict[str, onnx.NodeProto]) -> set[str]:
    values: set[str] = set()
    pending = [output]
    while pending:
        value = pending.pop()
        if value != source and value in makers and value not in values:
            values.add(value)
            pending.extend(name for name in makers[value].input if name)
    return values


def _inlined(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    result = onnx.ModelProto()
    if not model.functions:
        result.CopyFrom(model)
        return result
    try:
        result.CopyFrom(inline_local_functions(model))
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise DamagedFile(f"the functions of {where} cannot be inlined: {one_line(error)}") from error
    return result
