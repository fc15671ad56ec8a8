"""What a convolution of ours does to what it reads or writes (a table, a clip, LeakyReLU, nothing) as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from edgeacts.acceleration.graph import attributes, remove_attributes
from edgeacts.acceleration.markers import Markers
from edgeacts.acceleration.placed import BLOCKED
from edgeacts.acceleration.sites import Site
from edgeacts.piecewise import Table

_NONE, _TABLE, _CLIP, _LEAKY = 0, 1, 2, 3


@dataclass(frozen=True)
class End:
    """What a kernel does with what it reads or with what it writes."""

    kind: int = _NONE
    table: Table | None = None
    clip: tuple[float, float] = (0.0, 0.0)
    slope: float = 0.0

    def attributes(self, which: str) -> list[onnx.AttributeProto]:
        """The attributes `which`, `which`_table, ... of a node."""
        result = [helper.make_attribute(which, self.kind)]
        if self.table is not None:
            result.append(helper.make_attribute(f"{which}_table", self.table.numbers.tolist()))
        if self.kind == _CLIP:
            result.append(helper.make_attribute(f"{which}_clip", list(self.clip)))
        if self.kind == _LEAKY:
            result.append(helper.make_attribute(f"{which}_slope", self.slope))
        return result


NOTHING = End()


def end_of(site: Site) -> End:
    """The activation of a site."""
    return End(_LEAKY, slope=site.slope) if site.slope is not None else End(_TABLE, site.table)


def fused_end(node: onnx.NodeProto, markers: Markers) -> End | None:
    """The activation that the runtime has fused into a convolution; None when our kernels do not have it."""
    found = attributes(node)
    if "activation" not in found or found["activation"].s == b"":
        return NOTHING
    site = markers.find(node)
    if site is not None:
        return end_of(site)
    kind = found["activation"].s
    parameters = list(found["activation_params"].floats) if "activation_params" in found else []
    if kind == b"Relu":
        return End(_CLIP, clip=(0.0, float("inf")))
    if kind == b"LeakyRelu" and len(parameters) == 1:
        return End(_LEAKY, slope=parameters[0])
    if kind == b"Clip" and len(parameters) == 2:
        return End(_CLIP, clip=(parameters[0], parameters[1]))
    return None


def convolution_of(
    node: onnx.NodeProto, markers: Markers, weights: Mapping[str, onnx.TensorProto]
) -> tuple[dict[str, onnx.AttributeProto], list[int]] | None:
    """(attributes, shape of the weights) of a blocked convolution with constant weights whose activation our kernels have."""
    if node.op_type != "Conv" or node.domain != BLOCKED or node.input[1] not in weights:
        return None
    shape = list(weights[node.input[1]].dims)
    return (attributes(node), shape) if len(shape) == 4 and fused_end(node, markers) is not None else None


def unmark(node: onnx.NodeProto) -> None:
    """Take the fused activation off a node."""
    remove_attributes(node, "activation", "activation_params")
    if node.op_type == "FusedGemm":
        remove_attributes(node, "activation_alpha", "activation_beta", "activation_gamma")
        node.op_type, node.domain = "Gemm", ""
    elif node.op_type == "FusedConv" and len(node.input) < 4:
        node.op_type, node.domain = "Conv", ""


def numbers_of(found: Mapping[str, onnx.AttributeProto], name: str, default: list[int]) -> list[int]:
    """An attribute's integers."""
    return list(found[name].ints) if name in found else default
