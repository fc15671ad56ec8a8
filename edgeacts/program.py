"""SymPy expression -> straight-line program: a short list of steps that numpy, torch and ONNX each read by one table.

Equal subexpressions become one step. Each reading is a table from operator to implementation; `OPERATORS` says which
operators there are, and a test compares every table with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from edgeacts import atoms
from edgeacts.errors import UsageError

# operator -> number of arguments
OPERATORS: dict[str, int] = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "neg": 1, "pow": 2, "sqrt": 1, "square": 1,
    "exp": 1, "log": 1, "tanh": 1, "sigmoid": 1, "softplus": 1, "sech2": 1, "erf": 1, "erfc": 1, "normal_cdf": 1,
    "sin": 1, "cos": 1, "atan": 1, "abs": 1, "sign": 1, "max": 2, "min": 2,
    "lt": 2, "le": 2, "eq": 2, "and": 2, "or": 2, "select": 3,
}  # fmt: skip

_FUNCTIONS: dict[Any, str] = {
    sympy.exp: "exp",
    sympy.log: "log",
    sympy.tanh: "tanh",
    atoms.stable_tanh: "tanh",
    atoms.sigmoid: "sigmoid",
    atoms.softplus: "softplus",
    atoms.sech2: "sech2",
    sympy.erf: "erf",
    sympy.erfc: "erfc",
    sympy.sin: "sin",
    sympy.cos: "cos",
    sympy.atan: "atan",
    sympy.Abs: "abs",
    sympy.sign: "sign",
    atoms.normal_cdf: "normal_cdf",
    atoms.maximum: "max",
    atoms.minimum: "min",
}


@dataclass(frozen=True)
class Step:
    """One operation. `op` is an operator, or "input" (`value` its name), or "constant" (`value` a float or bool)."""

    op: str
    args: tuple[int, ...] = ()
    value: float | str | bool | None = None


@dataclass(frozen=True)
class Program:
    """Steps in order; the last one is the result. `inputs` are the names that occur, `x` first if it does."""

    steps: tuple[Step, ...]
    inputs: tuple[str, ...]
    last_use: tuple[int, ...]

    def run(self, table: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """Evaluate with the implementations of `table`; intermediate results are dropped after their last use."""
        slots: list[Any] = [None] * len(self.steps)
        for index, step in enumerate(self.steps):
            if step.op == "input":
                slots[index] = values[str(step.value)]
            elif step.op == "constant":
                slots[index] = step.value
            else:
                slots[index] = table[step.op](*[slots[i] for i in step.args])
                for i in step.args:
                    if self.last_use[i] == index:
                        slots[i] = None
        return slots[-1]

    def operators(self) -> tuple[str, ...]:
        """The operators that occur, in order, with repetitions."""
        return tuple(s.op for s in self.steps if s.op in OPERATORS)


def compile_program(expression: Any) -> Program:
    """The program of an expression that `atoms.stabilise` has been applied to. Raises UsageError naming what it cannot read."""
    builder = _Builder()
    return builder.finish(builder.visit(sympy.sympify(expression)))


class Steps:
    """Collects the steps of a program; equal ones become one."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._known: dict[Step, int] = {}

    def emit(self, op: str, *args: int, value: float | str | bool | None = None) -> int:
        """The number of the step that is this operation on these steps."""
        step = Step(op, args, value)
        key = Step(op, args, repr(value))  # 0.0 and False are equal as keys, not as values
        if key not in self._known:
            self._known[key] = len(self.steps)
            self.steps.append(step)
        return self._known[key]

    def constant(self, value: float | bool) -> int:
        """The step that is this number."""
        return self.emit("constant", value=value)

    def finish(self, result: int) -> Program:
        """The program whose result is that step; what comes after it is dropped."""
        steps = self.steps[: result + 1]
        last_use = [-1] * len(steps)
        for index, step in enumerate(steps):
            for argument in step.args:
                last_use[argument] = index
        names = sorted({str(s.value) for s in steps if s.op == "input"}, key=lambda n: (n != "x", n))
        return Program(tuple(steps), tuple(names), tuple(last_use))


class _Builder(Steps):
    def number(self, e: Any) -> int:
        if e.is_extended_real is False or e.has(sympy.zoo, sympy.nan):
            raise UsageError(f"a formula cannot use the number {e}: it is not real")
        return self.constant(float(e))

    def visit(self, e: Any) -> int:
        if e.is_Symbol:
            return self.emit("input", value=e.name)
        if e in (sympy.true, sympy.false):
            return self.constant(bool(e))
        if e.is_number:
            return self.number(e)
        if e.is_Add:
            return self.add(e)
        if e.is_Mul:
            return self.multiply(e)
        if e.is_Pow:
            return self.power(e.base, e.exp)
        if isinstance(e, sympy.Piecewise):
            return self.piecewise(e.args)
        if isinstance(e, sympy.logic.boolalg.Boolean):
            return self.condition(e)
        if type(e) in _FUNCTIONS:
            return self.emit(_FUNCTIONS[type(e)], *[self.visit(a) for a in e.args])
        valid = ", ".join(sorted(f.__name__ for f in _FUNCTIONS))
        raise UsageError(
            f"a formula cannot use {e.func.__name__} (in {e}): write it with +, *, **, Piecewise, Min, Max, {valid}"
        )

    def add(self, e: Any) -> int:
        terms = sorted(e.as_ordered_terms(), key=lambda t: (t.could_extract_minus_sign(), t.is_number))
        total = self.visit(terms[0])
        for term in terms[1:]:
            if term.could_extract_minus_sign():
                total = self.emit("sub", total, self.visit(-term))
            else:
                total = self.emit("add", total, self.visit(term))
        return total

    def multiply(self, e: Any) -> int:
        coefficient, rest = e.as_coeff_Mul()
        if coefficient == -1:
            return self.emit("neg", self.visit(rest))
        numbers = [f for f in sympy.Mul.make_args(e) if f.is_number]
        above = [f for f in sympy.Mul.make_args(e) if not f.is_number and not _is_reciprocal(f)]
        below = [1 / f for f in sympy.Mul.make_args(e) if not f.is_number and _is_reciprocal(f)]
        # Parameters first, so that their products are computed on the few parameter values.
        above.sort(key=lambda f: f.has(atoms.X))
        # x itself joins after the divisions: x·(u/v) stays finite where (x·u)/v overflows.
        late = [f for f in above if below and f == atoms.X]
        factors = [self.number(sympy.Mul(*numbers))] if numbers else []
        factors += [self.visit(f) for f in above if f not in late]
        if not factors:
            factors = [self.visit(late.pop())] if late else [self.constant(1.0)]
        result = factors[0]
        for factor in factors[1:]:
            result = self.emit("mul", result, factor)
        for divisor in below:
            result = self.emit("div", result, self.visit(divisor))
        for factor in late:
            result = self.emit("mul", self.visit(factor), result)
        return result

    def power(self, base: Any, exponent: Any) -> int:
        if _is_reciprocal(base**exponent):
            return self.emit("div", self.constant(1.0), self.visit(base**-exponent))
        if exponent == sympy.Rational(1, 2):
            return self.emit("sqrt", self.visit(base))
        if exponent.is_Integer and 2 <= exponent <= 8:
            return self.integer_power(self.visit(base), int(exponent))
        return self.emit("pow", self.visit(base), self.visit(exponent))

    def integer_power(self, base: int, exponent: int) -> int:
        if exponent == 1:
            return base
        half = self.emit("square", self.integer_power(base, exponent // 2))
        return self.emit("mul", half, base) if exponent % 2 else half

    def piecewise(self, branches: Sequence[Any]) -> int:
        *others, last = branches
        if last[1] != sympy.true:
            raise UsageError(f"the last branch of a Piecewise needs the condition True, not {last[1]}")
        result = self.visit(last[0])
        for value, condition in reversed(others):
            result = self.emit("select", self.visit(condition), self.visit(value), result)
        return result

    def condition(self, e: Any) -> int:
        if isinstance(e, sympy.And | sympy.Or):
            op = "and" if isinstance(e, sympy.And) else "or"
            result = self.visit(e.args[0])
            for argument in e.args[1:]:
                result = self.emit(op, result, self.visit(argument))
            return result
        relations = {sympy.StrictLessThan: "lt", sympy.LessThan: "le", sympy.Equality: "eq"}
        if isinstance(e, sympy.StrictGreaterThan | sympy.GreaterThan):
            e = e.reversed
        if type(e) not in relations:
            raise UsageError(f"a Piecewise condition cannot be {e}: use <, <=, >, >=, Eq, And, Or")
        return self.emit(relations[type(e)], self.visit(e.lhs), self.visit(e.rhs))


def _is_reciprocal(factor: Any) -> bool:
    return bool(factor.is_Pow and factor.exp.is_number and factor.exp.is_negative)
