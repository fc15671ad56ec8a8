"""How far a program is from the function it stands for, for every x: in float32 with or without fused multiply-adds.

Each step's value is followed in float64 together with a bound on what float32 arithmetic may make of it (running error
analysis; Higham, Accuracy and Stability of Numerical Algorithms, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeacts.numpy_reading import NUMPY
from edgeacts.program import Program
from edgeacts.tables.certificate import half_ulp
from edgeacts.tables.subject import Subject

Doubles = NDArray[np.float64]
_POINTS = 20_000  # of a stretch
_WIDEST = 60.0
_FAR = np.geomspace(1e6, 3e38, 200)
_LIBRARY_ULPS = 4.0  # what runtimes' exponentials are allowed to be off, in units of the last place

_Rule = Callable[[Doubles, list[Doubles], list[Doubles]], Doubles]


def _sum(_: Doubles, __: list[Doubles], bounds: list[Doubles]) -> Doubles:
    return bounds[0] + bounds[1]


def _product(_: Doubles, values: list[Doubles], bounds: list[Doubles]) -> Doubles:
    (a, b), (p, q) = values, bounds
    return np.abs(a) * q + np.abs(b) * p + p * q


def _ratio(value: Doubles, values: list[Doubles], bounds: list[Doubles]) -> Doubles:
    least = np.abs(values[1]) - bounds[1]
    moved = (bounds[0] + np.abs(value) * bounds[1]) / np.maximum(least, 1e-300)
    return np.where(least > 0, moved + half_ulp(value), np.inf)  # a product with the reciprocal rounds twice


def _larger(_: Doubles, __: list[Doubles], bounds: list[Doubles]) -> Doubles:
    return np.maximum(bounds[0], bounds[1])


def _exponential(value: Doubles, _: list[Doubles], bounds: list[Doubles]) -> Doubles:
    return value * np.expm1(bounds[0]) + 2 * (_LIBRARY_ULPS - 0.5) * half_ulp(value)


# Operator -> how far its value moves by what its arguments are off; the operation's own rounding comes on top.
_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "add": _sum,
        "sub": _sum,
        "mul": _product,
        "square": lambda v, x, b: _product(v, [x[0], x[0]], [b[0], b[0]]),
        "div": _ratio,
        "neg": lambda _, __, b: b[0],
        "abs": lambda _, __, b: b[0],
        "max": _larger,
        "min": _larger,
        "exp": _exponential,
    }
)
_EXACT = frozenset({"neg", "abs", "max", "min"})


def value_and_rounding(program: Program, x: Doubles) -> tuple[Doubles, Doubles]:
    """The program's value in exact arithmetic, and how far float32 may be from it; infinite for operators without a rule."""
    values: list[Doubles] = []
    bounds: list[Doubles] = []
    for step in program.steps:
        if step.op == "input":
            value, bound = x, np.zeros_like(x)
        elif step.op == "constant":
            value = np.full_like(x, float(step.value or 0.0))
            bound = np.abs(value - value.astype(np.float32))
        else:
            arguments, theirs = [values[i] for i in step.args], [bounds[i] for i in step.args]
            value = np.asarray(NUMPY[step.op](*arguments), np.float64)
            rule = _RULES.get(step.op)
            bound = np.full_like(x, np.inf) if rule is None else rule(value, arguments, theirs)
            if step.op not in _EXACT:
                bound = bound + half_ulp(value)
        values.append(value)
        bounds.append(bound)
    return values[-1], bounds[-1]


def certify(program: Program, subject: Subject) -> float:
    """A bound on |program in float32 - f|/max(1, |x|) for every finite x; infinite where NaN or ±inf come out wrong."""
    with np.errstate(all="ignore"):
        if not is_sound(program, subject):
            return float("inf")
        inside = max(_on(program, subject, lo, hi) for lo, hi in _stretches(program, subject))
        elsewhere = np.concatenate([subject.scan, _FAR, -_FAR])
        signed, rounding = _errors(program, subject, elsewhere)
        worst = max(inside, float(np.max(np.abs(signed) + rounding)))
        return worst if np.isfinite(worst) else float("inf")


def _stretches(program: Program, subject: Subject) -> list[tuple[float, float]]:
    """Where to look closely: between the lines, and where the program is cut, which may be far narrower."""
    lo, hi = subject.ends(1e-9)
    found = [(max(lo, -_WIDEST) - 2.0, min(hi, _WIDEST) + 2.0)]
    cut = {
        float(program.steps[a].value or 0.0)
        for step in program.steps
        if step.op in ("max", "min")
        for a in step.args
        if program.steps[a].op == "constant"
    }
    if len(cut) > 1:
        reach = 0.2 * (max(cut) - min(cut))
        found.append((min(cut) - reach, max(cut) + reach))
    return found


def _on(program: Program, subject: Subject, lo: float, hi: float) -> float:
    """The largest error on a stretch: on its points, and what may be between them."""
    signed, rounding = _errors(program, subject, np.linspace(lo, hi, _POINTS + 1))
    between = 0.25 * float(np.abs(np.diff(signed, 2)).max())  # (spacing²/8)·max|e''|, doubled
    return float(np.max(np.abs(signed) + rounding)) + between


def _errors(program: Program, subject: Subject, x: Doubles) -> tuple[Doubles, Doubles]:
    value, rounding = value_and_rounding(program, x)
    scale = subject.scale(x)
    return (value - subject(x)) / scale, rounding / scale


def is_sound(program: Program, subject: Subject) -> bool:
    """In float32: NaN gives NaN, +∞ what the right line gives, -∞ that or no more than the left line's value at the last cut.

    A product such as x·0 at -∞ is seen here and refused.
    """
    x = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0], np.float32)
    with np.errstate(all="ignore"):
        y = np.asarray(program.run(NUMPY, {"x": x}), np.float32)
    right, left = (
        s * e + o if s else o
        for (s, o), e in ((subject.right, np.inf), (subject.left, -np.inf))
    )  # fmt: skip
    ends = all(
        abs(got - want) <= 1e-2 if np.isfinite(want) else got == want
        for got, want in ((y[1], right), (y[2], left))
    )
    return bool(np.isnan(y[0]) and ends and np.all(np.isfinite(y[3:]) | (np.abs(y[3:]) > 1e38)))
