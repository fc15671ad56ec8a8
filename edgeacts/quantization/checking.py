"""What cannot be quantized is said before anything is begun: the model, the images, the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.acceleration.compiling import load_whole
from edgeacts.errors import UsageError
from edgeacts.quantization.layers import WEIGHTED, layers_of
from edgeacts.quantization.preparing import prepare
from edgeacts.quantization.sessions import fixed_batch, input_of

LEAST_IMAGES = 8
_QUANTIZED = frozenset({
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
    "MatMulInteger", "QGemm", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
})  # fmt: skip
_OTHER_FLOATS = {
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.DOUBLE: "float64",
}


def load_model(path: Path) -> onnx.ModelProto:
    """The float model in that file. Raises UsageError for what cannot be quantized, EdgeactsError for what cannot be read."""
    if not path.is_file():
        raise UsageError(
            f"model {path} {'is a folder, a file is needed' if path.is_dir() else 'does not exist'}"
        )
    model = load_whole(path)
    check_model(model, str(path))
    return model


def check_model(model: onnx.ModelProto, where: str) -> None:
    """Raise UsageError unless it is a float32 model of one image input that is not quantized and has layers to quantize."""
    kinds = {node.op_type for node in model.graph.node}
    kinds |= {node.op_type for function in model.functions for node in function.node}
    if found := sorted(kinds & _QUANTIZED):
        raise UsageError(
            f"{where} is quantized already (it holds {found[0]}): give the float model it was made from"
        )
    _check_floats(model, where)
    _check_input(model, where)
    if not layers_of(prepare(model)):
        raise UsageError(
            f"{where} has nothing to quantize: it holds no {', '.join(WEIGHTED[:-1])} or {WEIGHTED[-1]} with constant weights"
        )


def _check_floats(model: onnx.ModelProto, where: str) -> None:
    types = [t.data_type for t in model.graph.initializer]
    types += [v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)]
    for kind, name in _OTHER_FLOATS.items():
        if kind in types:
            raise UsageError(
                f"{where} is a {name} model: quantize the float32 model that it was converted from"
            )


def _check_input(model: onnx.ModelProto, where: str) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise UsageError(
            f"{where} has {len(inputs)} inputs ({names}): only models of one image input are quantized"
        )
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise UsageError(f"{where}: input {inputs[0].name!r} is {kind}: only float32 inputs are quantized")
    dims = list(tensor.shape.dim)
    if not tensor.HasField("shape") or len(dims) < 2:
        raise UsageError(f"{where}: input {inputs[0].name!r} has no shape [batch, ...]: export it with one")
    open_sizes = [
        dim.dim_param or f"dimension {axis}" for axis, dim in enumerate(dims) if axis and not dim.dim_value
    ]
    if open_sizes:
        raise UsageError(
            f"{where}: input {inputs[0].name!r} has an open size ({', '.join(open_sizes)}): fix it first, with python -m "
            f"onnxruntime.tools.make_dynamic_shape_fixed --dim_param {open_sizes[0].replace(' ', '_')} --dim_value N MODEL OUT"
        )


def check_images(model: onnx.ModelProto, images: Any, labels: Any = None) -> NDArray[np.float32]:
    """The images as the model takes them. Raises UsageError: type, shape, too few, NaN, labels of another length."""
    wanted = [int(dim.dim_value) for dim in input_of(model).type.tensor_type.shape.dim[1:]]
    shape = f"[N, {', '.join(map(str, wanted))}]"
    if not isinstance(images, np.ndarray) or images.dtype.kind != "f":
        kind = f"{images.dtype} array" if isinstance(images, np.ndarray) else type(images).__name__
        raise UsageError(
            f"calibration images are a {kind}: give a float32 array {shape}, as Preprocessing.normalize returns it"
        )
    if list(images.shape[1:]) != wanted:
        raise UsageError(
            f"calibration images have shape {list(images.shape)}, the model takes {shape}: prepare them as for inference"
        )
    least = max(LEAST_IMAGES, 2 * fixed_batch(model))
    if len(images) < least:
        raise UsageError(
            f"{len(images)} calibration images: at least {least} are needed, some hundred are usual (--images)"
        )
    if not np.isfinite(images).all():
        index = int(np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))[0])
        raise UsageError(
            f"calibration image {index} holds NaN or infinity: leave it out, or normalize it again"
        )
    if labels is not None and len(labels) != len(images):
        raise UsageError(
            f"{len(labels)} labels for {len(images)} calibration images: give one label an image"
        )
    return np.ascontiguousarray(images, dtype=np.float32)
