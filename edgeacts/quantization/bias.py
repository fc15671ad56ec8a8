"""Rounding shifts a layer's mean, channel by channel; the bias takes that shift back.

Written by hand: onnxruntime.quantization does not correct biases. Each layer is measured on its float input, so that all are
measured in one run and none takes back what an earlier one has already.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeacts.quantization.calibrating import Calibration
from edgeacts.quantization.graphs import array, refill, weights_of
from edgeacts.quantization.layers import Layer, layers_of
from edgeacts.quantization.rounding import Rounder, rounded_weights
from edgeacts.quantization.sessions import batches, open_here
from edgeacts.quantization.settings import QuantizeSettings

_BATCH = 4
_WITH_BIAS = frozenset({"Conv", "ConvTranspose", "Gemm"})


def measure_shifts(
    calibration: Calibration, settings: QuantizeSettings, images: NDArray[np.float32]
) -> Mapping[str, NDArray[np.float32]]:
    """Layer -> float32 [channels], the mean over the images of (float output - output of the rounded layer)."""
    model = onnx.ModelProto()
    model.CopyFrom(calibration.prepared)
    layers = [layer for layer in layers_of(model) if layer.operator in _WITH_BIAS]
    names = _add_measurements(model, layers, calibration.ranges(settings.ranges), settings)
    if not names:
        return {}
    session = open_here(model, exact=True)
    sums = {layer: np.zeros(1) for layer in names}
    count = 0
    for feed in batches(model, images, _BATCH):
        size = len(next(iter(feed.values())))
        for layer, mean in zip(names, session.run(list(names.values()), feed), strict=True):
            sums[layer] = sums[layer] + mean.astype(np.float64) * size
        count += size
    return {layer: (total / count).astype(np.float32) for layer, total in sums.items()}


def _add_measurements(
    model: onnx.ModelProto,
    layers: list[Layer],
    ranges: Mapping[str, tuple[float, float]],
    settings: QuantizeSettings,
) -> dict[str, str]:
    graph = model.graph
    weights, nodes = weights_of(graph), {node.name: node for node in graph.node}
    rounder = Rounder(graph, settings)
    added, names = [], {}
    for layer in layers:
        if layer.input not in ranges:
            continue
        kernel = f"{layer.output}__kernel"
        values = rounded_weights(array(weights[layer.kernel]), layer.axis, settings)
        graph.initializer.append(numpy_helper.from_array(values, kernel))
        pair, rounded = rounder.pair(layer.input, ranges[layer.input])
        twin = onnx.NodeProto()
        twin.CopyFrom(nodes[layer.name])
        twin.name = f"{layer.name}__rounded"
        refill(twin.input, [rounded, kernel, *twin.input[2:]])
        refill(twin.output, [f"{layer.output}__given"])
        axes = f"{layer.output}__axes"
        others = [0, 2, 3] if layer.operator != "Gemm" else [0]
        rank = len(weights[layer.kernel].dims)
        graph.initializer.append(numpy_helper.from_array(np.array(others[: rank - 1], np.int64), axes))
        difference, names[layer.name] = f"{layer.output}__difference", f"{layer.output}__shift"
        added += [
            *pair,
            twin,
            helper.make_node("Sub", [layer.output, twin.output[0]], [difference]),
            helper.make_node("ReduceMean", [difference, axes], [names[layer.name]], keepdims=0),
        ]
        graph.output.append(helper.make_tensor_value_info(names[layer.name], TensorProto.FLOAT, None))
    graph.node.extend(added)
    return names
