"""The activations of an openvino.Model as units: which operations each is made of, and another body in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import CheckFailed, EdgeactsError, one_line
from edgeacts.quantization.openvino_fits import Gate

# Single operations that OpenVINO carries out inside the quantized convolution at a few per cent (docs/openvino_int8.md).
CHEAP = frozenset({"Relu", "PRelu", "Clamp", "HSwish", "Abs", "Identity"})
_QUANTIZER = "FakeQuantize"


@dataclass(frozen=True)
class Unit:
    """One activation: its `name` and `operator`, the names of its operations, the last of which is called `name`.

    `signature` is equal for activations that compute the same function; None for one that is not a function of its input
    alone (parameters per channel).
    """

    name: str
    operator: str
    operations: frozenset[str]
    signature: str | None
    cheap: bool


def find_units(model: Any, activations: Mapping[str, str]) -> tuple[Unit, ...]:
    """The units of a model whose activations' names and operators are given, in the order of the model."""
    ordered = [op for op in model.get_ordered_ops() if op.get_type_name() != "Constant"]
    units = []
    for last in ordered:
        name = last.get_friendly_name()
        if name in activations:
            body = [op for op in ordered if op is last or op.get_friendly_name().startswith(f"{name}/")]
            units.append(_unit(name, activations[name], body))
    return tuple(units)


def _unit(name: str, operator: str, body: list[Any]) -> Unit:
    names = frozenset(op.get_friendly_name() for op in body)
    cheap = len(body) == 1 and body[0].get_type_name() in CHEAP
    return Unit(name, operator, names, _signature(body, names), cheap)


def _signature(body: list[Any], names: frozenset[str]) -> str | None:
    places = {op.get_friendly_name(): index for index, op in enumerate(body)}
    parts = []
    for op in body:
        inputs = []
        for port in op.inputs():
            source = port.get_source_output().get_node()
            if source.get_type_name() == "Constant":
                values = np.ravel(source.get_data())
                if values.size != 1:
                    return None
                inputs.append(repr(values[0].item()))
            else:
                inputs.append(
                    str(places.get(source.get_friendly_name(), "x"))
                    if source.get_friendly_name() in names
                    else "x"
                )
        parts.append(f"{op.get_type_name()}({','.join(inputs)}){sorted(op.get_attributes().items())}")
    return ";".join(parts)


class Wiring:
    """Where the units of one model (a clone, or a quantized one: names are what counts) are connected."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._by_name = {op.get_friendly_name(): op for op in model.get_ordered_ops()}

    def source(self, unit: Unit) -> Any:
        """The output port that the unit reads. Raises EdgeactsError if it reads none or several."""
        found: dict[tuple[str, int], Any] = {}
        for name in unit.operations:
            for port in self._operation(name).inputs():
                output = port.get_source_output()
                node = output.get_node()
                if node.get_type_name() != "Constant" and node.get_friendly_name() not in unit.operations:
                    found[node.get_friendly_name(), output.get_index()] = output
        if len(found) != 1:
            raise EdgeactsError(
                f"activation {unit.name!r} reads {len(found)} values, one was expected: is the model an edgeacts export?"
            )
        return next(iter(found.values()))

    def result(self, unit: Unit) -> Any:
        """The output port that holds the activation's values."""
        return self._operation(unit.name).output(0)

    def replace(self, unit: Unit, build: Callable[[Any], Any]) -> None:
        """Put `build(source port)` (an openvino Node) in the unit's place, under its name."""
        old = self.result(unit)
        node = build(self.source(unit))
        names = set(old.names)
        old.get_node().set_friendly_name(f"{unit.name}/replaced")
        node.set_friendly_name(unit.name)
        for target in list(old.get_target_inputs()):
            target.replace_source_output(node.output(0))
        if names:
            old.set_names(set())
            node.output(0).set_names(names)

    def _operation(self, name: str) -> Any:
        if name not in self._by_name:
            raise EdgeactsError(
                f"operation {name!r} of an activation is lost in the quantized model: a fault of edgeacts"
            )
        return self._by_name[name]


def check_whole(model: Any, units: tuple[Unit, ...]) -> None:
    """Raises CheckFailed where a quantizer stands between two operations of an activation."""
    readers = {name: unit for unit in units for name in unit.operations}
    for op in model.get_ordered_ops():
        unit = readers.get(op.get_friendly_name())
        for port in op.inputs() if unit is not None else ():
            before = port.get_source_output().get_node()
            if unit is not None and before.get_type_name() == _QUANTIZER:
                source = before.input(0).get_source_output().get_node().get_friendly_name()
                if source in unit.operations:
                    raise CheckFailed(
                        f"a quantizer stands inside activation {unit.name!r}, before {op.get_friendly_name()!r}: it is no unit"
                    )


def evaluator(model: Any, unit: Unit) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The unit's function, as OpenVINO computes it in float32: float64 [N] -> float64 [N]. Raises EdgeactsError."""
    import openvino
    import openvino.opset15 as ops

    clone = model.clone()
    wiring = Wiring(clone)
    parameter = ops.parameter([-1], np.float32, name="x")
    source = wiring.source(unit)
    for name in unit.operations:
        for port in wiring._operation(name).inputs():
            if port.get_source_output() == source:
                port.replace_source_output(parameter.output(0))
    alone = openvino.Model([ops.result(wiring.result(unit))], [parameter], unit.operator)
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    try:
        compiled = openvino.Core().compile_model(alone, "CPU", config)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot compile activation {unit.name!r}: {one_line(error)}") from error

    def function(x: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = compiled([x.astype(np.float32)])[0].astype(np.float64)
        return result

    return function


def build_gate(gate: Gate, name: str) -> Callable[[Any], Any]:
    """The Gate's operations in OpenVINO, named NAME/..., as `Wiring.replace` takes them."""

    def build(x: Any) -> Any:
        import openvino.opset15 as ops

        made: list[Any] = []

        def keep(node: Any) -> Any:
            node.set_friendly_name(f"{name}/{node.get_type_name()}_{len(made)}")
            made.append(node)
            return node

        def number(value: float) -> Any:
            return ops.constant(np.float32(value))

        m = t = x
        if gate.level_left:
            m = t = keep(ops.maximum(m, number(gate.left)))
        if gate.level_right:
            m = t = keep(ops.minimum(m, number(gate.right)))
        if not gate.level_left:
            t = keep(ops.maximum(t, number(gate.left)))
        if not gate.level_right:
            t = keep(ops.minimum(t, number(gate.right)))
        s = keep(ops.multiply(t, t)) if gate.odd else t
        y = number(gate.coefficients[-1])
        for coefficient in gate.coefficients[-2::-1]:
            y = keep(ops.add(keep(ops.multiply(y, s)), number(coefficient)))
        if gate.odd:
            y = keep(ops.add(keep(ops.multiply(y, t)), number(0.5)))
        return ops.multiply(m, y)

    return build
