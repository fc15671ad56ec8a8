"""Sessions of models with one node of the kernels, all of whose inputs are the model's."""

from typing import Any

import onnxruntime as ort
from accelerating import CPU
from onnx import helper
from onnx.helper import make_tensor_value_info as value

from edgeacts.acceleration.compiling import kernel_options


def session(op: str, names: list[str], threads: int = 1, **given: Any) -> Any:
    node = helper.make_node(op, names, ["y"], domain="edgeacts.kernels", **given)
    inputs = [value(n, 1, None) for n in names if n]
    graph = helper.make_graph([node], "g", inputs, [value("y", 1, None)])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("edgeacts.kernels", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), kernel_options(threads), providers=CPU)
