"""Each layer alone in 8 bits: how much of the output's noise is its own, and which layers pay for staying in float.

Written by hand: onnxruntime.quantization has no such measurement. A layer alone is the float model with that layer's weights
and the tensors around it rounded, which needs no quantizer and runs at float speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgeacts.acceleration.graph import used_names
from edgeacts.quantization.calibrating import Calibration
from edgeacts.quantization.graphs import array, refill, set_array, weights_of
from edgeacts.quantization.layers import Layer, layers_of
from edgeacts.quantization.measuring import Judge
from edgeacts.quantization.preparing import FOLDED
from edgeacts.quantization.ranges import Range
from edgeacts.quantization.rounding import Rounder, rounded_weights
from edgeacts.quantization.settings import QuantizeSettings


@dataclass(frozen=True)
class Sensitivity:
    """A layer and its noise at the output when it alone is in 8 bits; `share` of the sum over all layers."""

    layer: Layer
    sqnr_db: float
    share: float


def measure_sensitivity(
    calibration: Calibration,
    settings: QuantizeSettings,
    judge: Judge,
    *,
    step: Callable[[], None] | None = None,
) -> tuple[Sensitivity, ...]:
    """Every layer, the noisiest first; `settings.ranges` must name a method."""
    ranges = calibration.ranges(settings.ranges)
    layers = layers_of(calibration.prepared)
    decibels = []
    for layer in layers:
        error = judge.error(alone(calibration.prepared, layer, ranges, settings))
        decibels.append(error.sqnr_db or 0.0)
        if step is not None:
            step()
    noises = np.power(10.0, -np.array(decibels) / 10.0)
    shares = noises / max(float(noises.sum()), 1e-300)
    rows = [
        Sensitivity(layer, decibel, float(share))
        for layer, decibel, share in zip(layers, decibels, shares, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.share, row.layer.name)))


def alone(
    prepared: onnx.ModelProto, layer: Layer, ranges: Mapping[str, Range], settings: QuantizeSettings
) -> onnx.ModelProto:
    """The float model with one layer's weights, input and output rounded, and what is behind its activation."""
    model = onnx.ModelProto()
    model.CopyFrom(prepared)
    graph = model.graph
    kernel = weights_of(graph)[layer.kernel]
    copy = onnx.TensorProto()
    copy.name = f"{layer.output}__kernel"
    set_array(copy, rounded_weights(array(kernel), layer.axis, settings))
    graph.initializer.append(copy)
    rounder = Rounder(graph, settings)
    own = set(layer.nodes)
    nodes: list[onnx.NodeProto] = []
    replaced: dict[str, str] = {}
    for node in graph.node:
        if node.name == layer.name:
            before, rounded = rounder.pair(layer.input, ranges[layer.input])
            nodes += before
            refill(node.input, [rounded, copy.name, *node.input[2:]])
        else:
            refill(node.input, [replaced.get(name, name) for name in node.input])
        nodes.append(node)
        output = node.output[0]
        if node.name in own and output in ranges and not _folded(graph, output, own):
            pair, replaced[output] = rounder.pair(output, ranges[output])
            nodes += pair
    kept = []
    for node in nodes:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        kept.append(copied)
    refill(graph.node, kept)
    return model


def _folded(graph: onnx.GraphProto, output: str, own: set[str]) -> bool:
    """Whether a value is not rounded: an output of the graph, or what Relu or Clip of the same layer reads."""
    if output in {value.name for value in graph.output}:
        return True
    readers = [node for node in graph.node if output in used_names(node)]
    return any(node.op_type in FOLDED and node.name in own for node in readers)
