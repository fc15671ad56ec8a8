"""OpenVINO's tensors and ports in numpy's terms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgeacts.errors import UsageError
from edgeacts.runtimes.base import TensorSpec

_DTYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16",
    "boolean": "bool", "string": "string",
    "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8",
    "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
}  # fmt: skip


_BFLOAT16 = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)


def to_tensor(array: np.ndarray) -> Any:
    """A tensor on the array's memory; numpy's bfloat16 is not known to OpenVINO, so its bits are handed over."""
    from openvino import Shape, Tensor, Type

    if array.dtype != _BFLOAT16:
        return Tensor(array)
    return Tensor(array.view(np.uint16), Shape(array.shape), Type.bf16)


def to_array(tensor: Any) -> np.ndarray:
    """A copy of the tensor's values; OpenVINO shows the bits of a bfloat16 as if they were a float16."""
    values = np.array(tensor.data)
    return values.view(_BFLOAT16) if tensor.element_type.get_type_name() == "bf16" else values


def port_specs(path: Path, ports: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """What the ports of an openvino model take or give. Raises UsageError for types that numpy has not."""
    return tuple(port_spec(path, port) for port in ports)


def port_spec(path: Path, port: Any) -> TensorSpec:
    """One port's name, dtype and shape."""
    kind = port.element_type.get_type_name()
    if kind not in _DTYPES:
        raise UsageError(f"{path}: {port.any_name!r} has elements of type {kind}, which numpy has not")
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return TensorSpec(port.any_name, _DTYPES[kind], None)
    return TensorSpec(
        port.any_name, _DTYPES[kind], tuple(dim.get_length() if dim.is_static else None for dim in shape)
    )


def find_port(ports: Sequence[Any], name: str) -> Any | None:
    """The port of that name; OpenVINO drops inputs that nothing uses."""
    return next((port for port in ports if name in port.names), None)
