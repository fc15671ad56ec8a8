"""Definition -> table with a certified error bound, or a refusal that says why.

The bound holds for what the kernels compute in float32: the polynomials' distance from the formula (float64, on a dense grid,
with a term for what lies between its points), what each rounding of the evaluation can add, and the lines beyond the ends.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from edgeacts import atoms
from edgeacts.activations import catalogue
from edgeacts.atoms import X
from edgeacts.definition import Activation
from edgeacts.errors import EdgeactsError
from edgeacts.numpy_reading import NUMPY
from edgeacts.piecewise import (
    NARROW_DEGREE,
    NARROW_SEGMENTS,
    WIDE_DEGREES,
    WIDE_SEGMENTS,
    Grid,
    Table,
    table_key,
)
from edgeacts.plan import NumpyOps, asymptotes, plan
from edgeacts.program import compile_program

BOUND = 1e-6  # of max(1, |x|): a table that is worse is refused
DERIVATIVE_BOUND = 4e-6  # of f', which only trains; absolute
_TAILS = (1e-7, 2.5e-7, 5e-7, 9e-7)  # how far the lines may be from the function where they take over
_NARROW_DEGREES = (7, 9, 11, 13, 15)
_U = 2.0**-24  # half a unit in the last place of float32, relative
_FAR = 1e6
_NOTHING = 1e-13
_OUT_OF_REACH = f"polynomials of degree {WIDE_DEGREES[-1]} on {WIDE_SEGMENTS} segments do not reach it"
_POINTS = 256  # of a segment, where the polynomials are compared

Doubles = NDArray[np.float64]


class NotTabulated(EdgeactsError):
    """There is no table within the bound; the message says why. The function's own body is used instead."""


def compile_mirrored(activation: Activation, order: int, **parameters: float) -> Table:
    """The table of f^(order)(-x), which may jump at a kink: what the kernels compute is then f^(order), continuous from the left.

    Within a few ULP of a jump it may be the value of either side. Raises NotTabulated.
    """
    values = activation.values(parameters)
    if None in (activation.left, activation.right, activation.saturation):
        activation, values = activation.fix(**values), {}
    return _compile(activation, order, tuple(values.items()), mirrored=True)


def compile_table(activation: Activation, order: int = 0, **parameters: float) -> Table:
    """The table of f^(order) for these parameter values, its bound at most 1e-6·max(1, |x|).

    Raises NotTabulated with the reason: a tail that is no line or is reached too slowly, a jump, kinks that no equal segments
    can have as borders, or a function that polynomials of degree 5 on 32 segments do not reach.
    """
    values = activation.values(parameters)
    if None in (activation.left, activation.right, activation.saturation):
        activation, values = activation.fix(**values), {}  # then the tails are found from the formula
    return _compile(activation, order, tuple(values.items()))


@lru_cache(maxsize=512)
def _compile(
    activation: Activation, order: int, values: tuple[tuple[str, float], ...], *, mirrored: bool = False
) -> Table:
    subject = _Subject(activation, order, dict(values), mirrored=mirrored)
    wide, narrow = _best(subject, "wide"), _best(subject, "narrow")
    name = activation.name + "'" * order
    return Table(
        name=name,
        formula=subject.formula,
        bound=max(wide.bound, narrow.bound),
        left=subject.left,
        right=subject.right,
        wide=wide.grid,
        narrow=narrow.grid,
    )


def compile_affine(activation: Activation, order: int = 0) -> tuple[Table, Table]:
    """Tables of f^(order) at 0 and at 1 of its only parameter p, on the same segments, for a formula (1 - p)·u(x) + p·v(x).

    `at_0.combined(1 - p, at_1, p)` is then the table for any p, as training needs them: p changes at every step. Raises
    NotTabulated.
    """
    return _compile_affine(activation, order)


@lru_cache(maxsize=64)
def _compile_affine(activation: Activation, order: int) -> tuple[Table, Table]:
    if len(activation.parameters) != 1:
        raise NotTabulated(f"{activation.name} has not one parameter")
    parameter = activation.parameters[0]
    if sympy.simplify(sympy.diff(activation.formula, parameter.symbol, 2)) != 0:
        raise NotTabulated(f"{activation.name} is not of the first degree in {parameter.name}")
    model = compile_table(activation, order)
    ends = []
    for value in (0.0, 1.0):
        subject = _Subject(activation, order, {parameter.name: value})
        wide, narrow = (_refit(subject, grid) for grid in (model.wide, model.narrow))
        bound = max(_certify(subject, wide), _certify(subject, narrow))
        ends.append(Table(model.name, subject.formula, bound, subject.left, subject.right, wide, narrow))
    worst = max(table.bound for table in ends)
    if worst > DERIVATIVE_BOUND:
        raise NotTabulated(
            f"{activation.name}: for {parameter.name} = 0 or 1 its table is off by up to {worst:.1e}"
        )
    return ends[0], ends[1]


def _refit(subject: _Subject, grid: Grid) -> Grid:
    place = _Place(grid.step, grid.first, grid.lo, grid.hi)
    return _fit(subject, place, grid.segments, grid.degree, centred=grid.centred)


class _Subject:
    """The function (`mirrored`: of -x), its lines, and the points where it may bend, or jump when it is mirrored."""

    def __init__(
        self, activation: Activation, order: int, parameters: dict[str, float], *, mirrored: bool = False
    ) -> None:
        self.order, self.parameters, self.mirrored = order, parameters, mirrored
        self.label = activation.name + "'" * order
        self._numbers = {sympy.Symbol(n, real=True): v for n, v in parameters.items()}
        self._plan = plan(activation, ("x",) * order)
        self.left, self.right = self._lines(activation)
        self.kinks = _kinks(activation, parameters)
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
        self.left_error = np.abs(self.values - _line(self.left, self.scan)) / scale
        self.right_error = np.abs(self.values - _line(self.right, self.scan)) / scale

    def scale(self, x: Doubles) -> Doubles:
        """What an error at x is measured against: max(1, |x|), for derivatives 1."""
        return np.ones_like(x) if self.order else np.maximum(1.0, np.abs(x))

    def __call__(self, x: Doubles) -> Doubles:
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


def _line(line: tuple[float, float], x: Doubles) -> Doubles:
    return line[0] * x + line[1]


def _scan_points(kinks: tuple[float, ...]) -> Doubles:
    """Where tails are looked for: evenly near 0, by factors further out and towards 0 and every kink."""
    steps = np.geomspace(1e-9, 1.0, 1200)
    near = [k + s * steps for k in (0.0, *kinks) for s in (-1.0, 1.0)]
    far = np.geomspace(60.0, _FAR, 2000)
    return np.unique(
        np.concatenate([np.linspace(-60.0, 60.0, 24001), far, -far, *near, np.array([0.0, *kinks])])
    )


# ---- kinks


def _kinks(activation: Activation, parameters: dict[str, float]) -> tuple[float, ...]:
    """Where a branch of the formula ends: zeros of what Max, Min, Abs, sign and Piecewise decide by."""
    grid = np.linspace(-64.0, 64.0, 32769)
    found: set[float] = set()
    for expression in _deciders(activation.stable):
        f = compile_program(atoms.stabilise(expression))
        with np.errstate(all="ignore"):
            values = np.broadcast_to(
                np.asarray(f.run(NUMPY, {**parameters, "x": grid}), np.float64), grid.shape
            )
        found.update(grid[values == 0][:64].tolist() if np.count_nonzero(values == 0) < 64 else [])
        for i in np.flatnonzero(values[:-1] * values[1:] < 0)[:64]:
            found.add(_bisect(f, parameters, grid[i], grid[i + 1]))
    return tuple(sorted({float(Fraction(k).limit_denominator(10**6)) for k in found}))


def _deciders(expression: Any) -> Iterator[Any]:
    for part in sympy.preorder_traversal(expression):
        if isinstance(part, sympy.Max | sympy.Min | atoms.maximum | atoms.minimum):
            for a, b in itertools.combinations(part.args, 2):
                yield a - b
        elif isinstance(part, sympy.Abs | sympy.sign):
            yield part.args[0]
        elif isinstance(part, sympy.core.relational.Relational):
            yield part.lhs - part.rhs


def _bisect(f: Any, parameters: dict[str, float], a: float, b: float) -> float:
    def value(x: float) -> float:
        return float(f.run(NUMPY, {**parameters, "x": np.float64(x)}))

    start = value(a)
    for _ in range(60):
        middle = 0.5 * (a + b)
        if value(middle) * start > 0:
            a = middle
        else:
            b = middle
    return 0.5 * (a + b)


# ---- segments


@dataclass(frozen=True)
class _Candidate:
    grid: Grid
    bound: float


def _best(subject: _Subject, which: str) -> _Candidate:
    """The grid of the lowest degree within the bound; of several tails and knees, the one with the least error."""
    allowed = DERIVATIVE_BOUND if subject.order else BOUND
    best: _Candidate | None = None
    reasons: list[str] = []
    for degree in WIDE_DEGREES if which == "wide" else _NARROW_DEGREES:
        for kind in _KINDS if which == "wide" else _KINDS[-1:]:
            for candidate in _candidates(subject, which, degree, reasons, allowed, kind):
                if best is None or candidate.bound < best.bound:
                    best = candidate
            if best is not None and best.bound <= allowed:
                return best
    if best is None:
        raise NotTabulated(f"{subject.label}: {reasons[0] if reasons else _OUT_OF_REACH}")
    raise NotTabulated(
        f"{subject.label}: its best table is off by up to {best.bound:.1e}·max(1, |x|), more than {allowed:.0e}"
    )


def _candidates(
    subject: _Subject, which: str, degree: int, reasons: list[str], allowed: float, kind: str
) -> Iterator[_Candidate]:
    segments = WIDE_SEGMENTS if which == "wide" else NARROW_SEGMENTS
    for tail in _TAILS:
        lo, hi = subject.ends(tail)
        if max(abs(lo), abs(hi)) > 1000:
            reasons.append(
                f"it is still {tail:.0e} away from its straight tail at |x| = {max(abs(lo), abs(hi)):.0f}"
            )
            continue
        kinks = [k for k in subject.kinks if lo < k < hi]
        places = list(_places(lo, hi, kinks, segments, kind))
        if not places and kind == _KINDS[-1]:
            shown = ", ".join(f"{k:g}" for k in subject.kinks)
            reasons.append(f"no {segments} equal segments have its kinks at {shown} as borders")
        for rough, place in _promising(subject, places, segments, degree, which):
            if rough > 4 * allowed:
                break
            grid = _fit(subject, place, segments, degree, centred=which == "narrow")
            if not np.isfinite(grid.coefficients).all():
                reasons.append("its polynomials overflow")
                continue
            final = _by_convention(subject, grid)
            yield _Candidate(final, max(_certify(subject, grid), _at_jumps(subject, final)))


def _promising(
    subject: _Subject, places: list[_Place], segments: int, degree: int, which: str
) -> list[tuple[float, _Place]]:
    """The three places whose polynomials look best on a few points, with that error."""
    with np.errstate(all="ignore"):
        rough = [
            (_inside(subject, _fit(subject, place, segments, degree, centred=which == "narrow"), 12), place)
            for place in places
        ]
    return sorted((r for r in rough if np.isfinite(r[0])), key=lambda r: r[0])[:3]


@dataclass(frozen=True)
class _Place:
    """Equal segments from first·step on; the first and the last reach on to lo and hi."""

    step: float
    first: int
    lo: float
    hi: float

    def equal(self, segments: int) -> bool:
        """Whether the first and the last are no longer than the others."""
        ends = (self.first * self.step, (self.first + segments) * self.step)
        return (self.lo, self.hi) == tuple(float(np.float32(e)) for e in ends)


_KNEES = (0.0, 0.1, 0.18, 0.25, 0.32, 0.4)  # of the range, left to the first or the last segment


# The fastest first: steps that are powers of two, with all segments equal, or with longer ones at the ends; any other steps.
_KINDS = ("equal", "reaching", "general")


def _places(lo: float, hi: float, kinks: list[float], segments: int, kind: str) -> Iterator[_Place]:
    """Ways of that kind to cover [lo, hi] with every kink on a border."""
    lo, hi = float(np.float32(lo)), float(np.float32(hi))
    if kind == "general":
        yield from (
            _on_multiples(lo, hi, kinks, segments) if any(kinks) else _with_knees(lo, hi, kinks, segments)
        )
    else:
        yield from (p for p in _dyadic(lo, hi, kinks, segments) if p.equal(segments) == (kind == "equal"))


def _dyadic(lo: float, hi: float, kinks: list[float], segments: int) -> Iterator[_Place]:
    """Steps that are powers of two: from one that covers [lo, hi] down to those that leave half of it to the end segments."""
    most = 2.0 ** np.ceil(np.log2((hi - lo) / segments))
    for step in (most, most / 2) if not kinks else (most, 2 * most):
        if any(k % step for k in kinks):
            continue
        low, high = int(np.floor(lo / step)), int(np.ceil(hi / step))
        if high - low <= segments:
            firsts = {low, high - segments}
        elif kinks:
            continue
        else:
            firsts = set(range(low, high - segments + 1))
        for first in sorted(firsts):
            start, end = first * step, (first + segments) * step
            yield _Place(
                float(step), first, float(np.float32(min(lo, start))), float(np.float32(max(hi, end)))
            )


def _on_multiples(lo: float, hi: float, kinks: list[float], segments: int) -> Iterator[_Place]:
    """The smallest step of which every kink is a multiple."""
    fractions = [abs(Fraction(k).limit_denominator(4096)) for k in kinks if k != 0]
    common = fractions[0]
    for other in fractions[1:]:
        common = _common(common, other)
    for count in range(int(float(common) * segments / (hi - lo)), 0, -1):
        step = float(np.float32(common / count))
        first = int(np.floor(lo / step + 1e-9))
        if (first + segments) * step >= hi - 1e-9 * step:
            start, end = first * step, (first + segments) * step
            yield _Place(step, first, float(np.float32(start)), float(np.float32(end)))
            return


def _with_knees(lo: float, hi: float, kinks: list[float], segments: int) -> Iterator[_Place]:
    """Equal segments over the middle, the rest of [lo, hi] left to the first and the last one."""
    for left, right in itertools.product((0.0,) if kinks else _KNEES, repeat=2):
        start, end = lo + left * (hi - lo), hi - right * (hi - lo)
        if end - start < 0.3 * (hi - lo):
            continue
        for count in (segments, segments - 1):
            step = _short((end - start) / count)
            first = int(np.floor(start / step + 1e-9))
            reach = float(np.float32((first + segments) * step))
            if (first + segments) * step >= end - 1e-9 * step:
                low = min(lo, float(np.float32(first * step)))
                yield _Place(step, first, low, max(hi, reach) if right else reach)
                break


def _by_convention(subject: _Subject, grid: Grid) -> Grid:
    """For a function that jumps at an end: the end belongs to the side whose value the formula has there."""
    for name, line in (("lo", subject.left), ("hi", subject.right)) if subject.mirrored else ():
        end = getattr(grid, name)
        value = float(subject(np.array([end]))[0])
        beyond, within = (
            float(_line(line, np.array([end]))[0]),
            float(grid.read(np.array([end], np.float32))[0]),
        )
        outside = abs(value - beyond) < abs(value - within)
        if outside == (name == "lo"):
            moved = float(np.nextafter(np.float32(end), np.float32(np.inf)))
            grid = replace(grid, lo=moved) if name == "lo" else replace(grid, hi=moved)
    return grid


def _at_jumps(subject: _Subject, grid: Grid) -> float:
    """How far the kernel is from the formula exactly where a mirrored function may jump."""
    if not subject.mirrored:
        return 0.0
    kinks = np.array(subject.kinks)
    got = grid.read(kinks.astype(np.float32)).astype(np.float64)
    got = np.where(kinks < grid.ends[0], _line(subject.left, kinks), got)
    got = np.where(kinks > grid.ends[1], _line(subject.right, kinks), got)
    return float(np.abs(got - subject(kinks)).max(initial=0.0))


def _common(a: Fraction, b: Fraction) -> Fraction:
    while b:
        a, b = b, a % b
    return a


def _short(step: float) -> float:
    """The next number up with 12 bits, so that a small multiple of it is exact in float32."""
    unit = 2.0 ** (np.floor(np.log2(step)) - 11)
    return float(np.ceil(step / unit) * unit)


# ---- polynomials


def _borders(subject_step: float, first: int, lo: float, hi: float, segments: int) -> tuple[Doubles, Doubles]:
    """Left and right ends of the segments."""
    starts = (first + np.arange(segments)) * np.float64(np.float32(subject_step))
    ends = starts + np.float64(np.float32(subject_step))
    left, right = starts.copy(), ends.copy()
    left[0], right[-1] = lo, hi
    return left, right


def _fit(subject: _Subject, place: _Place, segments: int, degree: int, *, centred: bool) -> Grid:
    step, first = place.step, place.first
    count = 4 * (degree + 1)
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)  # Chebyshev's: nearly the smallest largest error
    left, right = _borders(step, first, place.lo, place.hi, segments)
    x = left[:, None] + 0.5 * (right - left)[:, None] * (1 + nodes)
    y = subject(x)
    origin = (first + np.arange(segments)) * step + (0.5 * step if centred else 0.0)
    powers = _to_powers(degree) @ y.T  # in u from -1 to 1 across the segment
    half = 0.5 * (right - left)
    columns = _substituted(powers / half ** np.arange(degree + 1)[:, None], origin - (left + half))
    if not centred and subject.left[0] == 0:  # what x clamped to the left end gives is then the tail itself
        t = place.lo - first * step
        missing = subject.left[1] - np.polynomial.polynomial.polyval(t, columns[:, 0])
        if abs(missing) < 1e-5:  # no jump
            columns[0, 0] += missing
    sizes = np.abs(columns) * (step ** np.arange(degree + 1))[:, None]
    columns[sizes < _NOTHING * sizes.max()] = 0.0  # so that relu(0) is 0 and not 1e-17
    rows = np.roll(columns, first % segments, axis=1).astype(np.float32)
    return Grid(step, first, rows, centred, place.lo, place.hi)


@lru_cache(maxsize=32)
def _to_powers(degree: int) -> Doubles:
    """Matrix from values at Chebyshev's nodes to the power coefficients of the polynomial that fits them best."""
    count = 4 * (degree + 1)
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    fit = np.linalg.pinv(np.polynomial.chebyshev.chebvander(nodes, degree))
    powers = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        column = np.polynomial.chebyshev.cheb2poly(np.eye(degree + 1)[k])
        powers[: len(column), k] = column
    result: Doubles = powers @ fit
    return result


def _substituted(columns: Doubles, shift: Doubles) -> Doubles:
    """The polynomials p(t + shift), column by column."""
    result = columns.copy()
    count = len(columns)
    for low in range(count - 1):  # Horner's scheme, again and again
        for k in range(count - 2, low - 1, -1):
            result[k] += shift * result[k + 1]
    return result


# ---- the bound


def _certify(subject: _Subject, grid: Grid) -> float:
    return max(_inside(subject, grid), _beyond(subject, grid))


def _inside(subject: _Subject, grid: Grid, points: int = _POINTS) -> float:
    """The largest |kernel - f|/max(1, |x|) on the segments, each reaching a little over its borders."""
    step = np.float64(np.float32(grid.step))
    numbers = grid.first + np.arange(grid.segments)
    left, right = _borders(grid.step, grid.first, grid.lo, grid.hi, grid.segments)
    # A kernel finds the segment from x·(1/step), rounded: near a border it may take the neighbour.
    reach = 4 * _U * (np.abs(numbers * step) + 2 * step)
    share = np.linspace(0.0, 1.0, points + 1)
    if subject.mirrored:  # not at the jumps themselves
        reach, share = np.zeros_like(reach), np.clip(share, 1e-6, 1.0 - 1e-6)
    x = np.clip((left - reach)[:, None] + share * (right - left + 2 * reach)[:, None], grid.lo, grid.hi)
    t = x - (numbers * step)[:, None] - (0.5 * step if grid.centred else 0.0)
    columns = grid.coefficients[:, numbers % grid.segments].astype(np.float64)
    value, rounding = _horner(columns, t)
    # t itself is rounded, unless a multiple of the step is exact.
    shifted = 0.0 if grid.dyadic else np.abs(_slope(columns, t)) * _U * (np.abs(x) + 2 * np.abs(t))
    scale = subject.scale(x)
    error = np.abs(value - subject(x)) / scale
    between = 0.25 * np.abs(np.diff(error, 2, axis=1)).max(initial=0.0) if points == _POINTS else 0.0
    return float(np.max(error + (rounding + shifted) / scale) + between)  # (spacing²/8)·max|e''|, doubled


def _horner(columns: Doubles, t: Doubles) -> tuple[Doubles, Doubles]:
    """The polynomial's value, and how far float32 with or without fused multiply-add may be from it."""
    value = np.broadcast_to(columns[-1][:, None], t.shape).copy()
    bound = np.zeros_like(t)
    for row in columns[-2::-1]:
        product = value * t
        value = product + row[:, None]
        bound = bound * np.abs(t) + _U * np.abs(value)
    return value, bound


def _slope(columns: Doubles, t: Doubles) -> Doubles:
    powers = np.arange(1, len(columns))[:, None] * columns[1:]
    return _horner(powers, t)[0]


def _beyond(subject: _Subject, grid: Grid) -> float:
    """The same where the lines hold, with the rounding of slope·x + offset."""
    near = grid.step * np.geomspace(1e-6, 32.0, 500)
    worst = 0.0
    for sign, end, line in ((-1.0, grid.lo, subject.left), (1.0, grid.hi, subject.right)):
        far = subject.scan[sign * subject.scan > sign * end + 32.0 * grid.step]
        x = np.concatenate([[] if subject.mirrored else [end], end + sign * near, far])
        error = np.abs(subject(x) - _line(line, x)) / subject.scale(x)
        rounding = _U * (
            2 * abs(line[0]) + abs(line[1])
        )  # of the product, where it is not fused, and of the sum
        if (
            sign > 0 and line == (1.0, 0.0) and not grid.centred
        ):  # what x has over the end is added to the last value
            last = grid.ends[1]
            off = abs(float(grid.read(np.array([last]))[0]) - float(last))
            rounding = 3 * _U + off / max(1.0, abs(float(last)))  # of the difference and of two sums
        worst = max(worst, float(error.max()) + rounding)
    return worst


assert max(_NARROW_DEGREES) <= NARROW_DEGREE  # noqa: S101  the kernels have room for that many


def stock_book() -> str:
    """JSON of the catalogue's tables at their default parameters, for models that carry none (`make stock-tables`)."""
    book: dict[str, dict[str, Any]] = {}
    for definition in catalogue().values():
        table = compile_table(definition)
        book[definition.operator] = {table_key(definition.values()): table.to_record()}
    return json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


__all__ = ["BOUND", "NotTabulated", "compile_affine", "compile_table", "stock_book"]
