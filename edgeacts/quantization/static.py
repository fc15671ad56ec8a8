"""A float model and its calibration -> the 8-bit QDQ model, every activation one unit.

By onnxruntime.quantization: which operators get Q and DQ and where (QDQQuantizer), int8 weights with a scale a channel, int32
biases, folding of Relu and Clip into ranges. It treats an unknown operator as one unit by itself once its type is in the list
that it is given, so that nothing global is changed. By hand, because it has none of it: preparation that keeps the functions
(`preparing`), ranges (`calibrating`, `ranges`), corrected biases (`bias`), layers in float by measured gain (`sensitivity`),
float outputs of the last layer, and the compact file (`compacting`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgeacts.errors import UsageError
from edgeacts.forms import DOMAIN
from edgeacts.quantization.calibrating import Calibration
from edgeacts.quantization.compacting import compact
from edgeacts.quantization.graphs import array, set_array, sort_nodes, weights_of
from edgeacts.quantization.layers import layers_of
from edgeacts.quantization.metadata import describe
from edgeacts.quantization.outputs import leave_outputs_float
from edgeacts.quantization.preparing import prepare
from edgeacts.quantization.ranges import METHODS, Range
from edgeacts.quantization.settings import AUTO, QuantizeSettings

_TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
_INFERRED = (
    "onnx.infer",
    "onnxruntime.quant",
)  # the quantizer's own mark: types are known, do not infer them through a file
QUANTIZED = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Concat", "Relu", "Clip", "LeakyRelu", "Sigmoid",
    "HardSigmoid", "GlobalAveragePool", "AveragePool", "MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze",
    "Flatten", "Split", "Slice", "Pad", "Resize",
)  # fmt: skip


def quantize_static_units(
    model: onnx.ModelProto,
    calibration: Calibration,
    settings: QuantizeSettings,
    *,
    keep_float: frozenset[str] = frozenset(),
) -> onnx.ModelProto:
    """The QDQ model: DequantizeLinear -> edgeacts::Activation -> QuantizeLinear, everything else as the runtime fuses it.

    `model` is the float model that was calibrated, as exported or prepared; it is not changed, and the same arguments give the
    same bytes. `settings.ranges` names the method (`auto` stands for mse here). `keep_float` are names of nodes of the
    prepared model that stay in float: `layers_of(calibration.prepared)` says which belong together. Raises UsageError
    for a name that is no node.
    """
    prepared = prepare(model)
    _check_names(prepared, keep_float)
    if settings.bias_correction:
        _shift_biases(prepared, calibration.shifts, keep_float)
    entry = prepared.metadata_props.add()
    entry.key, entry.value = _INFERRED
    method = next(iter(METHODS)) if settings.ranges == AUTO else settings.ranges
    quantizer = QDQQuantizer(
        prepared,
        True,
        settings.seven_bits,
        QuantType.QInt8,
        _TYPES[settings.activation_type],
        _tensors_data(calibration.ranges(method)),
        [],
        sorted(keep_float | _clips_beside_zero(prepared)),
        [*QUANTIZED, *sorted({n.op_type for n in prepared.graph.node if n.domain == DOMAIN})],
        {"ActivationSymmetric": False},
    )
    quantized: onnx.ModelProto = quantizer.quantize_model()
    _finish(quantized, model)
    describe(
        quantized,
        {p.key: p.value for p in model.metadata_props},
        {
            "activation_type": settings.activation_type,
            "bias_correction": settings.bias_correction,
            "float_layers": sorted(keep_float),
            "ranges": method,
            "reduced_range": settings.seven_bits,
        },
    )
    return quantized


def _tensors_data(ranges: Mapping[str, Range]) -> TensorsData:
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def _clips_beside_zero(prepared: onnx.ModelProto) -> frozenset[str]:
    """Names of Clip nodes that no range can stand for: ranges hold 0, and the quantizer folds every Clip into one."""
    weights = weights_of(prepared.graph)
    found = set()
    for node in prepared.graph.node:
        if node.op_type != "Clip" or node.domain:
            continue
        bounds = [name for name in node.input[1:] if name]
        low = node.input[1] if len(node.input) > 1 else ""
        known = {name: float(array(weights[name])) for name in bounds if name in weights}
        above = low in known and known[low] > 0
        below = any(value < 0 for name, value in known.items() if name != low)
        if len(known) < len(bounds) or above or below:
            found.add(node.name)
    return frozenset(found)


def _check_names(prepared: onnx.ModelProto, keep_float: frozenset[str]) -> None:
    missing = sorted(keep_float - {node.name for node in prepared.graph.node})
    if missing:
        raise UsageError(
            f"keep_float: the prepared model has no node {missing[0]!r}: take names from layers_of(calibration.prepared)"
        )


def _shift_biases(
    prepared: onnx.ModelProto, shifts: Mapping[str, np.ndarray], keep_float: frozenset[str]
) -> None:
    """bias += shift, for layers in 8 bits; a layer without a bias gets one where its operator has that input."""
    weights = weights_of(prepared.graph)
    nodes = {node.name: node for node in prepared.graph.node}
    for layer in layers_of(prepared):
        if layer.name not in shifts or layer.name in keep_float:
            continue
        shift = shifts[layer.name]
        if not layer.bias:
            name = f"{layer.output}_bias"
            prepared.graph.initializer.append(onnx.numpy_helper.from_array(shift.astype(np.float32), name))
            nodes[layer.name].input.append(name)
            continue
        tensor = onnx.TensorProto()
        tensor.CopyFrom(weights[layer.bias])
        tensor.name = f"{layer.output}_bias"
        set_array(tensor, array(tensor) + shift.astype(np.float32))
        prepared.graph.initializer.append(tensor)
        nodes[layer.name].input[2] = tensor.name


def _finish(quantized: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Order, outputs, a small file."""
    sort_nodes(quantized.graph)
    leave_outputs_float(quantized)
    compact(quantized)
    quantized.producer_name, quantized.producer_version = model.producer_name, model.producer_version
