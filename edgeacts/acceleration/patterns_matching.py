"""Expressions of ONNX operators, written like the maths, and whether a value of a graph is computed by one.

`X * Op("Sigmoid", X)` is one: `X` stands for one and the same tensor, a number for a float32 scalar that is constant,
`Capture` for one whose value is wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeacts.acceleration.graph import attributes, producers, use_counts

_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # relative: two roundings to float32, or seven written digits
_COMMUTATIVE = frozenset({"Add", "Mul"})
_NO_ATTRIBUTES: Mapping[str, Setting] = MappingProxyType({})


class Expression:
    """What a value may be computed by; `+ * /` make the ONNX operators of these names."""

    def __add__(self, other: Expression | float) -> Op:
        return Op("Add", self, other)

    def __mul__(self, other: Expression | float) -> Op:
        return Op("Mul", self, other)

    def __truediv__(self, other: Expression | float) -> Op:
        return Op("Div", self, other)


@dataclass(frozen=True)
class _Input(Expression):
    """The activation's input: the same tensor wherever it stands."""


@dataclass(frozen=True)
class Number(Expression):
    """A constant scalar of that value, within the rounding of float32."""

    value: float


@dataclass(frozen=True)
class Capture(Expression):
    """A constant scalar of any finite value: the parameter of that name."""

    name: str


@dataclass(frozen=True)
class Setting:
    """What an attribute has to be; `default` is its value where the node does not write it."""

    expected: str | Number | Capture
    default: str | float | None = None


@dataclass(frozen=True, init=False)
class Op(Expression):
    """One node. An attribute that is not among `settings` must not be written; Add and Mul take either order."""

    kind: str
    operands: tuple[Expression, ...]
    settings: Mapping[str, Setting]
    domain: str

    def __init__(
        self, kind: str, *operands: Expression | float, domain: str = "", **settings: Setting
    ) -> None:
        expressions = tuple(o if isinstance(o, Expression) else Number(float(o)) for o in operands)
        for name, value in (
            ("kind", kind),
            ("operands", expressions),
            ("settings", MappingProxyType(settings) if settings else _NO_ATTRIBUTES),
            ("domain", domain),
        ):
            object.__setattr__(self, name, value)

    def orders(self, inputs: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """The orders in which a node's inputs may be this operator's operands."""
        yield inputs
        if self.kind in _COMMUTATIVE:
            yield inputs[::-1]


@dataclass(frozen=True)
class Either(Expression):
    """One of several ways to write the same."""

    options: tuple[Expression, ...]


X = _Input()


def either(*options: Expression) -> Either:
    """Any of the options."""
    return Either(options)


def roots(expression: Expression) -> Iterator[Op]:
    """The operators that can stand last in the expression."""
    if isinstance(expression, Either):
        for option in expression.options:
            yield from roots(option)
    elif isinstance(expression, Op):
        yield expression
    else:
        raise TypeError(f"an activation's pattern ends with an operator, not with {expression}")


@dataclass(frozen=True)
class Match:
    """What an expression was found to be: `values` are the outputs of its nodes, the last one first."""

    x: str = ""
    captured: Mapping[str, float] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scalar:
    """The one element of a constant, and its number of dimensions, which broadcasting would hand on."""

    value: float
    rank: int


class Matcher:
    """One graph, indexed once: what makes each value, how often it is read, which scalars are constant."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        overridable = {value.name for value in graph.input}
        self.producers = producers(graph)
        self.uses = use_counts(graph)
        self._weights = {t.name: t for t in graph.initializer if t.name not in overridable}
        self._scalars: dict[str, Scalar | None] = {}

    def find(self, root: Op, node: onnx.NodeProto) -> Match | None:
        """How the node computes that expression, with nothing inside it that others read; None if it does not."""
        candidates = self._operator(root, node, Match())
        return next((m for m in candidates if m.x and self._private(m)), None)

    def scalar(self, name: str) -> Scalar | None:
        """The constant float32 scalar of that name; None for anything else."""
        if name not in self._scalars:
            tensor = self._weights.get(name)
            if tensor is None and name in self.producers:
                tensor = _constant(self.producers[name])
            self._scalars[name] = None if tensor is None else _scalar(tensor)
        return self._scalars[name]

    def _private(self, match: Match) -> bool:
        read: Counter[str] = Counter()
        for value in match.values:
            read.update(self.producers[value].input)
        return all(read[value] == self.uses[value] for value in match.values[1:])

    def _match(self, expression: Expression, name: str, found: Match) -> Iterator[Match]:
        if isinstance(expression, Either):
            for option in expression.options:
                yield from self._match(option, name, found)
        elif isinstance(expression, Op):
            if name in self.producers:
                yield from self._operator(expression, self.producers[name], found)
        elif isinstance(expression, _Input):
            if name and found.x in ("", name):
                yield replace(found, x=name)
        elif scalar := self.scalar(name):
            compared = _compare(expression, scalar.value, found)
            if compared is not None:
                yield replace(compared, constants=(*compared.constants, name))

    def _operator(self, op: Op, node: onnx.NodeProto, found: Match) -> Iterator[Match]:
        if kind_of(node) != (op.domain, op.kind) or len(node.output) != 1:
            return
        names = tuple(node.input)
        if len(names) != len(op.operands):
            return
        settled = _settings(op, node, replace(found, values=(*found.values, node.output[0])))
        if settled is not None:
            for order in op.orders(names):
                yield from self._operands(op.operands, order, settled)

    def _operands(
        self, operands: tuple[Expression, ...], names: tuple[str, ...], found: Match
    ) -> Iterator[Match]:
        if not operands:
            yield found
            return
        for first in self._match(operands[0], names[0], found):
            yield from self._operands(operands[1:], names[1:], first)


def kind_of(node: onnx.NodeProto) -> tuple[str, str]:
    """(domain, operator), with ONNX's own domain as the empty string."""
    return ("" if node.domain == "ai.onnx" else node.domain), node.op_type


def _settings(op: Op, node: onnx.NodeProto, found: Match) -> Match | None:
    written = {name: _plain(a) for name, a in attributes(node).items()}
    if not written.keys() <= op.settings.keys():
        return None
    for name, setting in op.settings.items():
        compared = _compare(setting.expected, written.get(name, setting.default), found)
        if compared is None:
            return None
        found = compared
    return found


def _plain(attribute: onnx.AttributeProto) -> float | str | None:
    if attribute.type == onnx.AttributeProto.FLOAT:
        return attribute.f
    return attribute.s.decode(errors="replace") if attribute.type == onnx.AttributeProto.STRING else None


def _compare(expected: object, value: float | str | None, found: Match) -> Match | None:
    """What is found when `value` is as expected, with what it captures."""
    if isinstance(expected, str):
        return found if value == expected else None
    if not isinstance(value, float) or not np.isfinite(value):
        return None
    if isinstance(expected, Capture):
        shortest = float(str(np.float32(value)))  # 1.702, where the float64 of the float32 is 1.70200002...
        if found.captured.get(expected.name, shortest) != shortest:
            return None
        return replace(found, captured={**found.captured, expected.name: shortest})
    if isinstance(expected, Number):
        return found if abs(value - expected.value) <= _ROUNDING * abs(expected.value) else None
    raise TypeError(f"a pattern cannot hold {expected!r}")


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    if kind_of(node) != ("", "Constant") or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor: onnx.TensorProto = attribute.t
        return tensor
    if attribute.name == "value_float":
        return helper.make_tensor("", TensorProto.FLOAT, [], [attribute.f])
    if attribute.name == "value_floats" and len(attribute.floats) == 1:
        return helper.make_tensor("", TensorProto.FLOAT, [1], attribute.floats)
    return None


def _scalar(tensor: onnx.TensorProto) -> Scalar | None:
    external = tensor.data_location == TensorProto.EXTERNAL
    if tensor.data_type != TensorProto.FLOAT or any(d != 1 for d in tensor.dims) or external:
        return None
    try:
        value = float(numpy_helper.to_array(tensor).item())
    except ValueError:  # a damaged file: no number, or several
        return None
    return Scalar(value, len(tensor.dims))
