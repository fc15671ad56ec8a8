"""The part of an ONNX file between some values, as a file of its own: what shows a divergence without the rest."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from edgeacts.acceleration.graph import subgraphs, used_names
from edgeacts.errors import EdgeactsError, one_line
from edgeacts.files import atomic_path, write_bytes_atomic

EXPECTED = "expected_"


def write_part(
    source: onnx.ModelProto,
    folder: Path,
    path: Path,
    given: Mapping[str, NDArray[Any]],
    wanted: Mapping[str, NDArray[Any]],
    told: str = "",
) -> list[str]:
    """Write the nodes that compute the values `wanted` from those `given`, with their weights, functions and metadata.

    `folder` is where the source's external weights lie; they are taken into the file. `told` is its description. Gives the names
    of its inputs: those of `given` that are needed. Raises EdgeactsError.
    """
    nodes = _between(source.graph, given, wanted)
    read = {name for node in nodes for name in used_names(node)}
    made = {name for node in nodes for name in node.output}
    if missing := sorted(
        v.name for v in source.graph.input if v.name in read - set(given) - _weights(source.graph)
    ):
        raise EdgeactsError(f"the part needs input {missing[0]!r} too, which was not recorded")
    graph = helper.make_graph(
        nodes,
        source.graph.name,
        [_declared(n, a) for n, a in given.items() if n in read],
        [_declared(n, a) for n, a in wanted.items()],
        [
            _inside(t, folder)
            for t in source.graph.initializer
            if t.name in read and t.name not in made | set(given)
        ],
    )
    graph.sparse_initializer.extend(t for t in source.graph.sparse_initializer if t.values.name in read)
    graph.doc_string = told
    part = helper.make_model(
        graph,
        functions=_functions(source, nodes),
        opset_imports=list(source.opset_import),
        ir_version=source.ir_version,
        producer_name=source.producer_name,
    )
    part.metadata_props.extend(source.metadata_props)
    with atomic_path(path) as temporary:
        onnx.save(part, temporary)
    return [value.name for value in graph.input]


def _weights(graph: onnx.GraphProto) -> set[str]:
    return {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}


def cut(graph: onnx.GraphProto, wanted: str, known: Container[str]) -> list[str]:
    """The values of `known` that the nodes read which compute `wanted` from such."""
    nodes = _between(graph, known, [wanted])
    return list(dict.fromkeys(n for node in nodes for n in used_names(node) if n in known))


def _between(graph: onnx.GraphProto, given: Container[str], wanted: Iterable[str]) -> list[onnx.NodeProto]:
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    pending, needed = list(wanted), set[int]()
    while pending:
        index = makers.get(name := pending.pop())
        if index is not None and index not in needed and name not in given:
            needed.add(index)
            pending.extend(used_names(graph.node[index]))
    return [graph.node[i] for i in sorted(needed)]


def _declared(name: str, array: NDArray[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _inside(tensor: onnx.TensorProto, folder: Path) -> onnx.TensorProto:
    """The tensor with its data in it."""
    if not uses_external_data(tensor):
        return tensor
    whole = onnx.TensorProto()
    whole.CopyFrom(tensor)
    try:
        load_external_data_for_tensor(whole, str(folder))  # onnx itself refuses places outside the folder
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise EdgeactsError(f"the weights of {tensor.name} cannot be read: {one_line(error)}") from error
    whole.ClearField("external_data")
    whole.data_location = onnx.TensorProto.DEFAULT
    return whole


def _functions(source: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> list[onnx.FunctionProto]:
    """The functions that the nodes call, and those that they call in turn."""
    known = {(f.domain, f.name): f for f in source.functions}
    pending, needed = list(nodes), set[tuple[str, str]]()
    while pending:
        node = pending.pop()
        key = node.domain, node.op_type
        if key in known and key not in needed:
            needed.add(key)
            pending.extend(known[key].node)
        for graph in subgraphs(node):
            pending.extend(graph.node)
    return [f for key, f in known.items() if key in needed]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """An .npz of plain arrays, under any names; read it with np.load(path, allow_pickle=False)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
    write_bytes_atomic(path, buffer.getvalue())
