"""Model-local functions, which OpenVINO refuses, converted node by node while it reads the file itself.

Its ONNX frontend asks a conversion extension for every node of a function's name. The weights stay where they are: in the
file, or beside it, mapped into memory and of any size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import helper
from onnx.inliner import inline_local_functions

from edgeacts.bodies import DOMAIN
from edgeacts.runtimes.openvino_ir import new_core

_OUTER = ("Parameter", "Result")
_ONNX_TYPES = {  # of what a function may be called with; float where OpenVINO does not know yet
    "f64": onnx.TensorProto.DOUBLE,
    "f32": onnx.TensorProto.FLOAT,
    "f16": onnx.TensorProto.FLOAT16,
    "bf16": onnx.TensorProto.BFLOAT16,
    "i32": onnx.TensorProto.INT32,
    "i64": onnx.TensorProto.INT64,
}


def convertible(model: onnx.ModelProto) -> bool:
    """Whether each function can be converted node by node: float attributes only, every input given, no name shared.

    Others (of other tools) are inlined before OpenVINO reads the model.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    if len(functions) < len(model.functions) or any(f.domain in ("", "ai.onnx") for f in model.functions):
        return False
    for node in _nodes(model.graph):
        function = functions.get((node.domain, node.op_type))
        if function is None:
            continue
        defaults = {a.name for a in function.attribute_proto}
        given = {a.name for a in node.attribute}
        kinds = {a.type for a in (*node.attribute, *function.attribute_proto)}
        whole = len(node.input) == len(function.input) and all(node.input)
        named = given <= {*function.attribute, *defaults} and set(function.attribute) <= given
        if not whole or not named or not kinds <= {onnx.AttributeProto.FLOAT}:
            return False
        if len(node.output) != len(function.output) or not all(node.output):
            return False
    return True


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _nodes(inner)


class FunctionConverter:
    """Conversion extensions for the functions of one model, and afterwards the names of what they made.

    `activations`, after `name_nodes`: name of each node of domain `edgeacts` in the OpenVINO model -> its operator.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.activations: dict[str, str] = {}
        self._functions = list(model.functions)
        self._ir_version = model.ir_version
        self._bodies: dict[tuple[object, ...], Any] = {}
        self._made: list[tuple[onnx.FunctionProto, list[Any]]] = []

    def extensions(self) -> list[Any]:
        """One openvino ConversionExtension a function."""
        from openvino.frontend.onnx import ConversionExtension

        return [
            ConversionExtension(f.name, f.domain, functools.partial(self._convert, f))
            for f in self._functions
        ]

    def name_nodes(self) -> None:
        """Call what an activation was made of ACTIVATION/operation, so that the executed graph tells of it."""
        for function, nodes in self._made:
            name = nodes[-1].get_friendly_name()
            for index, node in enumerate(nodes[:-1]):
                node.set_friendly_name(f"{name}/{node.get_type_name()}_{index}")
            if function.domain == DOMAIN:
                self.activations[name] = function.name

    def _convert(self, function: onnx.FunctionProto, context: Any) -> list[Any]:
        names = (*function.attribute, *(a.name for a in function.attribute_proto))
        given = {n: float(context.get_attribute(n, 0.0)) for n in names if context.has_attribute(n)}
        ports = [context.get_input(index) for index in range(len(function.input))]
        results, inside = self.behind(function, given, ports)
        if inside:
            self._made.append((function, [op for op in inside if op.get_type_name() != "Constant"]))
        return results

    def behind(
        self, function: onnx.FunctionProto, given: Mapping[str, float], ports: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """(outputs, all operations) of a call with these attributes, its inputs connected to the output `ports`."""
        types = tuple(
            _ONNX_TYPES.get(p.get_element_type().get_type_name(), onnx.TensorProto.FLOAT) for p in ports
        )
        body = self._body(function, given, types).clone()
        for index, parameter in enumerate(body.get_parameters()):  # a Conv behind it wants to know the rank
            parameter.set_partial_shape(ports[index].get_partial_shape())
        body.validate_nodes_and_infer_types()
        inside = [op for op in body.get_ordered_ops() if op.get_type_name() not in _OUTER]
        for node in inside:
            for port in node.outputs():
                port.set_names(set())  # names of the body would stand beside those of the file
        for index, parameter in enumerate(body.get_parameters()):
            parameter.output(0).set_names(set())
            parameter.output(0).replace(ports[index])
        return [result.input_value(0) for result in body.get_results()], inside

    def _body(self, function: onnx.FunctionProto, given: Mapping[str, float], types: tuple[int, ...]) -> Any:
        """The openvino.Model of one call, converted once for each set of attribute values and types of inputs."""
        key = (function.domain, function.name, types, *sorted(given.items()))
        if key not in self._bodies:
            self._bodies[key] = new_core().read_model(self._call(function, given, types))
        return self._bodies[key]

    def _call(
        self, function: onnx.FunctionProto, given: Mapping[str, float], types: tuple[int, ...]
    ) -> bytes:
        """A model of one node that calls the function, inlined: its inputs are of any shape."""
        value = functools.partial(helper.make_tensor_value_info, shape=None)
        node = helper.make_node(
            function.name, list(function.input), list(function.output), domain=function.domain
        )
        node.attribute.extend(helper.make_attribute(n, v) for n, v in given.items())
        graph = helper.make_graph(
            [node],
            function.name,
            [value(name, kind) for name, kind in zip(function.input, types, strict=True)],
            [value(name, types[0]) for name in function.output],
        )
        imports = {o.domain: o.version for f in self._functions for o in f.opset_import}
        imports |= {f.domain: 1 for f in self._functions}
        imports |= {o.domain: o.version for o in function.opset_import}
        model = helper.make_model(
            graph,
            functions=self._functions,
            opset_imports=[helper.make_opsetid(d, v) for d, v in imports.items()],
            ir_version=max(self._ir_version, 8),
        )
        data: bytes = inline_local_functions(model).SerializeToString()
        return data
