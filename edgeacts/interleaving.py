"""Calls that are timed in turn: what happens to the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def times_of(
    calls: Mapping[str, Callable[[], object]],
    *,
    least: int,
    most: int | None = None,
    budget_s: float = 0.0,
    warm_up: int = 3,
    each_round: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each call in every round; a round makes all of them, in seeded random order.

    `least` rounds, then further ones until `budget_s` seconds are over or `most` are done; `warm_up` rounds before are not kept.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), np.random.default_rng(0).shuffle
    end, done = time.perf_counter() + budget_s, -warm_up
    while done < least or ((most is None or done < most) and time.perf_counter() < end):
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            calls[name]()
            if done >= 0:
                times[name].append(time.perf_counter() - start)
        done += 1
        if each_round is not None:
            each_round()
    return times
