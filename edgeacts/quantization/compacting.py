"""A small file: equal initializers are one, what follows from other numbers is not stored, inner names are short.

In a network of many narrow layers the numbers a channel (scales of weights and biases, zero points) are what makes an 8-bit
file larger than a quarter of the float one.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgeacts.acceleration.graph import consumers, producers, remove_attributes
from edgeacts.quantization.graphs import array, drop_unused_weights, refill, set_array

_QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})
_WORTH = 16  # a multiplication takes as many bytes as that many numbers
_CONV_DEFAULTS = {"auto_pad": b"NOTSET", "group": 1}


def compact(quantized: onnx.ModelProto) -> None:
    """Merge, rename and strip in place. Names of inputs, outputs and of nodes other than Q and DQ stay."""
    graph = quantized.graph
    del graph.value_info[:]
    del graph.metadata_props[:]  # where the exporter says which line of Python made what
    for tensor in graph.initializer:
        set_array(tensor, array(tensor))
    for node in graph.node:
        _strip(node)
    _leave_out_zero_points(graph)
    _multiply_scales(graph)
    _merge_initializers(graph)
    drop_unused_weights(graph)
    _shorten(graph)


def _strip(node: onnx.NodeProto) -> None:
    node.doc_string = ""
    del node.metadata_props[:]
    if node.op_type in _QDQ:
        node.name = ""
    if node.op_type == "Conv" and not node.domain:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        plain = [name for name, value in _CONV_DEFAULTS.items() if given.get(name) == value]
        plain += [n for n in ("dilations", "strides") if n in given and set(given[n]) == {1}]
        plain += [n for n in ("pads",) if n in given and set(given[n]) == {0}]
        remove_attributes(node, *plain, "kernel_shape")


def _leave_out_zero_points(graph: onnx.GraphProto) -> None:
    """Of weights and biases of convolutions, where they are 0: ONNX Runtime fuses Gemm and MatMul only where they are given."""
    values = {t.name: t for t in graph.initializer}
    readers = consumers(graph)
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in values or len(node.input) < 3:
            continue
        if any(r.op_type != "Conv" for r in readers.get(node.output[0], [])):
            continue
        if not array(values[node.input[2]]).any():
            del node.input[2]


def _multiply_scales(graph: onnx.GraphProto) -> None:
    """A bias's scale is input scale · weight scale, which runtimes compute once, while they load the model."""
    values = {t.name: t for t in graph.initializer}
    makers = producers(graph)
    for node in list(graph.node):
        inputs = [makers.get(name) for name in node.input] if node.op_type == "Conv" else []
        if len(inputs) != 3 or any(n is None or n.op_type != "DequantizeLinear" for n in inputs):
            continue
        x, w, b = (values.get(n.input[1]) for n in inputs if n is not None)
        dequantize = inputs[2]
        if x is None or w is None or b is None or dequantize is None or np.prod(b.dims) < _WORTH:
            continue
        if np.array_equal(array(x) * array(w), array(b)):
            product = helper.make_node("Mul", [x.name, w.name], [f"{node.output[0]}_bias_scale"])
            dequantize.input[1] = product.output[0]
            position = next(i for i, n in enumerate(graph.node) if n.output[0] == dequantize.output[0])
            graph.node.insert(position, product)


def _merge_initializers(graph: onnx.GraphProto) -> None:
    known: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    for tensor in graph.initializer:
        nameless = onnx.TensorProto()
        nameless.CopyFrom(tensor)
        nameless.name = ""
        key = nameless.SerializeToString(deterministic=True)
        renamed[tensor.name] = known.setdefault(key, tensor.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)


def _shorten(graph: onnx.GraphProto) -> None:
    """Values that only Q and DQ stand behind are numbered; layers keep the names of what they compute."""
    kept = {v.name for v in (*graph.input, *graph.output)}
    kept |= {name for node in graph.node if node.op_type not in _QDQ and node.name for name in node.output}
    names = [t.name for t in graph.initializer]
    names += [name for node in graph.node for name in node.output]
    short: dict[str, str] = {}
    for name in names:
        if name not in kept and name not in short:
            number = len(short)
            while f"q{number}" in kept:
                number += len(names) + 1
            short[name] = f"q{number}"
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    for node in graph.node:
        refill(node.input, [short.get(name, name) for name in node.input])
        refill(node.output, [short.get(name, name) for name in node.output])
