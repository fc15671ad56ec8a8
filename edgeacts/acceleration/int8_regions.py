"""Where an INT8 model computes a quantized value from one other alone, entry by entry: what a table of 256 bytes can stand for.

That is DequantizeLinear, an activation in whatever form, QuantizeLinear; also several in a row, and activations whose inner
operators a quantizer has given scales of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeacts.acceleration.graph import attributes, consumers, producers, subgraphs

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
BYTES = (TensorProto.UINT8, TensorProto.INT8)
# Operators that give an element from the same element of their operands and nothing else.
_ELEMENTWISE = frozenset({
    "Abs", "Add", "Cast", "Ceil", "Celu", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mish",
    "Mul", "Neg", "Not", "Pow", "QuickGelu", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus",
    "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where",
})  # fmt: skip
# What ONNX Runtime drops or fuses into the convolution before it at no cost.
_FREE = frozenset({"Relu", "Clip", "Identity", QUANTIZE, DEQUANTIZE})
_DOMAINS = ("", "ai.onnx", "com.microsoft")


@dataclass(frozen=True)
class Region:
    """`target` = quantize(f(dequantize(source))), both uint8 or both int8.

    `nodes` are what computes it, in order; `operators` their types, those of functions' bodies included; `value` is the number
    that is quantized in the end.
    """

    source: str
    target: str
    value: str
    element: int
    nodes: tuple[onnx.NodeProto, ...]
    operators: tuple[str, ...]

    @property
    def free(self) -> bool:
        """Whether the runtime carries it out at no cost."""
        return _FREE.issuperset(self.operators)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the model has a value that is quantized while it runs."""
    return any(node.op_type == QUANTIZE for node in model.graph.node)


def find_regions(model: onnx.ModelProto) -> list[Region]:
    """The regions of the main graph, each as large as it can be, in the order of their targets."""
    search = _Search(model)
    search.follow()
    return [region for target in search.targets() if (region := search.region(target)) is not None]


def between_quantizers(model: onnx.ModelProto) -> set[str]:
    """Values that are computed entry by entry from dequantized ones alone and then quantized."""
    search = _Search(model)
    found: set[str] = set()
    for node in model.graph.node:
        variable = [name for name in node.input if name and not search.constant(name)]
        if node.op_type == DEQUANTIZE or (
            search.elementwise(node) and variable and found.issuperset(variable)
        ):
            found.update(node.output)
    return {node.input[0] for node in model.graph.node if node.op_type == QUANTIZE} & found


class _Search:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        overridable = {value.name for value in self.graph.input}
        self.constants = {t.name: t for t in self.graph.initializer if t.name not in overridable}
        for node in self.graph.node:
            if node.op_type == "Constant" and (tensor := _constant(node)) is not None:
                self.constants[node.output[0]] = tensor
        self.elements = {v.name: v.type.tensor_type.elem_type for v in self.graph.input}
        self.bodies = {(f.domain, f.name): f for f in model.functions}
        self.makers, self.readers = producers(self.graph), consumers(self.graph)
        self.outputs = {value.name for value in self.graph.output}
        self.root: dict[str, str] = {}  # value -> the quantized value that it is computed from
        self._inner: dict[str, bool] = {}

    def follow(self) -> None:
        """From each quantized value on, as long as operators are elementwise and have no other variable operand."""
        for node in self.graph.node:
            root = self._root(node)
            if root is not None:
                self.root[node.output[0]] = root

    def _root(self, node: onnx.NodeProto) -> str | None:
        if len(node.output) != 1 or any(True for _ in subgraphs(node)):
            return None
        if node.op_type in (QUANTIZE, DEQUANTIZE) and node.domain in _DOMAINS:
            if not self._per_tensor(node):
                return None
            source = node.input[0]
            if node.op_type == QUANTIZE:
                return self.root.get(source)
            return None if source in self.constants else self.root.get(source, source)
        if not self.elementwise(node):
            return None
        variable = {name for name in node.input if name and not self._scalar(name)}
        roots = {self.root.get(name, "") for name in variable}
        return roots.pop() if len(roots) == 1 and "" not in roots else None

    def constant(self, name: str) -> bool:
        """Whether a value is known before the model runs."""
        return name in self.constants

    def elementwise(self, node: onnx.NodeProto) -> bool:
        """Whether each element of what a node gives depends on the same element of its operands alone."""
        body = self.bodies.get((node.domain, node.op_type))
        if body is None:
            return node.domain in _DOMAINS and node.op_type in _ELEMENTWISE
        return all(
            _is_scalar(_constant(inner))
            if inner.op_type == "Constant"
            else inner.domain in _DOMAINS and inner.op_type in _ELEMENTWISE
            for inner in body.node
        )

    def _scalar(self, name: str) -> bool:
        return _is_scalar(self.constants.get(name))

    def _per_tensor(self, node: onnx.NodeProto) -> bool:
        """One scale for all, known before the model runs, on bytes."""
        scale = self.constants.get(node.input[1])
        if scale is None or not self._scalar(node.input[1]) or scale.data_type != TensorProto.FLOAT:
            return False
        if len(node.input) > 2 and node.input[2] and not self._scalar(node.input[2]):
            return False
        quantized = node.output[0] if node.op_type == QUANTIZE else node.input[0]
        return self.element(node, quantized) in BYTES

    def element(self, node: onnx.NodeProto, quantized: str) -> int:
        """The element type of the quantized side of a QuantizeLinear or DequantizeLinear."""
        if len(node.input) > 2 and node.input[2] in self.constants:
            return int(self.constants[node.input[2]].data_type)
        if node.op_type == QUANTIZE:
            found = attributes(node).get("output_dtype")
            return int(found.i) if found is not None and found.i else int(TensorProto.UINT8)
        maker = self.makers.get(quantized)
        if maker is not None and maker.op_type == QUANTIZE:
            return self.element(maker, quantized)
        return int(self.elements.get(quantized, TensorProto.UNDEFINED))

    def targets(self) -> Iterator[str]:
        """Quantized values with a root that something else than a region reads."""
        for node in self.graph.node:
            name = node.output[0] if node.output else ""
            if node.op_type == QUANTIZE and name in self.root and not self.inner(name):
                yield name

    def inner(self, name: str) -> bool:
        """Whether all that reads a value ends in quantized values of the same region."""
        pending = [name]
        while pending:
            value = pending[-1]
            followed = {
                n.output[0] for n in self.readers.get(value, ()) if n.output and n.output[0] in self.root
            }
            onwards = [
                n.output[0]
                for n in self.readers.get(value, ())
                if not (n.op_type == QUANTIZE and n.output[0] in self.root)
            ]
            if value in self.outputs or any(o not in self.root for o in onwards) or not (followed or onwards):
                self._inner[value] = False
            elif open_ones := [o for o in onwards if o not in self._inner]:
                pending.extend(open_ones)
                continue
            else:
                self._inner[value] = all(self._inner[o] for o in onwards)
            pending.pop()
        return self._inner[name]

    def region(self, target: str) -> Region | None:
        """All that computes the target from its root; None when the two are of different types."""
        source, needed = self.root[target], {target}
        nodes: list[onnx.NodeProto] = []
        for node in reversed(self.graph.node):
            if node.output and node.output[0] in needed and node.output[0] in self.root:
                nodes.append(node)
                needed.update(name for name in node.input if name != source)
        nodes.reverse()
        final = self.makers[target]
        first = next(n for n in nodes if n.op_type == DEQUANTIZE and n.input[0] == source)
        element = self.element(final, target)
        if element != self.element(first, source):
            return None
        operators = tuple(op for node in nodes for op in self._operators(node))
        return Region(source, target, final.input[0], element, tuple(nodes), operators)

    def _operators(self, node: onnx.NodeProto) -> Iterator[str]:
        body = self.bodies.get((node.domain, node.op_type))
        if body is None:
            yield node.op_type
        else:
            yield from (inner.op_type for inner in body.node if inner.op_type != "Constant")


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The value of a Constant node; None for a kind of constant that no activation has, or one that is a parameter of a call."""
    found = attributes(node)
    if "value" in found and not found["value"].ref_attr_name:
        return found["value"].t
    for name, element, field in (
        ("value_float", TensorProto.FLOAT, "f"),
        ("value_int", TensorProto.INT64, "i"),
    ):
        if name in found:  # a parameter of the call is one number too
            return helper.make_tensor("", element, [], [getattr(found[name], field)])
    return None


def _is_scalar(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and len(tensor.dims) <= 1 and int(np.prod(tensor.dims)) == 1
