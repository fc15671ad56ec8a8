"""Calls timed in turn, in a new random order each round, so that drift of the machine meets all alike."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Call = Callable[[], object]
Clock = Callable[[], int]

WINDOW_ROUNDS = 5  # rounds whose median must agree with the median of the window before
_WINDOW_NS = (
    20_000_000  # and they take this long at least: a clock frequency needs time, not rounds, to settle
)
_STABLE = 0.05  # relative difference of two windows' medians that counts as warm
_MAX_WINDOWS = 50
_MAX_WARMUP_NS = 20 * 10**9


@dataclass(frozen=True)
class Warm:
    """Rounds of warm-up, and what a round of the last window took: the sum of its calls' medians."""

    rounds: int
    round_ns: float


def warm_up(
    calls: Sequence[Call],
    rng: random.Random,
    *,
    limit_ns: int = _MAX_WARMUP_NS,
    clock: Clock = time.perf_counter_ns,
) -> Warm:
    """Rounds run until each call's median has moved by at most 5 % from one window to the next.

    A window is five rounds, more where they take less than 20 ms. Ends after `limit_ns` (at most 20 s) or 50 windows, after
    one round at least. A call that was stable once stays counted as warm: all at the same moment is rare on a busy machine.
    """
    end, rounds = clock() + min(limit_ns, _MAX_WARMUP_NS), 0
    before: list[float] | None = None
    warm = [False] * len(calls)
    for _ in range(_MAX_WINDOWS):
        window: list[list[int]] = [[] for _ in calls]
        begin = clock()
        while len(window[0]) < WINDOW_ROUNDS or clock() - begin < _WINDOW_NS:
            one_round(calls, rng, window, clock=clock)
            rounds += 1
            if clock() >= end:
                break
        now = [statistics.median(taken) for taken in window]
        if before is not None:
            warm = [was or abs(a - b) <= _STABLE * b for was, a, b in zip(warm, now, before, strict=True)]
        if all(warm) or clock() >= end:
            break
        before = now
    return Warm(rounds, sum(now))


def one_round(
    calls: Sequence[Call],
    rng: random.Random,
    samples: list[list[int]],
    starts: list[list[int]] | None = None,
    *,
    clock: Clock = time.perf_counter_ns,
) -> None:
    """Each call once, in a random order; its nanoseconds go to `samples`, its start to `starts`."""
    for index in rng.sample(range(len(calls)), len(calls)):
        call = calls[index]
        start = clock()
        call()
        end = clock()
        samples[index].append(end - start)
        if starts is not None:
            starts[index].append(start)


@contextmanager
def gc_paused() -> Iterator[None]:
    """No garbage collection inside a timed call; collected before, and switched on again if it was on."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
