"""Small changes of an ONNX graph that several steps of the quantization need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeacts.acceleration.graph import used_names


def refill(repeated: Any, kept: Iterable[Any]) -> None:
    """Replace the content of a repeated field."""
    kept = list(kept)
    del repeated[:]
    repeated.extend(kept)


def weights_of(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Initializers that no caller can override, by name."""
    inputs = {value.name for value in graph.input}
    return {t.name: t for t in graph.initializer if t.name not in inputs}


def array(tensor: onnx.TensorProto) -> NDArray[Any]:
    """A copy of an initializer's values."""
    return np.array(numpy_helper.to_array(tensor))


def set_array(tensor: onnx.TensorProto, values: NDArray[Any]) -> None:
    """tensor := values, under its own name."""
    tensor.CopyFrom(numpy_helper.from_array(np.array(values, order="C"), tensor.name))


def rename_values(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Replace names of values wherever the main graph reads or makes them."""
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                if name in names:
                    field[index] = names[name]


def drop_unused_weights(graph: onnx.GraphProto) -> None:
    """Delete initializers and value infos that nothing reads any more."""
    used = {name for node in graph.node for name in used_names(node)}
    used.update(value.name for value in graph.output)
    for index in reversed(range(len(graph.initializer))):  # not refilled: weights are large
        if graph.initializer[index].name not in used:
            del graph.initializer[index]
    made = {name for node in graph.node for name in node.output}
    refill(graph.value_info, [v for v in graph.value_info if v.name in made])


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Order the nodes so that each stands behind what it reads, and as close to where it stood as that allows."""
    waiting: dict[int, set[str]] = {}
    made = {name for node in graph.node for name in node.output if name}
    readers: dict[str, list[int]] = {}
    for index, node in enumerate(graph.node):
        waiting[index] = {name for name in used_names(node) if name in made}
        for name in waiting[index]:
            readers.setdefault(name, []).append(index)
    ordered: list[int] = []
    pending = [index for index in reversed(range(len(graph.node))) if not waiting[index]]
    while pending:
        index = pending.pop()
        ordered.append(index)
        freed = []
        for name in graph.node[index].output:
            for reader in readers.get(name, ()):
                waiting[reader].discard(name)
                if not waiting[reader]:
                    freed.append(reader)
        pending.extend(sorted(set(freed), reverse=True))
    nodes = []
    for index in ordered:
        copy = onnx.NodeProto()
        copy.CopyFrom(graph.node[index])
        nodes.append(copy)
    refill(graph.node, nodes)


def free_name(taken: set[str], wanted: str) -> str:
    """`wanted`, or with the first number that is free; it is taken from then on."""
    name, number = wanted, 1
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name
