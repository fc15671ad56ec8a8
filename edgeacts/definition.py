"""`Activation`: formula, parameters, asymptotes, source, facts. Everything else in edgeacts is derived from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import sympy

from edgeacts import atoms
from edgeacts.atoms import X, normal_cdf, sigmoid, softplus
from edgeacts.errors import UsageError
from edgeacts.program import Program

__all__ = ["Activation", "Fact", "Form", "Parameter", "X", "normal_cdf", "sigmoid", "softplus"]

Trainable = Literal["layer", "channel"] | None
TRAINABLE: tuple[Trainable, ...] = (None, "layer", "channel")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Parameter:
    """A named number in a formula: fixed (`trainable=None`), or trained once per "layer" or per "channel".

    `samples` are values at which the tests check the activation, besides the default.
    """

    name: str
    default: float
    trainable: Trainable = None
    samples: tuple[float, ...] = ()

    @property
    def symbol(self) -> Any:
        """The SymPy symbol to write the formula with."""
        return sympy.Symbol(self.name, real=True)


@dataclass(frozen=True)
class Fact:
    """f^(order)(x) = y within `within`, known from elsewhere than the formula; `why` says from where."""

    x: float
    y: float
    why: str
    order: int = 0
    within: float = 5e-7
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """Another way to compute the activation, within `bound` · max(1, |x|) of the formula.

    `bound` is a number or an expression in the parameters. The form is one of three:
    an `expression`;
    a `native` ONNX operator, which exists since opset `since`, with `attributes` (name -> expression in the parameters) and
    `constants` as further inputs, and `channel_native`, the operator that takes the parameter as a second input, for
    parameters per channel;
    a `program`, whose steps are carried out as they stand, for the values of the parameters it was made for.
    `at_minus_infinity` is False for operators that runtimes compute as x·gate(x), which gives NaN at -∞.
    """

    name: str
    bound: Any
    why: str
    expression: Any = None
    native: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[float, ...] = ()
    since: int = 1
    channel_native: str | None = None
    at_minus_infinity: bool = True
    program: Program | None = None

    def bound_at(self, values: Mapping[str, float]) -> float:
        """The bound as a number, for these values of the parameters."""
        return float(
            sympy.sympify(self.bound).subs({sympy.Symbol(n, real=True): v for n, v in values.items()})
        )


@dataclass(frozen=True)
class Activation:
    """y = formula(x; parameters), pointwise.

    formula     SymPy expression in `X` and the parameters' symbols
    source      paper and equation
    left/right  what the function approaches at -∞ and +∞: an expression `a·X + b` (a, b may hold parameters). Without
                parameters they need not be given: they are found from the formula.
    saturation  (lo, hi), expressions in the parameters: beyond them the asymptotes hold to float64's last bit. Needed only
                for activations with trainable parameters. `saturation32` the same for float32, where it pays.
    forms       other ways to compute it, the cheapest first; the formula itself is the form "exact"
    operator    the name of its ONNX function; by default the CamelCase of `name`

    Raises UsageError when the parts do not fit together.
    """

    name: str
    formula: Any
    source: str
    parameters: tuple[Parameter, ...] = ()
    left: Any = None
    right: Any = None
    saturation: tuple[Any, Any] | None = None
    saturation32: tuple[Any, Any] | None = None
    forms: tuple[Form, ...] = ()
    facts: tuple[Fact, ...] = ()
    operator: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"activation name {self.name!r}: use lower-case letters, digits and _, a letter first"
            )
        for attribute in ("formula", "left", "right"):
            value = getattr(self, attribute)
            object.__setattr__(self, attribute, None if value is None else sympy.sympify(value))
        if not self.operator:
            object.__setattr__(self, "operator", self.name.title().replace("_", ""))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.operator):
            raise UsageError(
                f"activation {self.name}: operator {self.operator!r} is not a name ONNX can hold"
            )
        self._check_parameters()
        self._check_forms()
        self._check_symbols()

    def _check_parameters(self) -> None:
        names = [p.name for p in self.parameters]
        if len(set(names)) != len(names) or {"x", "y"} & set(names):
            raise UsageError(
                f"activation {self.name}: parameter names must differ from each other and from x and y, not {names}"
            )
        for name in names:
            if not name.isidentifier():
                raise UsageError(
                    f"activation {self.name}: parameter name {name!r}: use letters, digits and _"
                )
        for p in self.parameters:
            if p.trainable not in TRAINABLE:
                raise UsageError(
                    f"activation {self.name}: trainable={p.trainable!r} of {p.name}: use None, 'layer' or 'channel'"
                )

    def _check_forms(self) -> None:
        names = [f.name for f in self.forms]
        if len(set(names)) != len(names):
            raise UsageError(f"activation {self.name}: form names must differ from each other, not {names}")
        for form in self.forms:
            if [form.expression, form.native, form.program].count(None) != 2:
                raise UsageError(
                    f"activation {self.name}: form {form.name!r} needs an expression, a native operator or a program, one of them"
                )

    def _check_symbols(self) -> None:
        known = {X, *(p.symbol for p in self.parameters)}
        parts = [
            self.formula,
            self.left,
            self.right,
            *(self.saturation or ()),
            *(self.saturation32 or ()),
            *(f.expression for f in self.forms),
        ]
        for part in parts:
            unknown = set() if part is None else sympy.sympify(part).free_symbols - known
            if unknown:
                names = ", ".join(sorted(map(str, unknown)))
                raise UsageError(
                    f"activation {self.name}: {part} uses {names}, which is neither X (edgeacts.definition.X) nor a parameter"
                )

    def __hash__(self) -> int:
        return hash((self.name, self.formula, self.parameters))

    def __deepcopy__(self, memo: Any) -> Activation:
        return self  # immutable

    # ---- values of the parameters

    def values(self, given: Mapping[str, float] | None = None) -> dict[str, float]:
        """All parameters' values: the defaults, replaced by `given`. Raises UsageError for a name it does not have."""
        result = {p.name: p.default for p in self.parameters}
        for name, value in (given or {}).items():
            if name not in result:
                known = ", ".join(result) or "none"
                raise UsageError(f"activation {self.name} has no parameter {name!r}; it has: {known}")
            result[name] = float(value)
        return result

    def fix(self, **values: float) -> Activation:
        """The same activation with the named parameters replaced by numbers."""
        self.values(values)
        symbols = {p.symbol: _exact(values[p.name]) for p in self.parameters if p.name in values}

        def put(e: Any) -> Any:
            return None if e is None else sympy.sympify(e).subs(symbols)

        def put_pair(pair: tuple[Any, Any] | None) -> tuple[Any, Any] | None:
            return None if pair is None else (put(pair[0]), put(pair[1]))

        return Activation(
            name=self.name,
            formula=put(self.formula),
            source=self.source,
            parameters=tuple(p for p in self.parameters if p.name not in values),
            left=put(self.left),
            right=put(self.right),
            saturation=put_pair(self.saturation),
            saturation32=put_pair(self.saturation32),
            operator=self.operator,
        )

    # ---- expressions

    @cached_property
    def stable(self) -> Any:
        """The formula written with the atoms that neither cancel nor overflow."""
        return atoms.stabilise(self.formula)

    def derivative(self, *by: str) -> Any:
        """∂f/∂by[0]∂by[1]...: `derivative("x")` is f'; `derivative("x", "alpha")` the mixed one. In stable atoms."""
        expression = self.stable
        for name in by:
            symbol = X if name == "x" else next(p.symbol for p in self.parameters if p.name == name)
            expression = atoms.stabilise(sympy.diff(expression, symbol))
        return expression

    def latex(self, order: int = 0) -> str:
        """The formula (or its derivative of that order) as LaTeX."""
        expression = self.formula if order == 0 else self.derivative(*["x"] * order)
        return str(sympy.latex(expression))

    def form(self, name: str) -> Form:
        """The form of that name; "exact" is the formula itself. Raises UsageError for an unknown one."""
        for form in self.forms:
            if form.name == name:
                return form
        if name == "exact":
            return Form("exact", 0.0, "the formula", expression=self.formula)
        raise UsageError(
            f"activation {self.name} has no form {name!r}; it has: {', '.join(self.form_names())}"
        )

    def form_names(self) -> tuple[str, ...]:
        """Names of the forms, the cheapest first."""
        names = tuple(f.name for f in self.forms)
        return names if "exact" in names else (*names, "exact")


def _exact(value: float) -> Any:
    """The rational that the decimal digits of `value` name, so that 0.15 stays 3/20 in a formula."""
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise UsageError(f"a parameter cannot be {number}")
    return sympy.Rational(repr(number))
