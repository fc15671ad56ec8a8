"""Models in memory as they are deployed: ONNX Runtime on the CPU, all its optimizations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.quantization.sessions import cores

_ERRORS_ONLY = 3
# x86: int8 weights become uint8, whose products ONNX Runtime sums in 32 bits. Elsewhere without effect.
EXACT_OPTION = ("session.x64quantprecision", "1")
BATCH = 64


def open_model(
    model: onnx.ModelProto,
    *,
    optimized: bool = True,
    exact: bool = False,
    save_to: Path | None = None,
    threads: int | None = None,
) -> Any:
    """An onnxruntime.InferenceSession on the CPU, on all its cores or `threads`.

    `exact` asks x86 for 32-bit sums (slower than 16-bit ones). Raises EdgeactsError when ONNX Runtime does not open the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads or cores()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    if exact:
        options.add_session_config_entry(*EXACT_OPTION)
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's classes share nothing but Exception
        raise EdgeactsError(f"onnxruntime cannot open the model: {one_line(error)}") from error


def scores(session: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first output [N, classes] for images [N, C, H, W], in batches of the size that the model takes.

    Raises UsageError for images that the model does not take.
    """
    given = session.get_inputs()
    if len(given) != 1:
        raise UsageError(f"the model has {len(given)} inputs: one of images is needed")
    batch = given[0].shape[0] if isinstance(given[0].shape[0], int) else BATCH
    if not len(images) or (len(images) % batch and isinstance(given[0].shape[0], int)):
        raise UsageError(
            f"{len(images)} images for a model that takes {batch} at once: give a multiple of it"
        )
    parts = []
    for start in range(0, len(images), batch):
        try:
            parts.append(session.run(None, {given[0].name: images[start : start + batch]})[0])
        except Exception as error:  # ONNX Runtime's classes share nothing but Exception
            raise UsageError(
                f"the model does not run on images of shape {list(images.shape)}: {one_line(error)}"
            ) from error
    return np.concatenate(parts)
