"""ONNX Runtime sessions of models in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError, one_line

_LOG_ERRORS_ONLY = 3


def open_here(model: onnx.ModelProto, *, exact: bool = False) -> Any:
    """A session of the model on all cores, optimized as it is when it is deployed.

    `exact` computes 8-bit layers on the float32 numbers that their integers stand for: the same on every CPU, since nothing
    saturates, and at float speed. (Left to itself, ONNX Runtime even quantizes float weights that stand between Q and DQ.)
    Raises EdgeactsError when ONNX Runtime refuses the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.intra_op_num_threads = cores()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if exact:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's classes share nothing but Exception
        raise EdgeactsError(f"onnxruntime refuses the model: {one_line(error)}") from error


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def input_of(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The one input that a caller must give."""
    weights = {tensor.name for tensor in model.graph.initializer}
    found: onnx.ValueInfoProto = next(value for value in model.graph.input if value.name not in weights)
    return found


def fixed_batch(model: onnx.ModelProto) -> int:
    """The batch size that the model is for; 0 where it takes any."""
    dims = input_of(model).type.tensor_type.shape.dim
    return int(dims[0].dim_value) if dims else 0


def batches(
    model: onnx.ModelProto, images: NDArray[np.float32], size: int
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Feeds of at most `size` images, of exactly the model's own batch size where it has one; what is left over is not fed."""
    name, fixed = input_of(model).name, fixed_batch(model)
    size = fixed or max(1, size)
    last = len(images) - len(images) % fixed if fixed else len(images)
    for start in range(0, last, size):
        yield {name: images[start : start + size]}


def outputs_for(
    session: Any, model: onnx.ModelProto, images: NDArray[np.float32], size: int
) -> list[NDArray[Any]]:
    """Every output for all images, joined along the batch."""
    parts = [session.run(None, feed) for feed in batches(model, images, size)]
    return [np.concatenate([part[index] for part in parts]) for index in range(len(parts[0]))]
