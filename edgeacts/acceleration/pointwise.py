"""Convolutions of 1x1 in the blocked layout -> our own, with the activation that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from edgeacts.acceleration.ends import NOTHING, convolution_of, fused_end, numbers_of
from edgeacts.acceleration.graph import attributes
from edgeacts.acceleration.markers import Markers
from edgeacts.acceleration.placed import DOMAIN, Placed

_FETCHED = (
    1 << 16
)  # numbers of the next convolution's weights: a quarter of an L2 cache; it fetches the others itself
_PRODUCTS_A_NUMBER = 32  # multiply-adds that a number takes to be fetched beside them
_LEAST_BLOCKS = 2  # of output channels: one alone reads its input too often for what it computes


def pointwise_fits(
    node: onnx.NodeProto, markers: Markers, weights: Mapping[str, onnx.TensorProto], block: int
) -> bool:
    """Whether the kernel can do this node: 1x1, stride 1, one group, whole blocks of channels, an activation that it has."""
    convolution = convolution_of(node, markers, weights)
    if convolution is None:
        return False
    found, shape = convolution
    return (
        shape[2:] == [1, 1]
        and shape[0] % block == 0
        and shape[1] % block == 0
        and shape[0] >= _LEAST_BLOCKS * block
        and ("group" not in found or found["group"].i == 1)
        and numbers_of(found, "strides", [1, 1]) == [1, 1]
        and not any(numbers_of(found, "pads", [0]))
        and ("auto_pad" not in found or found["auto_pad"].s in (b"NOTSET", b"VALID", b""))
    )


def place_pointwise(
    node: onnx.NodeProto, markers: Markers, block: int, *, bias: str, following: onnx.TensorProto | None
) -> list[Placed]:
    """Make the node our own; `bias` is its own or names zeros, `following` are the weights of the next such convolution."""
    site, after = markers.find(node), fused_end(node, markers) or NOTHING
    given = [*node.input, "", ""][:4]
    inputs = [given[0], given[1], bias, given[3], "" if following is None else following.name]
    first = 0 if following is None else min(_FETCHED, int(np.prod(following.dims)))
    while not inputs[-1]:
        inputs.pop()
    new = helper.make_node(
        "Pointwise", inputs, list(node.output), node.name, domain=DOMAIN, block=block, fetch=[0, first, 0, 0]
    )
    new.attribute.extend(after.attributes("after"))
    node.CopyFrom(new)
    return [] if site is None else [Placed(site.name, "1x1 convolution, on its output", "blocked")]


def fetch_meanwhile(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, onnx.TensorProto],
    pixels: Mapping[str, int],
    wanted: onnx.TensorProto,
) -> None:
    """Let the last of our convolutions fetch `wanted`, which a node behind them will read as fast as memory gives it.

    Each gets as much as it can fetch beside its own work; `pixels` says how many an output has.
    """
    left = int(np.prod(wanted.dims))
    for node in reversed(nodes):
        work = int(np.prod(weights[node.input[1]].dims)) * pixels.get(node.output[0], 0)
        share = min(left, work // _PRODUCTS_A_NUMBER)
        if share == 0:
            continue
        left -= share
        node.input.extend([""] * (5 - len(node.input)) + [wanted.name])
        attributes(node)["fetch"].ints[2:] = [left, share]
