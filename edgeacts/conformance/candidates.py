"""What a runtime is asked to compute: each form of ours and its own operator, as ONNX models of one node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeacts.conformance.ulps import FLOAT_TYPES, FloatType
from edgeacts.definition import Activation
from edgeacts.errors import UsageError
from edgeacts.forms import DOMAIN, DOMAIN_VERSION, choose, function, operator_name

OPSET = 20  # what is exported
OPSET_BFLOAT16 = 23  # most operators take bfloat16 since 22
IR_VERSION = 10

# Operators that compute an activation of the catalogue and are no form of it: operator, since, attributes by parameter.
OPERATORS: Mapping[str, tuple[str, int, Mapping[str, str]]] = MappingProxyType(
    {"silu": ("Swish", 24, MappingProxyType({"alpha": "beta"}))}
)


@dataclass(frozen=True)
class Candidate:
    """One way to compute an activation. `bound` is what its definition states for it, None for a mere operator.

    `model(dtype)` is its ONNX model x -> y, both 1-D. Raises UsageError where the type cannot hold its constants.
    """

    activation: Activation
    kind: Literal["form", "native"]
    form: str
    bound: float | None
    parameters: Mapping[str, float]
    operator: str = ""  # of ONNX, where the node is one
    since: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)

    def model(self, dtype: str) -> onnx.ModelProto:
        """The model in that type: inputs, outputs and constants."""
        kind = FLOAT_TYPES[dtype]
        opset = max(OPSET_BFLOAT16 if dtype == "bfloat16" else OPSET, self.since)
        functions = [] if self.operator else [self._function(kind, opset)]
        values = [helper.make_tensor_value_info(n, kind.element_type, ["n"]) for n in "xy"]
        imports = [helper.make_opsetid("", opset)]
        if functions:
            imports.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
        return helper.make_model(
            helper.make_graph([self._node()], f"{self.activation.name}_{dtype}", values[:1], values[1:]),
            functions=functions,
            opset_imports=imports,
            ir_version=IR_VERSION,
        )

    def constants(self) -> tuple[float, ...]:
        """Numbers in the float32 model, which clamp or divide the input: where to look closely."""
        nodes = [] if self.operator else self._function(FLOAT_TYPES["float32"], OPSET).node
        return tuple(a.f for node in nodes for a in node.attribute if a.name == "value_float")

    def _node(self) -> onnx.NodeProto:
        if self.operator:
            given: dict[str, Any] = {
                name: self.parameters[parameter] for name, parameter in self.attributes.items()
            }
            return helper.make_node(self.operator, ["x"], ["y"], **given)
        name, values = operator_name(self.activation), dict[str, Any](self.parameters)
        return helper.make_node(name, ["x"], ["y"], domain=DOMAIN, **values)

    def _function(self, kind: FloatType, opset: int) -> onnx.FunctionProto:
        choice = choose(self.activation, [self.parameters], form=self.form.split()[0], opset=opset)
        body = function(choice, opset=opset)
        if kind.name != "float32":
            _convert_constants(body, kind, f"{self.activation.name} {self.form}")
        return body


def candidates(activation: Activation, parameters: Mapping[str, float]) -> list[Candidate]:
    """The forms, the cheapest first, then the operator that computes it where that is no form."""
    found = []
    for name in activation.form_names():
        form = activation.form(name)
        label = name if form.native is None else f"{name} {form.native}"
        kind: Literal["form", "native"] = "native" if name == "native" else "form"
        found.append(Candidate(activation, kind, label, form.bound_at(parameters), parameters))
    operator, since, attributes = OPERATORS.get(activation.name, ("", 1, {}))
    if operator and set(attributes.values()) <= set(parameters):
        label = f"native {operator}"
        found.append(Candidate(activation, "native", label, None, parameters, operator, since, attributes))
    return found


def _convert_constants(body: onnx.FunctionProto, kind: FloatType, what: str) -> None:
    """Write a float32 function's constants in another type, as a converter of the model would."""
    for node in body.node:
        for attribute in node.attribute:
            if attribute.name == "value_float" and not attribute.ref_attr_name:
                tensor = _scalar(attribute.f, kind, what)
                attribute.CopyFrom(helper.make_attribute("value", tensor))


def _scalar(value: float, kind: FloatType, what: str) -> onnx.TensorProto:
    with np.errstate(over="ignore"):
        rounded = float(np.float64(value).astype(kind.numpy))
    if (np.isinf(rounded) and np.isfinite(value)) or (rounded == 0 and value != 0):
        raise UsageError(
            f"the constant {value:.4g} of {what} is {rounded:g} in {kind.name}: use another form"
        )
    # As bytes: OpenVINO 2026.4 takes the bits of a bfloat16 in int32_data for its value.
    return numpy_helper.from_array(np.array(value).astype(kind.numpy), "constant")
