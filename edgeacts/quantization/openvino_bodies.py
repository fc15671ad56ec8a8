"""The operator that OpenVINO has of an activation, in the place of the operations that the file computes it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from edgeacts.bodies import DOMAIN
from edgeacts.exporters.runtime_forms import uses_in
from edgeacts.forms import TOLERANCE, Choice, function
from edgeacts.quantization.preparing import opset_of
from edgeacts.runtimes.openvino_functions import FunctionConverter

NATIVE = "native"


@dataclass(frozen=True)
class NativeBody:
    """The ONNX function of one native operator with the values of its attributes; within `bound` of the formula."""

    function: onnx.FunctionProto
    values: Mapping[str, float]
    bound: float


def native_bodies(model: onnx.ModelProto) -> dict[str, NativeBody]:
    """Operator -> native body, for activations of the catalogue that the file computes otherwise.

    Activations of which nodes have different parameters keep what they are.
    """
    own = {f.name: f for f in model.functions if f.domain == DOMAIN}
    opset, found = opset_of(model), {}
    for use in uses_in(model):
        values = use.activation.values(use.points[0])
        form = next((f for f in use.activation.forms if f.native and f.since <= opset), None)
        if form is None or len(use.points) > 1 or form.bound_at(values) > TOLERANCE:
            continue
        body = function(Choice(use.activation, form, form.bound_at(values), values), opset=opset)
        if list(body.node) != list(own[use.operator].node):
            found[use.operator] = NativeBody(body, dict(use.points[0]), form.bound_at(values))
    return found


def build_native(body: NativeBody, name: str) -> Callable[[Any], Any]:
    """The body's operations, named NAME/..., as `Wiring.replace` takes them."""

    def build(port: Any) -> Any:
        holder = onnx.ModelProto(ir_version=8, functions=[body.function])
        (result,), inside = FunctionConverter(holder).behind(body.function, body.values, [port])
        for place, node in enumerate(inside):
            node.set_friendly_name(f"{name}/{node.get_type_name()}_{place}")
        return result.get_node()

    return build
