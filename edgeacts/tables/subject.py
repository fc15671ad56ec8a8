"""The function that a table is made of, in float64: its values, the lines it approaches, its kinks and its range."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from edgeacts.atoms import X
from edgeacts.definition import Activation
from edgeacts.plan import NumpyOps, asymptotes, plan
from edgeacts.tables.kinks import kinks_of
from edgeacts.tables.refusal import NotTabulated

Doubles = NDArray[np.float64]
_FAR = 1e6


class Subject:
    """The function (`mirrored`: of -x), its lines, and the points where it may bend, or jump when it is mirrored."""

    def __init__(
        self, activation: Activation, order: int, parameters: dict[str, float], *, mirrored: bool = False
    ) -> None:
        self.order, self.parameters, self.mirrored = order, parameters, mirrored
        self.label = activation.name + "'" * order
        self._numbers = {sympy.Symbol(n, real=True): v for n, v in parameters.items()}
        self._plan = plan(activation, ("x",) * order)
        self.left, self.right = self._lines(activation)
        self.kinks = kinks_of(activation, parameters)
        shown = ", ".join(f"{n} = {v:g}" for n, v in parameters.items())
        self.formula = f"{activation.formula}{'; ' if shown else ''}{shown}"[:2000]
        if not mirrored:
            self._refuse_jumps()
            self.scan = _scan_points(self.kinks)
        else:  # at a jump the value is a matter of convention
            (a, b), (c, d) = self.left, self.right
            self.left, self.right = (-c, d), (-a, b)
            self.kinks = tuple(sorted(-k for k in self.kinks))
            self.scan = np.setdiff1d(_scan_points(self.kinks), self.kinks)
        self.values = self(self.scan)
        scale = self.scale(self.scan)
        self.left_error = np.abs(self.values - line_at(self.left, self.scan)) / scale
        self.right_error = np.abs(self.values - line_at(self.right, self.scan)) / scale

    def scale(self, x: Doubles) -> Doubles:
        """What an error at x is measured against: max(1, |x|), for derivatives 1."""
        return np.ones_like(x) if self.order else np.maximum(1.0, np.abs(x))

    def __call__(self, x: Doubles) -> Doubles:
        """The values at x."""
        with np.errstate(all="ignore"):
            values = {n: np.float64(v) for n, v in self.parameters.items()}
            y = self._plan.run(NumpyOps, -x if self.mirrored else x, values)
        return np.array(np.broadcast_to(y, x.shape), dtype=np.float64)

    def _lines(self, activation: Activation) -> tuple[tuple[float, float], tuple[float, float]]:
        found = []
        for side, line in zip(("-∞", "+∞"), asymptotes(activation), strict=True):
            if line is None:
                raise NotTabulated(f"{self.label} approaches no straight line towards {side}")
            line = sympy.diff(line, X, self.order) if self.order else sympy.sympify(line)
            slope, offset = sympy.diff(line, X), line.subs(X, 0)
            found.append((self._single(slope), self._single(offset)))
        return found[0], found[1]

    def _single(self, expression: Any) -> float:
        return float(np.float32(float(sympy.sympify(expression).subs(self._numbers))))

    def _refuse_jumps(self) -> None:
        for kink in self.kinks:
            nearby = self(
                np.array([kink - 1e-9, kink + 1e-9]) if kink == 0 else kink * np.array([1 - 1e-9, 1 + 1e-9])
            )
            if abs(nearby[1] - nearby[0]) > 1e-6 * max(1.0, abs(kink)):
                raise NotTabulated(f"{self.label} jumps at x = {kink:g}")

    def ends(self, tail: float) -> tuple[float, float]:
        """(lo, hi) beyond which the lines are within `tail`."""
        off_left = np.flatnonzero(self.left_error > tail)
        off_right = np.flatnonzero(self.right_error > tail)
        if not len(off_left) and not len(off_right):  # one line everywhere
            return -1.0, 1.0
        lo = self.scan[max(off_left[0] - 1, 0)] if len(off_left) else self.scan[-1]
        hi = self.scan[min(off_right[-1] + 1, len(self.scan) - 1)] if len(off_right) else self.scan[0]
        if lo > hi:  # the lines overlap
            middle = next((k for k in self.kinks if hi <= k <= lo), 0.5 * (lo + hi))
            lo = hi = middle
        for kink in self.kinks:
            lo = kink if 0 <= kink - lo < 0.02 and self._holds(self.left_error, lo, kink, tail) else lo
            hi = kink if 0 <= hi - kink < 0.02 and self._holds(self.right_error, kink, hi, tail) else hi
        if lo == hi:
            lo, hi = lo - 1.0, hi + 1.0
        return float(lo), float(hi)

    def _holds(self, error: Doubles, start: float, end: float, tail: float) -> bool:
        inside = (self.scan >= start) & (self.scan <= end)
        return bool(np.all(error[inside] <= tail))


def line_at(line: tuple[float, float], x: Doubles) -> Doubles:
    """slope·x + offset."""
    return line[0] * x + line[1]


def _scan_points(kinks: tuple[float, ...]) -> Doubles:
    """Where tails are looked for: evenly near 0, by factors further out and towards 0 and every kink."""
    steps = np.geomspace(1e-9, 1.0, 1200)
    near = [k + s * steps for k in (0.0, *kinks) for s in (-1.0, 1.0)]
    far = np.geomspace(60.0, _FAR, 2000)
    return np.unique(
        np.concatenate([np.linspace(-60.0, 60.0, 24001), far, -far, *near, np.array([0.0, *kinks])])
    )
