"""Which of several sessions of one model is the fastest here, and whether that is sure enough to use it."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeacts.interleaving import times_of

_BUDGET, _LEAST_ROUNDS, _MOST_ROUNDS = 1.2, 9, 60  # seconds and rounds of timing
_WARM_UP = 2
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
    return times_of(calls, least=_LEAST_ROUNDS, most=_MOST_ROUNDS, budget_s=_BUDGET, warm_up=_WARM_UP)


def gain(own: Sequence[float], stock: Sequence[float]) -> Gain:
    """Of the times of the same rounds; the limit is an order statistic of the ratios, whatever their distribution."""
    ratios = sorted(a / b for a, b in zip(own, stock, strict=True))
    count = len(ratios)
    rank = min(count, math.ceil(count / 2 + _QUANTILE * math.sqrt(count) / 2))
    return Gain(statistics.median(ratios), ratios[rank - 1])
