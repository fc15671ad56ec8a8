"""What an ONNX file declares, read without its external weights."""

from pathlib import Path

import numpy as np
import onnx

from edgeacts.errors import DamagedFile, UsageError
from edgeacts.files import read_bytes
from edgeacts.runtimes.base import TensorSpec

MAX_MODEL_BYTES = 2 * 2**30  # a protobuf message cannot be larger


def load_onnx(path: Path) -> onnx.ModelProto:
    """The model, external weights left where they are. Raises UsageError (missing) or DamagedFile."""
    data = read_bytes(path, "model", MAX_MODEL_BYTES)
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # protobuf's DecodeError, which onnx does not export
        raise DamagedFile(f"{path} is not an ONNX model, or is truncated: export it again") from None
    if not model.HasField("graph") or not model.graph.output:
        raise DamagedFile(f"{path} holds no ONNX graph with an output: export it again")
    return model


def input_specs(model: onnx.ModelProto, path: Path) -> tuple[TensorSpec, ...]:
    """Inputs that a caller must give, in the file's order: those that are not initializers."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value, path) for value in model.graph.input if value.name not in weights)


def output_specs(model: onnx.ModelProto, path: Path) -> tuple[TensorSpec, ...]:
    """Outputs, in the file's order."""
    return tuple(_spec(value, path) for value in model.graph.output)


def _spec(value: onnx.ValueInfoProto, path: Path) -> TensorSpec:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "value without a type"
        raise UsageError(f"{path}: {value.name!r} is a {kind}; only tensors are supported")
    tensor = value.type.tensor_type
    try:
        dtype = dtype_name(tensor.elem_type)
    except KeyError:
        raise DamagedFile(f"{path}: {value.name!r} has the unknown element type {tensor.elem_type}") from None
    if not tensor.HasField("shape"):
        return TensorSpec(value.name, dtype, None)
    dims = tensor.shape.dim
    return TensorSpec(
        value.name,
        dtype,
        tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims),
        tuple(dim.dim_param for dim in dims),
    )


def dtype_name(elem_type: int) -> str:
    """Name that numpy gives an ONNX element type: 1 is `float32`, 7 is `int64`, 8 is `string`."""
    if elem_type == onnx.TensorProto.STRING:
        return "string"
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type)).name
