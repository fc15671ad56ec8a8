"""How much each layer's 8 bits move the output, measured: for when a quantization brought no such figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.errors import UsageError
from edgeacts.quantization.deployed import open_model, scores

MAX_IMAGES = 64


def measure_sensitivities(
    build: Callable[[frozenset[str]], onnx.ModelProto],
    reference: onnx.ModelProto,
    layers: Mapping[str, frozenset[str]],
    images: NDArray[np.float32],
    *,
    step: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Layer -> mean squared error of the output that goes when it goes back to float, per variance of the output; at least 0.

    One model a layer, with that layer alone in float: layers are judged among the errors of the others, as they will be.
    At most 64 images; labels are not needed. Raises UsageError when the output does not move with its input.
    """
    images = images[:MAX_IMAGES]
    wanted = scores(open_model(reference), images).astype(np.float64)
    spread = float(wanted.var(axis=0).mean())
    if not spread > 0:
        raise UsageError("the model's output does not move with its input: sensitivities need real images")

    def error(float_nodes: frozenset[str]) -> float:
        found = scores(open_model(build(float_nodes)), images)
        return float(((found - wanted) ** 2).mean()) / spread

    all_in_8_bits = error(frozenset())
    result = {}
    for name, nodes in layers.items():
        result[name] = max(0.0, all_in_8_bits - error(nodes))
        if step is not None:
            step(name)
    return result
