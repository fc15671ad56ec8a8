"""A float model -> the same model as it is quantized: every activation one node, batch norms inside convolutions, all named.

What a runtime fuses at no cost (Relu, Clip) is written as that operator, since ONNX Runtime's quantizer folds it into the
convolution's output range. Everything here is written by hand: onnxruntime.quantization's own preparation runs ONNX Runtime's
optimizer, which inlines the functions that have to stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx
from onnx import TensorProto, helper

from edgeacts.acceleration.graph import import_domain
from edgeacts.acceleration.patterns import recognise
from edgeacts.activations import catalogue
from edgeacts.errors import EdgeactsError, one_line
from edgeacts.forms import DOMAIN, OPSETS, TOLERANCE, choose, function
from edgeacts.quantization.folding import fold_batch_norms, fold_constants, pool_globally
from edgeacts.quantization.graphs import drop_unused_weights, free_name, refill

FOLDED = frozenset({"Relu", "Clip"})


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model, equal to it within float32's rounding, with everything in the form that is quantized.

    Recognised stock activations become functions with a body; names of nodes stay where there were any. Raises
    EdgeactsError when the opset is lower than 18 and onnx cannot convert the model.
    """
    result = _at_least_opset(model)
    fold_constants(result)
    fold_batch_norms(result)
    result = _with_functions(result)
    _inline_free_functions(result)
    pool_globally(result)
    _name_nodes(result.graph)
    _type_values(result)
    drop_unused_weights(result.graph)
    return result


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own domain."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def _at_least_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    lowest = OPSETS[0]
    result = onnx.ModelProto()
    if opset_of(model) >= lowest:
        result.CopyFrom(model)
        return result
    try:
        converted: onnx.ModelProto = onnx.version_converter.convert_version(model, lowest)
    except Exception as error:  # onnx raises RuntimeError and others, which share nothing but Exception
        raise EdgeactsError(
            f"the model has opset {opset_of(model)}, quantization needs {lowest}, and onnx cannot convert it "
            f"({one_line(error)}): export it again with opset {lowest} or higher"
        ) from error
    return converted


def _with_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Stock activations as functions; a model that has functions of its own is left as it is."""
    by_operator = {definition.operator: definition for definition in catalogue().values()}
    model, found = recognise(model, lambda operator, _: operator in by_operator)
    opset = min(opset_of(model), OPSETS[1])
    for operator in sorted({r.operator for r in found}):
        values = [dict(r.parameters) for r in found if r.operator == operator]
        choice = choose(by_operator[operator], values, tolerance=TOLERANCE, opset=opset)
        model.functions.append(function(choice, opset=opset_of(model)))
    if found:
        import_domain(model, DOMAIN)
    return model


def _inline_free_functions(model: onnx.ModelProto) -> None:
    """Calls of functions that are one Relu or Clip become that operator; unused functions go."""
    free = {(f.domain, f.name): f for f in model.functions if _is_free(f)}
    taken = {t.name for t in model.graph.initializer} | {n for node in model.graph.node for n in node.output}
    for node in model.graph.node:
        body = free.get((node.domain, node.op_type))
        if body is not None:
            _inline(node, body, model.graph, taken)
    called = {(n.domain, n.op_type) for n in model.graph.node}
    refill(model.functions, [f for f in model.functions if (f.domain, f.name) in called])


def _is_free(body: onnx.FunctionProto) -> bool:
    work = [node for node in body.node if node.op_type != "Constant"]
    constants = [node for node in body.node if node.op_type == "Constant"]
    plain = all(a.name == "value_float" and not a.ref_attr_name for c in constants for a in c.attribute)
    return (
        len(work) == 1 and work[0].op_type in FOLDED and not work[0].domain and len(body.input) == 1 and plain
    )


def _inline(node: onnx.NodeProto, body: onnx.FunctionProto, graph: onnx.GraphProto, taken: set[str]) -> None:
    names = {body.input[0]: node.input[0]}
    for inner in body.node:
        if inner.op_type == "Constant":
            name = free_name(taken, f"{node.output[0]}_{inner.output[0]}")
            names[inner.output[0]] = name
            graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [inner.attribute[0].f]))
        else:
            node.op_type, node.domain = inner.op_type, ""
            refill(node.input, [names.get(name, name) for name in inner.input])
            refill(node.attribute, inner.attribute)


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Every node has a name of its own: by it layers are kept in float."""
    taken: set[str] = set()
    for node in graph.node:
        if node.name and node.name not in taken:
            taken.add(node.name)
        else:
            node.name = ""
    for node in graph.node:
        if not node.name:
            node.name = free_name(taken, f"{node.op_type}_{node.output[0]}")


def _type_values(model: onnx.ModelProto) -> None:
    """Element types of all values, which decide what is quantized: inferred, and for our functions that of their input."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # onnx's errors share nothing but Exception
        raise EdgeactsError(f"the model's types cannot be inferred: {one_line(error)}") from error
    known = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
    infos = []
    for node in model.graph.node:
        for name in node.output:
            if name in known:
                infos.append(known[name])
            elif name and node.domain == DOMAIN:
                infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    outputs = {value.name for value in model.graph.output}
    refill(model.graph.value_info, [v for v in infos if v.name not in outputs])


def follower(
    node: onnx.NodeProto, read_by: Mapping[str, list[onnx.NodeProto]], outputs: Collection[str]
) -> onnx.NodeProto | None:
    """The activation that alone reads the node's output, if there is one; `read_by` is `consumers(graph)`."""
    readers = read_by.get(node.output[0], [])
    if len(readers) != 1 or node.output[0] in outputs:
        return None
    reader = readers[0]
    is_activation = reader.domain == DOMAIN or (reader.op_type in FOLDED and not reader.domain)
    return reader if is_activation and reader.input[0] == node.output[0] else None


__all__ = ["FOLDED", "follower", "opset_of", "prepare"]
