"""Small questions about an ONNX graph: who uses a value, what depends on an input, attributes as a mapping."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import onnx
from onnx import helper


def attributes(node: onnx.NodeProto) -> dict[str, onnx.AttributeProto]:
    """Name -> attribute."""
    return {a.name: a for a in node.attribute}


def remove_attributes(node: onnx.NodeProto, *names: str) -> None:
    """Drop the named attributes."""
    kept = [a for a in node.attribute if a.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes: bodies of If, Loop, Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def used_names(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, inner graphs included."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from used_names(inner)
        yield from (value.name for value in graph.output)


def use_counts(graph: onnx.GraphProto) -> Counter[str]:
    """How often each value is read; being an output of the graph counts."""
    counts = Counter(value.name for value in graph.output)
    for node in graph.node:
        counts.update(used_names(node))
    return counts


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Value -> the node that makes it."""
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Value -> the nodes that read it."""
    found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in dict.fromkeys(used_names(node)):
            found[name].append(node)
    return found


def varying(graph: onnx.GraphProto) -> set[str]:
    """Values that depend on an input: the others are constants, which a runtime computes while it loads the model."""
    weights = {tensor.name for tensor in graph.initializer}
    names = {value.name for value in graph.input if value.name not in weights}
    random = {
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    }
    for node in graph.node:
        if node.op_type in random or any(name in names for name in used_names(node)):
            names.update(node.output)
    return names


def import_domain(model: onnx.ModelProto, domain: str, version: int = 1) -> None:
    """Declare the domain if the model does not."""
    if all(entry.domain != domain for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(domain, version))
