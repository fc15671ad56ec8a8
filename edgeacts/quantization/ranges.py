"""Histogram of a tensor -> the range that 256 steps are spread over, by several methods.

A tensor that only an activation reads is judged behind it (`through`): where the activation is flat, nothing is lost by
cutting, and the steps go to the part that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeacts.quantization.histograms import Histogram

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]
Range = tuple[float, float]
LEVELS = 256
_FACTORS = np.concatenate([np.linspace(1.0, 0.5, 51), np.linspace(0.48, 0.1, 20)])


def minmax(histogram: Histogram, through: Function | None = None) -> Range:
    """From the lowest value to the highest."""
    return histogram.lowest, histogram.highest


def percentile(share: float) -> Callable[[Histogram, Function | None], Range]:
    """The range that holds the given share of the values, with as many left out on either side."""

    def method(histogram: Histogram, through: Function | None = None) -> Range:
        total = np.cumsum(histogram.counts)
        tail = (1.0 - share) / 2 * total[-1]
        low = int(np.searchsorted(total, tail, side="right"))
        high = int(np.searchsorted(total, total[-1] - tail, side="left"))
        edges = (np.array([low, high + 1]) + histogram.first) * histogram.width
        return max(float(edges[0]), histogram.lowest), min(float(edges[1]), histogram.highest)

    return method


def entropy(histogram: Histogram, through: Function | None = None) -> Range:
    """The range cut on both sides alike whose 256 steps keep the distribution best (Kullback-Leibler divergence)."""
    shares, centres = histogram.shares, histogram.centres
    best, chosen = np.inf, minmax(histogram)
    for factor in _FACTORS:
        low, high = histogram.lowest * factor, histogram.highest * factor
        found = divergence(shares, centres, low, high)
        if found < best:
            best, chosen = found, (low, high)
    return chosen


def divergence(shares: Floats, centres: Floats, low: float, high: float) -> float:
    """KL(P || Q): P the values cut to the range, Q the same when each step is one value spread over its occupied bins."""
    inside = (centres >= low) & (centres <= high)
    if not inside.any() or high <= low:
        return np.inf
    p = np.where(inside, shares, 0.0)
    first, last = np.flatnonzero(inside)[[0, -1]]
    p[first] += shares[:first].sum()
    p[last] += shares[last + 1 :].sum()
    kept = np.where(inside, shares, 0.0)
    steps = np.clip(((centres - low) / (high - low) * LEVELS).astype(np.int64), 0, LEVELS - 1)
    occupied = (p > 0) & inside
    mass = np.bincount(steps, weights=kept, minlength=LEVELS)
    count = np.bincount(steps, weights=occupied.astype(np.float64), minlength=LEVELS)
    q = np.where(occupied, mass[steps] / np.maximum(count[steps], 1.0), 0.0)
    total = q.sum()
    if total <= 0:
        return np.inf
    q = np.maximum(q / total, 1e-12)
    return float(np.sum(p[occupied] * np.log(p[occupied] / q[occupied])))


def mse(histogram: Histogram, through: Function | None = None) -> Range:
    """The range with the smallest mean squared error, behind `through` where it is given; ends are searched in turn."""
    shares, centres = histogram.shares, histogram.centres
    occupied = shares > 0
    shares, centres = shares[occupied], centres[occupied]
    wanted = centres if through is None else through(centres)

    def error(low: float, high: float) -> float:
        given = rounded(centres, low, high)
        return float(np.sum(shares * np.square((given if through is None else through(given)) - wanted)))

    low, high = minmax(histogram)
    for _ in range(2):
        low = min((histogram.lowest * f for f in _FACTORS), key=lambda x: error(x, high))
        high = min((histogram.highest * f for f in _FACTORS), key=lambda x: error(low, x))
    return low, high


def rounded(values: Floats, low: float, high: float) -> Floats:
    """The values as 256 steps over [low, high] give them back; 0 is one of them."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / (LEVELS - 1)
    if not step > 0:
        return np.zeros_like(values)
    zero = np.rint(-low / step)
    result: Floats = (np.clip(np.rint(values / step) + zero, 0, LEVELS - 1) - zero) * step
    return result


METHODS: Mapping[str, Callable[[Histogram, Function | None], Range]] = MappingProxyType(
    {
        "mse": mse,
        "minmax": minmax,
        "percentile-99.999": percentile(0.99999),
        "percentile-99.99": percentile(0.9999),
        "percentile-99.9": percentile(0.999),
        "entropy": entropy,
    }
)
