"""An INT8 model as another CPU computes it: ONNX Runtime runs everything but the 8-bit products, numpy those.

The graph is the one that ONNX Runtime executes here: optimized, saved, and cut at its QLinearConv, QGemm and QLinearMatMul
nodes. What lies between two of them runs in a session of its own, as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeacts.quantization.deployed import open_model
from edgeacts.quantization.product_nodes import NotEmulated, ProductNode, read_product

Arrays = dict[str, NDArray[Any]]
BATCH = 16  # images whose products are in memory at once, where the model takes any number


@dataclass
class _Stage:
    """Nodes between products, and the products that can run after them."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    products: list[ProductNode] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    session: Any = None


class EmulatedModel:
    """`run(feeds)` gives the outputs as a CPU with (`saturating`) or without 16-bit sums computes them, bit by bit.

    `batch` images go in at once. Outside the products a CPU may differ in the last bit of a float, so that a value may fall on
    the other side of a rounding. `products` keep count of what saturated. Raises NotEmulated for a model with products that
    are not, or without any.
    """

    def __init__(self, model: onnx.ModelProto, *, saturating: bool) -> None:
        self.saturating = saturating
        self._model = executed_graph(model)
        graph = self._model.graph
        self._constants = {t.name: t for t in graph.initializer}
        arrays = {name: numpy_helper.to_array(t) for name, t in self._constants.items()}
        read = [(node, read_product(node, arrays)) for node in graph.node]
        self.products = [product for _, product in read if product is not None]
        if not self.products:
            raise NotEmulated(
                "the model has no 8-bit products: quantize it first, or look at its float layers"
            )
        self._outputs = [value.name for value in graph.output]
        given = next(value for value in graph.input if value.name not in self._constants)
        self.input = given.name
        dims = given.type.tensor_type.shape.dim
        self.batch = (dims[0].dim_value if dims else 0) or BATCH
        self._stages = _stages(read, self._outputs, set(self._constants))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The model's outputs, in its order."""
        known: Arrays = dict(feeds)
        for stage in self._stages:
            if stage.outputs:
                if stage.session is None:
                    stage.session = self._open(stage, known)
                values = stage.session.run(stage.outputs, {name: known[name] for name in stage.inputs})
                known.update(zip(stage.outputs, values, strict=True))
            for product in stage.products:
                known[product.output] = product.run(known[product.data], saturating=self.saturating)
        return [known[name] for name in self._outputs]

    def _open(self, stage: _Stage, known: Arrays) -> Any:
        inputs = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(known[name].dtype), None
            )
            for name in stage.inputs
        ]
        used = {name for node in stage.nodes for name in _reads(node)}
        graph = onnx.helper.make_graph(
            stage.nodes,
            "stage",
            inputs,
            [onnx.ValueInfoProto(name=name) for name in stage.outputs],
            [tensor for name, tensor in self._constants.items() if name in used],
        )
        part = onnx.helper.make_model(
            graph, opset_imports=list(self._model.opset_import), ir_version=self._model.ir_version
        )
        return open_model(part, optimized=False)


def executed_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that ONNX Runtime executes here by default. Raises EdgeactsError when it cannot open the model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        open_model(model, save_to=path)
        return onnx.load(path)


def _reads(node: onnx.NodeProto) -> set[str]:
    """What a node needs, its subgraphs' outer values included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            inside = {name for inner in graph.node for name in _reads(inner)}
            made = {name for inner in graph.node for name in inner.output} | {v.name for v in graph.input}
            names |= inside - made - {t.name for t in graph.initializer}
    return names - {""}


def _stages(
    read: Sequence[tuple[onnx.NodeProto, ProductNode | None]],
    graph_outputs: Sequence[str],
    constants: set[str],
) -> list[_Stage]:
    """Each node in the first stage in which all it reads is there; a product ends its stage for those that read it."""
    stage_of: dict[str, int] = {}
    made_by: dict[str, int] = {}
    stages: list[_Stage] = [_Stage()]
    needed: list[tuple[str, int]] = [(name, -1) for name in graph_outputs]
    for node, product in read:
        names = [product.data] if product is not None else sorted(_reads(node))
        number = max((stage_of.get(name, 0) for name in names), default=0)
        while len(stages) <= number:
            stages.append(_Stage())
        if product is None:
            stages[number].nodes.append(node)
            made_by.update(dict.fromkeys(filter(None, node.output), number))
        else:
            stages[number].products.append(product)
        needed += [(name, -1 if product is not None else number) for name in names]
        stage_of.update(dict.fromkeys(node.output, number + (product is not None)))
    outputs: dict[str, int] = {n: made_by[n] for n, reader in needed if n in made_by and reader != made_by[n]}
    for name, number in outputs.items():
        stages[number].outputs.append(name)
    for stage in stages:
        inside = {name for node in stage.nodes for name in node.output}
        wanted = {name for node in stage.nodes for name in _reads(node)}
        stage.inputs = sorted(wanted - inside - constants)
    return stages
