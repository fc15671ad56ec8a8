"""Bootstrap intervals over windows of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeacts.latency.intervals import CONFIDENCE

_RESAMPLES = 2000


def drift(windows: Sequence[float], seed: int) -> tuple[float, float, float]:
    """Median of the last third of the windows over that of the first third, with its 95 % bootstrap interval.

    Neighbouring windows are alike, so stretches of about n^(1/3) of them are resampled, within each third.
    """
    values = np.asarray(windows, np.float64)
    third = len(values) // 3
    first, last = values[:third], values[-third:]
    generator = np.random.default_rng(seed)
    ratios = np.median(_resampled(last, generator), axis=1) / np.median(_resampled(first, generator), axis=1)
    low, high = _interval(ratios)
    return float(np.median(last) / np.median(first)), low, high


def mean_interval(windows: Sequence[float], seed: int) -> tuple[float, float, float]:
    """Mean of the windows with its 95 % bootstrap interval, stretches of neighbours resampled together."""
    values = np.asarray(windows, np.float64)
    low, high = _interval(np.mean(_resampled(values, np.random.default_rng(seed)), axis=1))
    return float(np.mean(values)), low, high


def _resampled(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[resamples, n]: stretches of neighbours, drawn with replacement; the end goes on at the beginning."""
    count = len(values)
    length = max(1, round(count ** (1 / 3)))
    starts = generator.integers(0, count, size=(_RESAMPLES, math.ceil(count / length)))
    picked = (starts[:, :, None] + np.arange(length)) % count
    resampled: np.ndarray = values[picked.reshape(_RESAMPLES, -1)[:, :count]]
    return resampled


def _interval(values: np.ndarray) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
