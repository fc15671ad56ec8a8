"""Convolutions of images in planes, the first of a network -> our own, with the activation that follows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from edgeacts.acceleration.ends import NOTHING, convolution_of, fused_end, numbers_of
from edgeacts.acceleration.graph import attributes
from edgeacts.acceleration.markers import Markers
from edgeacts.acceleration.placed import DOMAIN, Placed

_MOST_TAPS = 512  # input numbers of an output
_MOST_PADS = 63
_STRIDES = ([1, 1], [2, 2])


def stem_fits(
    node: onnx.NodeProto, markers: Markers, weights: Mapping[str, onnx.TensorProto], block: int
) -> bool:
    """Whether the kernel can do this node: too few channels for a block, whole blocks of outputs, stride 1 or 2, no summand."""
    convolution = convolution_of(node, markers, weights)
    if convolution is None:
        return False
    found, shape = convolution
    return (
        shape[0] % block == 0
        and shape[1] < block
        and int(np.prod(shape[1:])) <= _MOST_TAPS
        and ("group" not in found or found["group"].i == 1)
        and numbers_of(found, "strides", [1, 1]) in _STRIDES
        and numbers_of(found, "dilations", [1, 1]) == [1, 1]
        and max(numbers_of(found, "pads", [0])) <= _MOST_PADS
        and ("auto_pad" not in found or found["auto_pad"].s in (b"NOTSET", b""))
        and not (len(node.input) > 3 and node.input[3])
    )


def place_stem(
    node: onnx.NodeProto,
    markers: Markers,
    weights: Mapping[str, onnx.TensorProto],
    block: int,
    *,
    bias: str,
) -> list[Placed]:
    """Make the node our own; `bias` is its own or names zeros."""
    site, after, found = markers.find(node), fused_end(node, markers) or NOTHING, attributes(node)
    new = helper.make_node(
        "Stem",
        [node.input[0], node.input[1], bias],
        list(node.output),
        node.name,
        domain=DOMAIN,
        block=block,
        kernel_shape=list(weights[node.input[1]].dims)[2:],
        strides=numbers_of(found, "strides", [1, 1]),
        pads=numbers_of(found, "pads", [0, 0, 0, 0]),
    )
    new.attribute.extend(after.attributes("after"))
    node.CopyFrom(new)
    return [] if site is None else [Placed(site.name, "first convolution, on its output", "blocked")]
