"""What ONNX Runtime made of a model: operators and precisions of the graph it executes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import onnx

_INT8_OPS = frozenset({
    "QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
})  # fmt: skip
_WEIGHTED_OPS = frozenset({
    "Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "FusedConv", "FusedGemm", "FusedMatMul",
    "NhwcFusedConv", "NhwcConv",
})  # fmt: skip
_CARRIERS = frozenset({
    "Cast", "Constant", "Identity", "Reshape", "Transpose", "Concat", "Split", "Slice", "Gather", "Shape", "Flatten",
    "Squeeze", "Unsqueeze", "Expand", "Pad", "QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput",
})  # fmt: skip
_SHORT = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64"}


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each operator, subgraphs included; `domain:Op` outside the standard domain."""
    return Counter(
        f"{node.domain}:{node.op_type}" if node.domain else node.op_type for node in _nodes(model.graph)
    )


def precisions(model: onnx.ModelProto) -> Counter[str]:
    """How many matrix products and convolutions run in `int8`, `f32`, `f16`, ...

    A Conv between a DequantizeLinear and a QuantizeLinear that were not fused into it is an f32 Conv, and
    counted so. Without any such node, those that compute at all are counted: a float16 activation between two
    Casts is an f32 one. Without these either, the graph's first floating-point input or output counts once.
    """
    types = _tensor_types(model.graph)
    found = Counter[str]()
    for node in _nodes(model.graph):
        if node.op_type in _INT8_OPS:
            found["int8"] += 1
        elif node.op_type in _WEIGHTED_OPS:
            known = [types[name] for name in node.input[1:2] if name in types] or ["f32"]
            found[known[0]] += 1
    if not found:
        found.update(_computing(model.graph, types))
    if not found:
        declared = [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)]
        floating = [name for name in map(short_type, declared) if name in _SHORT.values()]
        found.update(floating[:1])
    return found


def summary(counts: Mapping[str, int]) -> str:
    """Names, the most frequent first, joined by `+`: `int8+f32`. `unknown` when nothing was counted."""
    return "+".join(name for name, _ in _ranked(counts)) or "unknown"


def listing(counts: Mapping[str, int]) -> str:
    """Names with counts, the most frequent first: `Conv 52, Add 10`."""
    return ", ".join(f"{name} {count}" for name, count in _ranked(counts)) or "none"


def short_type(elem_type: int) -> str:
    """`f32`, `f16`, `bf16`, `f64`, otherwise ONNX's own name in small letters (`int8`, `uint8`, ...)."""
    name = str(onnx.TensorProto.DataType.Name(elem_type)).lower()
    return {"float": "f32", "double": "f64", **_SHORT}.get(name, name)


def _computing(graph: onnx.GraphProto, types: dict[str, str]) -> Iterator[str]:
    """The floating-point type of each node that computes, told by its inputs; outputs that are not declared have it too."""
    known = dict(types)
    for node in graph.node:
        floating = [known[name] for name in node.input if known.get(name) in _SHORT.values()]
        if not floating:
            continue
        for name in node.output:
            known.setdefault(name, floating[0])
        if node.op_type not in _CARRIERS:
            yield floating[0]


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(inner)


def _tensor_types(graph: onnx.GraphProto) -> dict[str, str]:
    types = {tensor.name: short_type(tensor.data_type) for tensor in graph.initializer}
    for value in _values(graph):
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type:
            types.setdefault(value.name, short_type(value.type.tensor_type.elem_type))
    for node in graph.node:
        for value in (a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"):
            types[node.output[0]] = short_type(value.data_type)
        if node.op_type == "Cast":
            types[node.output[0]] = next(short_type(a.i) for a in node.attribute if a.name == "to")
    return types


def _values(graph: onnx.GraphProto) -> Iterable[onnx.ValueInfoProto]:
    return (*graph.input, *graph.value_info, *graph.output)
