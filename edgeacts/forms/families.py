"""The families of fitted forms: what is fitted, on which range, and the program that evaluates it.

gate    x·R(u): functions through 0 whose tails are lines through 0; u is x taken into [lo, hi]
centred x·((a + c)/2 + u·R(u²)): the same where the gate is symmetric about its middle, of half the degrees (SiLU, GELU)
whole   R(u), and what x has over u times the lines' slopes: any function between two lines

R = (P/Q)^k. Squaring costs one operation without a constant, and the root of a gate that decays like eˣ is nearly straight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeacts.forms.fitting import Doubles, Quotient, Samples
from edgeacts.program import Program, Steps
from edgeacts.tables.subject import Subject

_TAIL_POINTS = np.geomspace(1e-3, 40.0, 24)  # beyond the range's ends, where u stands still
_NEAR_ZERO = 1e-4  # f(x)/x cancels below


@dataclass(frozen=True)
class Family:
    """Its name, whether a function is one of its kind on [lo, hi], the samples to fit, and the program of a fit."""

    name: str
    fits: Callable[[Subject, float, float], bool]
    samples: Callable[[Subject, float, float, int], Samples]
    write: Callable[[Subject, float, float, Quotient], Program]


class Writer(Steps):
    """Steps with the float32 constants and the Horner schemes of these forms."""

    def number(self, value: float) -> int:
        """A constant as float32 has it."""
        return self.constant(float(np.float32(value)))

    def x(self) -> int:
        """The input."""
        return self.emit("input", value="x")

    def horner(self, row: Sequence[float], v: int) -> int:
        """The polynomial with these coefficients of 1, v, v², ..."""
        if len(row) == 1:
            return self.number(row[0])
        y = v if row[-1] == 1.0 else self.emit("mul", v, self.number(row[-1]))
        for place in range(len(row) - 2, -1, -1):
            y = self.emit("add", y, self.number(row[place]))
            y = self.emit("mul", y, v) if place else y
        return y

    def quotient(self, fitted: Quotient, v: int) -> int:
        """(P/Q)^k."""
        y = self.horner(fitted.top, v)
        if len(fitted.below) > 1:
            y = self.emit("div", y, self.horner(fitted.below, v))
        for _ in range(fitted.power.bit_length() - 1):
            y = self.emit("square", y)
        return y

    def ends(self, lo: float, hi: float, *, keep: tuple[bool, bool]) -> tuple[int, int]:
        """(x with the ends taken in that need not be kept, x with both taken in).

        The constant comes first: vector units give the second operand where one is NaN.
        """
        x = self.x()
        left, right = keep
        if left and not right:
            outer = self.least(hi, x)
            return outer, self.most(lo, outer)
        low = self.most(lo, x)
        inner = self.least(hi, low)
        return (x if left else low if right else inner), inner

    def most(self, end: float, v: int) -> int:
        """max(end, v)."""
        return self.emit("max", self.number(end), v)

    def least(self, end: float, v: int) -> int:
        """min(end, v)."""
        return self.emit("min", self.number(end), v)


# ---- x·R(u)


def _through_zero(subject: Subject, lo: float, hi: float) -> bool:
    offsets = (subject.left[1], subject.right[1])
    return offsets == (0.0, 0.0) and abs(float(subject(np.zeros(1))[0])) < 1e-300 and _smooth(subject, lo, hi)


def _smooth(subject: Subject, lo: float, hi: float) -> bool:
    return not [k for k in subject.kinks if lo < k < hi]


def _points(subject: Subject, lo: float, hi: float, count: int) -> Doubles:
    """Where to look: Chebyshev's nodes inside, and beyond the ends as far as the lines are not exact yet."""
    inside = 0.5 * (lo + hi) - 0.5 * (hi - lo) * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.concatenate([lo - _TAIL_POINTS, [lo], inside, [hi], hi + _TAIL_POINTS])


def _gate_samples(subject: Subject, lo: float, hi: float, count: int) -> Samples:
    x = _points(subject, lo, hi, count)
    x = x[np.abs(x) > _NEAR_ZERO]
    u = np.clip(x, lo, hi)
    outer = _outer(subject, x, lo, hi)
    return Samples(u, subject(x) / outer, np.abs(outer) / subject.scale(x), lo, hi)


def _kept(subject: Subject) -> tuple[bool, bool]:
    """Whether x itself is needed beyond the left and the right end: not where the function ends as 0."""
    return subject.left[0] != 0, subject.right[0] != 0


def _outer(subject: Subject, x: Doubles, lo: float, hi: float) -> Doubles:
    """What the gate is multiplied with."""
    left, right = _kept(subject)
    return np.clip(x, None if left else lo, None if right else hi)


def _write_gate(subject: Subject, lo: float, hi: float, fitted: Quotient) -> Program:
    w = Writer()
    outer, inner = w.ends(lo, hi, keep=_kept(subject))
    return w.finish(w.emit("mul", outer, w.quotient(fitted, inner)))


# ---- x·((a + c)/2 + u·R(u²))


def _is_centred(subject: Subject, lo: float, hi: float) -> bool:
    x = np.linspace(0.01, 20.0, 2001)
    total = subject.left[0] + subject.right[0]
    return (
        _through_zero(subject, lo, hi)
        and not subject.kinks
        and bool(np.max(np.abs(subject(x) - subject(-x) - total * x) / subject.scale(x)) < 1e-10)
    )


def _centred_samples(subject: Subject, lo: float, hi: float, count: int) -> Samples:
    hi = max(-lo, hi)
    x = _points(subject, -hi, hi, 2 * count)
    x = x[x > 0.01 * hi / count]
    u = np.clip(x, -hi, hi)
    middle = 0.5 * (subject.left[0] + subject.right[0])
    return Samples(u * u, (subject(x) / x - middle) / u, x * u / subject.scale(x), 0.0, hi * hi)


def _write_centred(subject: Subject, lo: float, hi: float, fitted: Quotient) -> Program:
    w, hi = Writer(), max(-lo, hi)
    outer, inner = w.ends(-hi, hi, keep=_kept(subject))
    gate = w.emit("mul", inner, w.quotient(fitted, w.emit("square", inner)))
    gate = w.emit("add", gate, w.number(0.5 * (subject.left[0] + subject.right[0])))
    return w.finish(w.emit("mul", outer, gate))


# ---- R(u) and the lines


def _whole_samples(subject: Subject, lo: float, hi: float, count: int) -> Samples:
    x = _points(subject, lo, hi, count)
    u = np.clip(x, lo, hi)
    over = subject.left[0] * np.minimum(x - lo, 0.0) + subject.right[0] * np.maximum(x - hi, 0.0)
    return Samples(u, subject(x) - over, 1.0 / subject.scale(x), lo, hi)


def _write_whole(subject: Subject, lo: float, hi: float, fitted: Quotient) -> Program:
    w = Writer()
    (a, c), x = (subject.left[0], subject.right[0]), w.x()
    inner = w.ends(lo, hi, keep=(True, True))[1]
    y = w.quotient(fitted, inner)
    if a == c != 0:
        return w.finish(w.emit("add", y, _scaled(w, w.emit("sub", x, inner), a)))
    if a != 0:
        y = w.emit("add", y, _scaled(w, w.least(0.0, _less(w, x, lo)), a))
    if c != 0:
        y = w.emit("add", y, _scaled(w, w.most(0.0, _less(w, x, hi)), c))
    return w.finish(y)


def _less(w: Writer, x: int, end: float) -> int:
    return x if end == 0 else w.emit("add", x, w.number(-end))


def _scaled(w: Writer, y: int, slope: float) -> int:
    return y if slope == 1.0 else w.emit("mul", y, w.number(slope))


GATE = Family("gate", _through_zero, _gate_samples, _write_gate)
CENTRED = Family("centred", _is_centred, _centred_samples, _write_centred)
WHOLE = Family("whole", _smooth, _whole_samples, _write_whole)
FAMILIES = (CENTRED, GATE, WHOLE)
