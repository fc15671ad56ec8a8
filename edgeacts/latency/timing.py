"""Calls timed in turn, in a new random order each round, so that drift of the machine meets all alike."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Call = Callable[[], object]
Clock = Callable[[], int]

MIN_ROUNDS = 5
_WINDOW = 5  # rounds whose median must agree with the median of as many before
_STABLE = 0.05  # relative difference of two windows' medians that counts as warm
_MAX_WARMUP_ROUNDS = 50
_MAX_WARMUP_NS = 20 * 10**9


def warm_up(
    calls: Sequence[Call],
    rng: random.Random,
    *,
    budget_ns: int | None = None,
    clock: Clock = time.perf_counter_ns,
) -> int:
    """Rounds run until no call's median moves by more than 5 % from one 5 rounds to the next; at most 50.

    Also stops once `budget_ns`, at most 20 s, is used up, after at least one round. Returns the rounds.
    """
    samples: list[list[int]] = [[] for _ in calls]
    allowed_ns = _MAX_WARMUP_NS if budget_ns is None else min(budget_ns, _MAX_WARMUP_NS)
    start = clock()
    with _gc_paused():
        for done in range(1, _MAX_WARMUP_ROUNDS + 1):
            _one_round(calls, samples, rng, clock)
            used_up = clock() - start >= allowed_ns
            if used_up or all(_is_stable(taken) for taken in samples):
                return done
    return _MAX_WARMUP_ROUNDS


def time_interleaved(
    calls: Sequence[Call],
    rounds: int,
    rng: random.Random,
    *,
    budget_ns: int | None = None,
    clock: Clock = time.perf_counter_ns,
    after_round: Callable[[], object] = lambda: None,
) -> list[list[int]]:
    """Nanoseconds of each call in each round, [calls][rounds], in the order taken.

    Stops early, with the same number of samples for each call, when `budget_ns` is used up, but not before 5
    rounds.
    """
    samples: list[list[int]] = [[] for _ in calls]
    start = clock()
    with _gc_paused():
        for done in range(1, rounds + 1):
            _one_round(calls, samples, rng, clock)
            after_round()
            if budget_ns is not None and done >= MIN_ROUNDS and clock() - start >= budget_ns:
                break
    return samples


def _one_round(calls: Sequence[Call], samples: list[list[int]], rng: random.Random, clock: Clock) -> None:
    for index in rng.sample(range(len(calls)), len(calls)):
        call = calls[index]
        start = clock()
        call()
        samples[index].append(clock() - start)


def _is_stable(taken: list[int]) -> bool:
    if len(taken) < 2 * _WINDOW:
        return False
    recent, before = statistics.median(taken[-_WINDOW:]), statistics.median(taken[-2 * _WINDOW : -_WINDOW])
    return abs(recent - before) <= _STABLE * before


@contextmanager
def _gc_paused() -> Iterator[None]:
    """No garbage collection inside a timed call; collected before, and switched on again if it was on."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
