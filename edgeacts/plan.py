"""How an activation or one of its derivatives is evaluated: program, clamps and asymptotes, so that no input gives a wrong NaN.

The formula is evaluated on the input clamped to where it is safe; beyond, the asymptote is used. Which guards are needed is
not assumed but tried: the cheapest combination that is right at the extremes in float32 and float64 is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import mpmath
import numpy as np
import sympy

from edgeacts.atoms import MPMATH_ATOMS, X, stabilise
from edgeacts.definition import Activation
from edgeacts.numpy_reading import NUMPY, NUMPY_CAPPED
from edgeacts.program import Program, compile_program

FAR = 1e18  # where no cut is known: x² still fits into float32
_SINGLE, _DOUBLE = 4, 8  # bytes of a number
_LAST_BIT = {_SINGLE: mpmath.mpf(2) ** -27, _DOUBLE: mpmath.mpf(2) ** -55}
_NOTHING = {_SINGLE: mpmath.mpf(2) ** -152, _DOUBLE: mpmath.mpf(2) ** -1080}


@dataclass(frozen=True)
class Side:
    """One tail: beyond `cut` the value is slope·x + offset. Each is a program in the parameters.

    There is a cut for float32 and one for float64: evaluating further out than needed is slow where numbers underflow.
    """

    cut: Mapping[int, Program]
    slope: Program
    offset: Program
    flat: bool  # slope is 0 whatever the parameters, and the formula gives the offset there: clamping x is enough


@dataclass(frozen=True)
class Plan:
    """A program and its guards; `capped` asks for exponentials that do not overflow, `repair_nan` restores NaN inputs."""

    program: Program
    left: Side | None
    right: Side | None
    capped: bool
    repair_nan: bool

    def run(self, ops: Any, x: Any, values: Mapping[str, Any]) -> Any:
        """Evaluate with a reading `ops`: its tables `table` and `capped_table`, `clamp`, `less`, `where` and `repair_nan`."""
        size = x.dtype.itemsize
        lo = None if self.left is None else self.left.cut[size].run(ops.table, values)
        hi = None if self.right is None else self.right.cut[size].run(ops.table, values)
        inner = x if lo is None and hi is None else ops.clamp(x, lo, hi)
        y = self.program.run(ops.capped_table if self.capped else ops.table, {**values, "x": inner})
        if self.left is not None and not self.left.flat:
            y = ops.where(ops.less(x, lo), _line(self.left, ops, x, values), y)
        if self.right is not None and not self.right.flat:
            y = ops.where(ops.less(hi, x), _line(self.right, ops, x, values), y)
        return ops.repair_nan(x, y) if self.repair_nan else y


def _line(side: Side, ops: Any, x: Any, values: Mapping[str, Any]) -> Any:
    slope, offset = side.slope.run(ops.table, values), side.offset.run(ops.table, values)
    if isinstance(slope, float) and slope == 0:
        return offset
    if isinstance(slope, float):
        line = x if slope == 1 else slope * x
    else:
        line = ops.where(ops.table["eq"](slope, 0.0), 0.0, slope * x)  # 0·inf is NaN
    return line if isinstance(offset, float) and offset == 0 else line + offset


@lru_cache(maxsize=512)
def plan(activation: Activation, by: tuple[str, ...] = ()) -> Plan:
    """The plan of ∂f/∂by...; the parameters that remain in `activation` are inputs (use `Activation.fix` for the others)."""
    expression = activation.derivative(*by)
    program = compile_program(expression)
    left, right = _sides(activation, expression, by)
    probes = _probes(activation, expression, by)
    lines = (_never_flat(left), _never_flat(right))  # for formulas that cancel where they should be flat
    for sides in ((left, right), lines):
        for capped, use_left, use_right, nan in product((False, True), repeat=4):
            used = (sides[0] if use_left else None, sides[1] if use_right else None)
            candidate = Plan(program, *used, capped, nan)
            if all(_is_right(candidate, probe) for probe in probes):
                return candidate
    return Plan(program, *lines, capped=True, repair_nan=True)


def _never_flat(side: Side | None) -> Side | None:
    return None if side is None else replace(side, flat=False)


# ---- tails


def asymptotes(activation: Activation) -> tuple[Any, Any]:
    """(left, right): what f approaches, as expressions a·X + b; None where there is none or none is known."""
    left, right = activation.left, activation.right
    if not activation.parameters:
        left = _find_line(activation, -1) if left is None else left
        right = _find_line(activation, +1) if right is None else right
    return left, right


# Where to look for a tail's line: near for tails that decay like e^-x, far for those that decay like 1/x (softsign).
_TAIL_POINTS = ((3001, 7001, 17011), (3 * 10**24, 7 * 10**24, 17 * 10**24))


@lru_cache(maxsize=256)
def _find_line(activation: Activation, sign: int) -> Any:
    """The line that f approaches, as an expression in X; None when there is none, as for a periodic tail."""
    f = _mp_function(activation.stable, ())
    for points in _TAIL_POINTS:
        with mpmath.workdps(100):
            try:
                line = _line_through(f, [sign * mpmath.mpf(p) for p in points])
            except (ArithmeticError, MemoryError, ValueError):  # e^(e^x) far out
                continue
        if line is not None:
            return line
    return None


def _line_through(f: Any, points: list[Any]) -> Any:
    """Slope and offset from two points; None unless the third agrees."""
    a, b, c = points
    slope = (f(b) - f(a)) / (b - a)
    offset = f(b) - slope * b
    if not abs(slope * c + offset - f(c)) <= mpmath.mpf(10) ** -20 * (1 + abs(offset)):
        return None
    return _rational(slope) * X + _rational(offset)


def _rational(value: Any) -> Any:
    if abs(value) < 1e-15:  # what constants written as floats leave of a 0
        return sympy.S.Zero
    return sympy.nsimplify(sympy.Float(value, 17), rational=True, tolerance=1e-17)


def tails(activation: Activation) -> tuple[Side | None, Side | None]:
    """Both tails of f, with the cuts from which on they hold, whether a plan has to guard them or not."""
    return _sides(activation, activation.stable, ())


def _sides(activation: Activation, expression: Any, by: tuple[str, ...]) -> tuple[Side | None, Side | None]:
    left, right = (
        _side(activation, expression, by, line, i) for i, line in enumerate(asymptotes(activation))
    )
    return left, right


def _side(activation: Activation, expression: Any, by: tuple[str, ...], line: Any, index: int) -> Side | None:
    if line is None:
        return None
    for name in by:
        line = sympy.diff(line, X if name == "x" else sympy.Symbol(name, real=True))
    slope, offset = sympy.diff(line, X), line.subs(X, 0)
    cuts = {
        size: compile_program(stabilise(_cut(activation, expression, line, index, size)))
        for size in (_SINGLE, _DOUBLE)
    }
    return Side(cuts, compile_program(stabilise(slope)), compile_program(stabilise(offset)), flat=slope == 0)


def _cut(activation: Activation, expression: Any, line: Any, index: int, size: int) -> Any:
    sign = (-1, 1)[index]
    declared = activation.saturation
    if size == _SINGLE and activation.saturation32 is not None:
        declared = activation.saturation32
    if declared is not None:
        limit = sympy.sympify(declared[index])
        if limit.is_finite is False:  # -800/|β| at β = 0
            return sympy.Float(sign * FAR)
        return sympy.Max(-FAR, limit) if index == 0 else sympy.Min(FAR, limit)
    return sympy.Float(sign * FAR if activation.parameters else _find_cut(expression, line, sign, size))


def _find_cut(expression: Any, line: Any, sign: int, size: int) -> float:
    """The x beyond which `expression` is `line` to the last bit of a `size`-byte float, by doubling and bisection."""
    f, g = _mp_function(expression, ()), _mp_function(line, ())

    def holds(x: Any) -> bool:
        target = g(x)
        return bool(abs(f(x) - target) <= max(_LAST_BIT[size] * abs(target), _NOTHING[size]))

    with mpmath.workdps(40):
        outer = mpmath.mpf(1)
        while not all(holds(sign * outer * k) for k in (1, 1.1, 1.25, 1.5, 2, 3, 5, 8, 16, 64, 512)):
            outer *= 2
            if outer > FAR:
                return sign * FAR
        inner = outer / 2
        for _ in range(20):
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if holds(sign * middle) else (middle, outer)
        return float(sign * outer)


def _mp_function(expression: Any, names: tuple[str, ...]) -> Any:
    symbols = [sympy.Symbol(n, real=True) for n in names]
    return sympy.lambdify([X, *symbols], expression, modules=[MPMATH_ATOMS, "mpmath"])


# ---- trying the guards


@dataclass(frozen=True)
class _Probe:
    x: np.ndarray
    expected: np.ndarray
    values: dict[str, float]


_MAGNITUDES = (0.5, 3.0, 12.0, 30.0, 43.0, 60.0, 87.5, 90.0, 120.0, 400.0, 1e3, 3e3)
_BEYOND = (1e5, 1e9, 1e15, 3e19, 1e25, 3e38, np.inf)


def _probes(activation: Activation, expression: Any, by: tuple[str, ...]) -> list[_Probe]:
    names = tuple(p.name for p in activation.parameters)
    f = _mp_function(expression, names)
    lines = []
    for line in asymptotes(activation):
        for name in by:
            line = (
                None
                if line is None
                else sympy.diff(line, X if name == "x" else sympy.Symbol(name, real=True))
            )
        lines.append(None if line is None else sympy.expand(line))
    probes = []
    for values in parameter_samples(activation):
        xs, expected = [float("nan")], [float("nan")]
        for sign, line in zip((-1, 1), lines, strict=True):
            for magnitude in _MAGNITUDES:
                xs.append(sign * magnitude)
                with mpmath.workdps(30):
                    expected.append(float(f(mpmath.mpf(sign * magnitude), *(values[n] for n in names))))
            if line is not None:
                slope, offset = _line_values(line, values)
                xs += [sign * m for m in _BEYOND]
                expected += [offset + (0.0 if slope == 0 else slope * sign * m) for m in _BEYOND]
        probes.append(_Probe(np.array(xs), np.array(expected), values))
    return probes


def _line_values(line: Any, values: Mapping[str, float]) -> tuple[float, float]:
    substitution = {sympy.Symbol(n, real=True): v for n, v in values.items()}
    slope, offset = sympy.diff(line, X), line.subs(X, 0)
    return float(slope.subs(substitution)), float(sympy.sympify(offset).subs(substitution))


def parameter_samples(activation: Activation) -> list[dict[str, float]]:
    """Values to try an activation with: the defaults, then each parameter's samples in turn."""
    default = activation.values()
    return [default] + [{**default, p.name: s} for p in activation.parameters for s in p.samples]


def _is_right(candidate: Plan, probe: _Probe) -> bool:
    for dtype in (np.float32, np.float64):
        with np.errstate(all="ignore"):
            x, expected = probe.x.astype(dtype), probe.expected.astype(dtype)
            values = {n: np.asarray(v, dtype) for n, v in probe.values.items()}
            y = np.broadcast_to(candidate.run(NumpyOps, x, values), x.shape)
        # A constant tail must be right, formulas that cancel on their way to it may be a little off.
        tolerance = np.where(np.isinf(x), 1e-6, 1e-4)
        if not np.all(np.isclose(y, expected, rtol=tolerance, atol=tolerance / 10, equal_nan=True)):
            return False
    return True


class NumpyOps:
    """numpy's reading of a plan."""

    table: Mapping[str, Any] = NUMPY
    capped_table: Mapping[str, Any] = NUMPY_CAPPED
    less = staticmethod(np.less)
    where = staticmethod(np.where)

    @staticmethod
    def repair_nan(x: Any, y: Any) -> Any:
        """y, but NaN where x is NaN."""
        return np.where(np.isnan(x), x, y)

    @staticmethod
    def clamp(x: Any, lo: Any, hi: Any) -> Any:
        """Clip to the bounds that are given; NaN stays NaN."""
        return np.clip(x, lo, hi)
