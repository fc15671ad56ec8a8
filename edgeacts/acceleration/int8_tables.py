"""Tables of 256 bytes: the model's own operators, run on every value that a byte can have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeacts.acceleration.int8_regions import Region
from edgeacts.errors import EdgeactsError, one_line

ByteTable = NDArray[np.uint8]
SIGN = np.uint8(0x80)  # what the bytes of an int8 and of the uint8 that is 128 more differ by
_LOG_FATAL_ONLY = 4


def byte_tables(model: onnx.ModelProto, regions: Sequence[Region]) -> list[ByteTable]:
    """For each region the output's byte for each of the input's 256, as ONNX Runtime computes it with its own optimizations.

    An int8 counts as the uint8 that is 128 more, which the runtime's optimizer may make of it. What the tables replace is what
    computes them, so that both are the same to the last bit. Raises EdgeactsError.
    """
    if not regions:
        return []
    try:
        session = ort.InferenceSession(
            _bodies(model, regions).SerializeToString(), _options(), providers=["CPUExecutionProvider"]
        )
        unsigned, signed = np.arange(256, dtype=np.uint8), np.arange(-128, 128, dtype=np.int8)
        feeds = {r.source: unsigned if r.element == TensorProto.UINT8 else signed for r in regions}
        found = session.run([r.target for r in regions], feeds)
    except Exception as error:  # ONNX Runtime's classes share nothing but Exception
        raise EdgeactsError(f"its INT8 activations cannot be evaluated: {one_line(error)}") from error
    return [_unsigned(values) for values in found]


def _unsigned(values: NDArray[np.generic]) -> ByteTable:
    found = np.ascontiguousarray(values)
    return found.view(np.uint8) ^ SIGN if found.dtype == np.int8 else found.astype(np.uint8)


def _bodies(model: onnx.ModelProto, regions: Sequence[Region]) -> onnx.ModelProto:
    """The model reduced to the regions, on vectors of 256."""
    result = onnx.ModelProto()
    result.ir_version = model.ir_version
    result.opset_import.extend(model.opset_import)
    result.functions.extend(model.functions)
    graph = result.graph
    graph.name = "tables"
    wanted = {node.output[0]: node for region in regions for node in region.nodes}
    read = {name for node in wanted.values() for name in node.input}
    for node in model.graph.node:
        constant = node.op_type == "Constant" and node.output[0] in read
        if constant or (node.output and node.output[0] in wanted):
            graph.node.append(node)
    graph.initializer.extend(t for t in model.graph.initializer if t.name in read)
    elements = {r.source: r.element for r in regions}
    graph.input.extend(helper.make_tensor_value_info(n, e, [256]) for n, e in elements.items())
    graph.output.extend(helper.make_tensor_value_info(r.target, r.element, [256]) for r in regions)
    return result


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_FATAL_ONLY
    options.intra_op_num_threads = 1
    return options
