"""Where the segments of a grid may lie: over the range that matters, with every kink on a border."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Place:
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
KINDS = ("equal", "reaching", "general")


def possible_places(lo: float, hi: float, kinks: list[float], segments: int, kind: str) -> Iterator[Place]:
    """Ways of that kind to cover [lo, hi] with every kink on a border."""
    lo, hi = float(np.float32(lo)), float(np.float32(hi))
    if kind == "general":
        yield from (
            _on_multiples(lo, hi, kinks, segments) if any(kinks) else _with_knees(lo, hi, kinks, segments)
        )
    else:
        yield from (p for p in _dyadic(lo, hi, kinks, segments) if p.equal(segments) == (kind == "equal"))


def _dyadic(lo: float, hi: float, kinks: list[float], segments: int) -> Iterator[Place]:
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
            yield Place(
                float(step), first, float(np.float32(min(lo, start))), float(np.float32(max(hi, end)))
            )


def _on_multiples(lo: float, hi: float, kinks: list[float], segments: int) -> Iterator[Place]:
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
            yield Place(step, first, float(np.float32(start)), float(np.float32(end)))
            return


def _with_knees(lo: float, hi: float, kinks: list[float], segments: int) -> Iterator[Place]:
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
                yield Place(step, first, low, max(hi, reach) if right else reach)
                break


def _common(a: Fraction, b: Fraction) -> Fraction:
    while b:
        a, b = b, a % b
    return a


def _short(step: float) -> float:
    """The next number up with 12 bits, so that a small multiple of it is exact in float32."""
    unit = 2.0 ** (np.floor(np.log2(step)) - 11)
    return float(np.ceil(step / unit) * unit)
