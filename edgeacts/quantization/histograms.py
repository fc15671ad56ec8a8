"""A histogram that grows: equal bins whose width is a power of two and doubles when the values outgrow them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096
_SMALLEST = 2.0**-60


@dataclass(frozen=True, eq=False)
class Histogram:
    """`counts` [n] of values in bins of `width`, the first of which begins at `first`·width; `lowest`, `highest` are exact."""

    counts: NDArray[np.int64]
    first: int
    width: float
    lowest: float
    highest: float

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin, within the values that occurred."""
        middles = (np.arange(len(self.counts)) + (self.first + 0.5)) * self.width
        return np.clip(middles, self.lowest, self.highest)

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of the values in each bin."""
        return self.counts / max(1, int(self.counts.sum()))


class Growing:
    """Collects a Histogram: extremes of all values, counts of those that are sampled."""

    def __init__(self, bins: int = BINS) -> None:
        self._bins = bins
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._first = 0
        self._width = 0.0
        self._lowest, self._highest = math.inf, -math.inf

    def add(self, lowest: float, highest: float, sample: NDArray[np.float32]) -> None:
        """Values of which `lowest` and `highest` are the extremes and `sample` some."""
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        if not self._width:
            size = max(highest - lowest, abs(highest) * 1e-6, _SMALLEST) / self._bins
            self._width = 2.0 ** math.ceil(math.log2(size))
        while self._number(self._highest) - self._number(self._lowest) >= self._bins:
            self._double()
        self._cover(self._number(self._lowest), self._number(self._highest))
        numbers = np.floor(sample * np.float32(1.0 / self._width)).astype(np.int64) - self._first
        self._counts += np.bincount(np.clip(numbers, 0, len(self._counts) - 1), minlength=len(self._counts))

    def histogram(self) -> Histogram:
        """What was collected."""
        return Histogram(self._counts.copy(), self._first, self._width, self._lowest, self._highest)

    def _number(self, value: float) -> int:
        return math.floor(value / self._width)

    def _double(self) -> None:
        """Two neighbours become one; bins are counted from 0, so that pairs are the same whatever came first."""
        before, after = self._first % 2, 0
        if (before + len(self._counts)) % 2:
            after = 1
        padded = np.pad(self._counts, (before, after))
        self._counts = padded.reshape(-1, 2).sum(axis=1)
        self._first, self._width = self._first // 2, self._width * 2.0

    def _cover(self, first: int, last: int) -> None:
        if not len(self._counts):
            self._first, self._counts = first, np.zeros(last - first + 1, np.int64)
            return
        before = max(0, self._first - first)
        after = max(0, last - (self._first + len(self._counts) - 1))
        if before or after:
            self._counts = np.pad(self._counts, (before, after))
            self._first -= before
