"""How far what a kernel computes in float32 can be from the function, for a given grid."""

from __future__ import annotations

import numpy as np

from edgeacts.piecewise import Grid
from edgeacts.tables.fitting import borders
from edgeacts.tables.subject import Doubles, Subject, line_at

ULP_HALF = 2.0**-24  # half a unit in the last place of float32, relative
_POINTS = 256  # of a segment, where the polynomials are compared


def certify(subject: Subject, grid: Grid) -> float:
    """A bound on |kernel - f|/max(1, |x|) for every x, for a derivative on |kernel - f|."""
    return max(error_inside(subject, grid), _beyond(subject, grid))


def error_inside(subject: Subject, grid: Grid, points: int = _POINTS) -> float:
    """The largest |kernel - f|/max(1, |x|) on the segments, each reaching a little over its borders."""
    step = np.float64(np.float32(grid.step))
    numbers = grid.first + np.arange(grid.segments)
    left, right = borders(grid.step, grid.first, grid.lo, grid.hi, grid.segments)
    # A kernel finds the segment from x·(1/step), rounded: near a border it may take the neighbour.
    reach = 4 * ULP_HALF * (np.abs(numbers * step) + 2 * step)
    share = np.linspace(0.0, 1.0, points + 1)
    if subject.mirrored:  # not at the jumps themselves
        reach, share = np.zeros_like(reach), np.clip(share, 1e-6, 1.0 - 1e-6)
    x = np.clip((left - reach)[:, None] + share * (right - left + 2 * reach)[:, None], grid.lo, grid.hi)
    t = x - (numbers * step)[:, None] - (0.5 * step if grid.centred else 0.0)
    columns = grid.coefficients[:, numbers % grid.segments].astype(np.float64)
    value, rounding = horner_with_rounding(columns, t)
    # t itself is rounded, unless a multiple of the step is exact.
    shifted = 0.0 if grid.dyadic else np.abs(_slope(columns, t)) * ULP_HALF * (np.abs(x) + 2 * np.abs(t))
    scale = subject.scale(x)
    error = np.abs(value - subject(x)) / scale
    between = 0.25 * np.abs(np.diff(error, 2, axis=1)).max(initial=0.0) if points == _POINTS else 0.0
    return float(np.max(error + (rounding + shifted) / scale) + between)  # (spacing²/8)·max|e''|, doubled


def horner_with_rounding(columns: Doubles, t: Doubles) -> tuple[Doubles, Doubles]:
    """The polynomial's value, and how far float32 with or without fused multiply-add may be from it.

    `columns` are coefficients [degree + 1, segments] for t [segments, points], or [degree + 1] for any t.
    """
    rows = columns[..., None] if columns.ndim > 1 else columns
    value = np.broadcast_to(rows[-1], t.shape).copy()
    bound = np.zeros_like(t)
    for row in rows[-2::-1]:
        product = value * t
        value = product + row
        bound = bound * np.abs(t) + half_ulp(value)
    return value, bound


def half_ulp(value: Doubles) -> Doubles:
    """What rounding to float32 may change in numbers about as large: half of the spacing there, a little over."""
    return 0.5000001 * np.spacing(np.abs(value * (1.0 + 2.0**-20)).astype(np.float32)).astype(np.float64)


def _slope(columns: Doubles, t: Doubles) -> Doubles:
    powers = np.arange(1, len(columns))[:, None] * columns[1:]
    return horner_with_rounding(powers, t)[0]


def _beyond(subject: Subject, grid: Grid) -> float:
    """The same where the lines hold, with the rounding of slope·x + offset."""
    near = grid.step * np.geomspace(1e-6, 32.0, 500)
    worst = 0.0
    for sign, end, line in ((-1.0, grid.lo, subject.left), (1.0, grid.hi, subject.right)):
        far = subject.scan[sign * subject.scan > sign * end + 32.0 * grid.step]
        x = np.concatenate([[] if subject.mirrored else [end], end + sign * near, far])
        error = np.abs(subject(x) - line_at(line, x)) / subject.scale(x)
        rounding = ULP_HALF * (
            2 * abs(line[0]) + abs(line[1])
        )  # of the product, where it is not fused, and of the sum
        if (
            sign > 0 and line == (1.0, 0.0) and not grid.centred
        ):  # what x has over the end is added to the last value
            last = grid.ends[1]
            off = abs(float(grid.read(np.array([last]))[0]) - float(last))
            rounding = 3 * ULP_HALF + off / max(1.0, abs(float(last)))  # of the difference and of two sums
        worst = max(worst, float(error.max()) + rounding)
    return worst


def error_at_jumps(subject: Subject, grid: Grid) -> float:
    """How far the kernel is from the formula exactly where a mirrored function may jump."""
    if not subject.mirrored:
        return 0.0
    kinks = np.array(subject.kinks)
    got = grid.read(kinks.astype(np.float32)).astype(np.float64)
    got = np.where(kinks < grid.ends[0], line_at(subject.left, kinks), got)
    got = np.where(kinks > grid.ends[1], line_at(subject.right, kinks), got)
    return float(np.abs(got - subject(kinks)).max(initial=0.0))
