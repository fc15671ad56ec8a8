"""Every 8-bit tensor of an INT8 file, as several sessions of it have it, and where two of them part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Arrays = dict[str, NDArray[Any]]
QUANTIZE = "QuantizeLinear"
_LOG_ERRORS_ONLY = 3
_ONE_TENSOR = 0.5  # values of two tensors that are not the same one differ nearly everywhere


def as_written() -> Any:
    """Options for the graph as it stands."""
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return options


def values_of(
    model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], options: Any, names: list[str]
) -> Arrays:
    """The named values and the outputs of a graph that is run as it stands."""
    looking = onnx.ModelProto()
    looking.CopyFrom(model)
    known = {value.name for value in looking.graph.output}
    looking.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = ort.InferenceSession(looking.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [value.name for value in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, dict(feeds)), strict=True))


def visible(model: onnx.ModelProto) -> list[str]:
    """What nodes make; not what a kernel in place writes over."""
    lost = {node.input[0] for node in model.graph.node if node.op_type.endswith("InPlace")}
    return [name for node in model.graph.node for name in node.output if name and name not in lost]


def quantized(model: onnx.ModelProto) -> list[str]:
    """The 8-bit tensors that a file names."""
    return [node.output[0] for node in model.graph.node if node.op_type == QUANTIZE]


def only_bytes(values: Mapping[str, NDArray[Any]]) -> Arrays:
    """Those of one byte, as int16 numbers that count from uint8's 0."""
    return {
        name: array.astype(np.int16) + (128 if array.dtype == np.int8 else 0)
        for name, array in values.items()
        if array.dtype in (np.uint8, np.int8)
    }


def paired(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> Arrays:
    """Name in `wanted` -> the same tensor in `found`, channels first; recognised by its values, since optimizers rename."""
    result: Arrays = {}
    for array in found.values():
        best, name, layout = _ONE_TENSOR, "", array
        for other, values in wanted.items():
            for one in _layouts(array):
                if one.shape == values.shape and (share := float(np.mean(one != values))) < best:
                    best, name, layout = share, other, one
        if name and name not in result:
            result[name] = np.ascontiguousarray(layout)
    return result


def _layouts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield array
    if array.ndim == 4:
        yield array.transpose(0, 3, 1, 2)


def differences(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """How often and how far tensors of the same names are apart; `first_tensor`: how often where they begin to be."""
    steps = {name: np.abs(array - wanted[name]) for name, array in found.items()}
    total = sum(array.size for array in steps.values())
    return {
        "tensors": len(steps),
        "values": total,
        "differing": int(sum((array > 0).sum() for array in steps.values())),
        "more_than_a_step": int(sum((array > 1).sum() for array in steps.values())),
        "largest_steps": int(max((array.max(initial=0) for array in steps.values()), default=0)),
        "first_tensor": next((float(np.mean(array > 0)) for array in steps.values() if array.any()), 0.0),
        "worst_tensor": max((float(np.mean(array > 0)) for array in steps.values()), default=0.0),
    }


def fresh(
    model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], fused: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """Steps that arise in a layer, not those that it was given: each layer as written, on the fused graph's own bytes.

    `from_a_tie` is how far from the middle between two steps, in steps, a value was at most that came out as another.
    """
    layers = onnx.ModelProto()
    layers.CopyFrom(model)
    scales = {t.name: numpy_helper.to_array(t) for t in layers.graph.initializer}
    unrounded: dict[str, tuple[str, NDArray[Any]]] = {}
    given: Arrays = {}
    for node in layers.graph.node:
        name = node.output[0]
        if node.op_type == QUANTIZE and name in fused:
            zero = scales[node.input[2]]
            unrounded[name] = node.input[0], scales[node.input[1]].astype(np.float64)
            node.output[0] = f"{name}_again"
            kind = helper.np_dtype_to_tensor_dtype(zero.dtype)
            layers.graph.input.append(helper.make_tensor_value_info(name, kind, None))
            given[name] = (fused[name] - (128 if zero.dtype == np.int8 else 0)).astype(zero.dtype)
    asked = [f"{name}_again" for name in given] + [value for value, _ in unrounded.values()]
    values = values_of(layers, {**feeds, **given}, as_written(), list(dict.fromkeys(asked)))
    again = only_bytes({name: values[f"{name}_again"] for name in given})
    result = differences(again, {name: fused[name] for name in given})
    result["from_a_tie"] = max(
        (
            _from_a_tie(values[value] / scale, again[name] != fused[name])
            for name, (value, scale) in unrounded.items()
        ),
        default=0.0,
    )
    return result


def _from_a_tie(steps: NDArray[np.float64], where: NDArray[np.bool_]) -> float:
    apart = np.abs(steps[where] - np.floor(steps[where]) - 0.5)
    return float(apart.max(initial=0.0))
