"""Which of several sessions of one model is the fastest here, and whether that is sure enough to use it."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_BUDGET, _LEAST_ROUNDS, _MOST_ROUNDS = 1.2, 9, 60  # seconds and rounds of timing
_QUANTILE = 1.96  # of the normal distribution: the upper limit is wrong once in 40
# Two sessions of one file differ by as much from one process to the next: a gain that is less may be gone tomorrow.
_SPREAD = 0.015


@dataclass(frozen=True)
class Gain:
    """Time of a candidate relative to the model as it is: median of the rounds' ratios and its upper confidence limit."""

    ratio: float
    upper: float

    @property
    def sure(self) -> bool:
        """Whether it stays a gain when sessions differ as much as they usually do."""
        return self.upper < 1 - _SPREAD


def times_in_turn(sessions: Mapping[str, Any], feed: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each in every round; each round runs all of them, in random order."""
    calls: dict[str, Callable[[], object]] = {
        name: functools.partial(session.run, None, feed) for name, session in sessions.items()
    }
    for call in calls.values():
        call()
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), np.random.default_rng(0).shuffle
    end = time.perf_counter() + _BUDGET
    for done in range(_MOST_ROUNDS):
        if done >= _LEAST_ROUNDS and time.perf_counter() > end:
            break
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - start)
    return times


def gain(own: Sequence[float], stock: Sequence[float]) -> Gain:
    """Of the times of the same rounds; the limit is an order statistic of the ratios, whatever their distribution."""
    ratios = sorted(a / b for a, b in zip(own, stock, strict=True))
    count = len(ratios)
    rank = min(count, math.ceil(count / 2 + _QUANTILE * math.sqrt(count) / 2))
    return Gain(statistics.median(ratios), ratios[rank - 1])
