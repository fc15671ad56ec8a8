"""Definition -> ONNX function (domain `edgeacts`) in the form that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import onnx
import sympy
from onnx import helper

from edgeacts.definition import Activation, Form
from edgeacts.errors import UsageError
from edgeacts.forms.choice import DOMAIN, Choice
from edgeacts.plan import Plan, Side, plan
from edgeacts.program import Program

_SINGLE = 4

# Operators of a program as ONNX operators; those that need several nodes stand in _SEVERAL.
ONNX: Mapping[str, str] = MappingProxyType(
    {
        "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "pow": "Pow", "sqrt": "Sqrt",
        "exp": "Exp", "log": "Log", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "erf": "Erf",
        "sin": "Sin", "cos": "Cos", "atan": "Atan", "abs": "Abs", "sign": "Sign", "max": "Max", "min": "Min",
        "lt": "Less", "le": "LessOrEqual", "eq": "Equal", "and": "And", "or": "Or", "select": "Where",
    }
)  # fmt: skip


def operator_name(activation: Activation, per_channel: Sequence[str] = ()) -> str:
    """Name of the ONNX function; the one that takes parameters per channel as inputs has a name of its own."""
    return activation.operator + ("PerChannel" if per_channel else "")


def attribute_names(choice: Choice, per_channel: Sequence[str] = ()) -> tuple[str, ...]:
    """The parameters that the node carries as float attributes: all those that are not inputs."""
    return tuple(p.name for p in choice.activation.parameters if p.name not in per_channel)


def function(choice: Choice, *, opset: int = 20, per_channel: Sequence[str] = ()) -> onnx.FunctionProto:
    """The model-local function of one activation: input x (and parameters per channel), output y, float32.

    It gives the activation's value for every float32: ±inf follow the asymptotes, NaN gives NaN.
    """
    builder = _Builder(choice.activation, tuple(per_channel))
    if choice.form.native:
        builder.native(choice.form)
    elif choice.form.program:
        builder.program(choice.form.program, "x")
    else:
        builder.plan(_plan_of(choice, per_channel))
    builder.rename_last("y")
    proto = helper.make_function(
        DOMAIN,
        operator_name(choice.activation, per_channel),
        ["x", *per_channel],
        ["y"],
        builder.nodes,
        [helper.make_opsetid("", opset)],
        attributes=list(attribute_names(choice, per_channel)),
    )
    source = choice.activation
    proto.doc_string = f"{source.name} = {source.formula}; form {choice.form.name}; {source.source}"
    return proto


def _plan_of(choice: Choice, per_channel: Sequence[str]) -> Plan:
    """Parameters that have one value in the whole model are numbers in the body, which makes it shorter."""
    written = replace(choice.activation, formula=choice.form.expression, forms=(), facts=())
    return plan(written.fix(**{n: v for n, v in choice.common.items() if n not in per_channel}))


class _Builder:
    """Collects nodes; also the `ops` that a Plan is run with, on names of values instead of arrays."""

    def __init__(self, activation: Activation, per_channel: tuple[str, ...]) -> None:
        self.activation = activation
        self.per_channel = per_channel
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, str] = {}

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def rename_last(self, new: str) -> None:
        self.nodes[-1].output[0] = new

    def constant(self, value: float) -> str:
        key = repr(float(value))
        if key not in self._constants:
            self._constants[key] = self.node("Constant", value_float=float(value))
        return self._constants[key]

    def parameter(self, name: str) -> str:
        if name in self.per_channel:
            return name
        if name not in self._constants:
            self._constants[name] = self.node("Constant")
            self.nodes[-1].attribute.append(_reference("value_float", name))
        return self._constants[name]

    # ---- a native operator

    def native(self, form: Form) -> str:
        if self.per_channel:
            if form.channel_native is None:
                raise UsageError(
                    f"form {form.name!r} of {self.activation.name} cannot take parameters per channel"
                )
            return self.node(form.channel_native, "x", *self.per_channel)
        result = self.node(str(form.native), "x", *[self.constant(c) for c in form.constants])
        for name, expression in form.attributes.items():
            if not sympy.sympify(expression).is_Symbol:
                raise UsageError(
                    f"form {form.name!r} of {self.activation.name}: attribute {name} must be one parameter"
                )
            self.nodes[-1].attribute.append(_reference(name, str(expression)))
        return result

    # ---- a plan

    def plan(self, plan: Plan) -> str:
        inner = "x"
        lo, hi = (None if s is None else self.program(s.cut[_SINGLE], "x") for s in (plan.left, plan.right))
        if lo is not None:
            inner = self.node("Max", inner, lo)
        if hi is not None:
            inner = self.node("Min", inner, hi)
        y = self.program(plan.program, inner, capped=plan.capped)
        if plan.left is not None and lo is not None and not plan.left.flat:
            y = self.node("Where", self.node("Less", "x", lo), self.line(plan.left), y)
        if plan.right is not None and hi is not None and not plan.right.flat:
            y = self.node("Where", self.node("Greater", "x", hi), self.line(plan.right), y)
        if plan.repair_nan:
            y = self.node("Where", self.node("IsNaN", "x"), "x", y)
        return y if self.nodes and y == self.nodes[-1].output[0] else self.node("Identity", y)

    def line(self, side: Side) -> str:
        slope, offset = side.slope.steps[-1], side.offset.steps[-1]
        if slope.op == "constant" and slope.value == 0.0:
            return self.program(side.offset, "x")
        if slope.op == "constant" and slope.value == 1.0:
            line = "x"
        else:
            factor = self.program(side.slope, "x")
            line = self.node("Mul", factor, "x")
            if slope.op != "constant":  # 0·inf is NaN
                line = self.node(
                    "Where", self.node("Equal", factor, self.constant(0.0)), self.constant(0.0), line
                )
        zero = offset.op == "constant" and offset.value == 0.0
        return line if zero else self.node("Add", line, self.program(side.offset, "x"))

    def program(self, program: Program, x: str, *, capped: bool = False) -> str:
        slots: list[str] = []
        relative = "sigmoid" in program.operators() and not _AMPLIFYING.isdisjoint(program.operators())
        for step in program.steps:
            if step.op == "input":
                slots.append(x if step.value == "x" else self.parameter(str(step.value)))
            elif step.op == "constant":
                slots.append(
                    self.boolean(step.value)
                    if isinstance(step.value, bool)
                    else self.constant(float(step.value or 0.0))
                )
            elif step.op == "sigmoid" and relative:
                slots.append(_relative_sigmoid(self, slots[step.args[0]]))
            else:
                slots.append(self.operator(step.op, [slots[i] for i in step.args], capped))
        return slots[-1]

    def boolean(self, value: bool) -> str:
        return self.node("Cast", self.constant(float(value)), to=onnx.TensorProto.BOOL)

    def operator(self, op: str, inputs: list[str], capped: bool) -> str:
        if op == "exp" and capped:
            return self.node("Exp", self.node("Min", inputs[0], self.constant(44.0)))
        if op in ONNX:
            return self.node(ONNX[op], *inputs)
        return SEVERAL[op](self, *inputs)


def _reference(attribute: str, parameter: str) -> onnx.AttributeProto:
    result = onnx.AttributeProto()
    result.name, result.ref_attr_name, result.type = attribute, parameter, onnx.AttributeProto.FLOAT
    return result


def _square(b: _Builder, u: str) -> str:
    return b.node("Mul", u, u)


def _sech2(b: _Builder, u: str) -> str:
    t = b.node("Exp", b.node("Mul", b.constant(-2.0), b.node("Abs", u)))
    return b.node("Div", b.node("Mul", b.constant(4.0), t), _square(b, b.node("Add", b.constant(1.0), t)))


# ONNX Runtime's Sigmoid is right to 1e-8 and 0 from -18 on, which these turn into a large error.
_AMPLIFYING = frozenset({"sqrt", "log", "pow", "div"})


def _relative_sigmoid(b: _Builder, u: str) -> str:
    return b.node("Div", b.constant(1.0), b.node("Add", b.constant(1.0), b.node("Exp", b.node("Neg", u))))


def _erfc(b: _Builder, u: str) -> str:
    return b.node("Sub", b.constant(1.0), b.node("Erf", u))


def _normal_cdf(b: _Builder, u: str) -> str:
    scaled = b.node("Erf", b.node("Mul", u, b.constant(0.7071067811865476)))
    return b.node("Mul", b.constant(0.5), b.node("Add", b.constant(1.0), scaled))


SEVERAL = MappingProxyType({"square": _square, "sech2": _sech2, "erfc": _erfc, "normal_cdf": _normal_cdf})
