"""Rounds and warm-up on a fake clock, and the numbers made of samples."""

import gc
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from edgeacts.latency.summary import median_ns, quantiles_ns
from edgeacts.latency.timing import gc_paused, one_round, warm_up

MS = 10**6


class Machine:
    """A clock in nanoseconds that only the calls move forward."""

    def __init__(self) -> None:
        self.now = 10**15
        self.called: list[str] = []

    def clock(self) -> int:
        return self.now

    def call(self, name: str, *costs_ns: int) -> Callable[[], None]:
        """A call that takes each cost in turn, the last for ever."""
        left = list(costs_ns)

        def run() -> None:
            self.called.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_each_round_runs_every_call_once_in_a_new_order() -> None:
    machine, rng, samples = Machine(), random.Random(0), [[], [], [], []]
    calls = [machine.call(name, 10) for name in "abcd"]
    for _ in range(200):
        one_round(calls, rng, samples, clock=machine.clock)
    rounds = [tuple(machine.called[start : start + 4]) for start in range(0, 800, 4)]
    assert all(sorted(one) == list("abcd") for one in rounds)
    assert len(set(rounds)) == 24  # every order of four occurs
    assert min(Counter(one[0] for one in rounds).values()) > 30
    assert samples == [[10] * 200] * 4


def test_samples_and_starts_are_the_calls_own() -> None:
    machine, samples, starts = Machine(), [[], []], [[], []]
    begin, calls = machine.now, [machine.call("a", 5, 6, 7), machine.call("b", 500)]
    for _ in range(3):
        one_round(calls, random.Random(0), samples, starts, clock=machine.clock)
    assert samples == [[5, 6, 7], [500] * 3]
    spans = sorted(
        (start - begin, start - begin + sample)
        for taken, began in zip(samples, starts, strict=True)
        for sample, start in zip(taken, began, strict=True)
    )
    assert spans[0][0] == 0
    assert all(end == following for (_, end), (following, _) in pairwise(spans))


def test_no_garbage_collection_inside_and_as_before_afterwards() -> None:
    assert gc.isenabled()
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="broken"), gc_paused():
        raise RuntimeError("broken")
    assert gc.isenabled()
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_steady_calls_are_warm_after_two_windows() -> None:
    machine = Machine()
    warm = warm_up(
        [machine.call("a", 10 * MS), machine.call("b", 3 * MS)], random.Random(0), clock=machine.clock
    )
    assert (warm.rounds, warm.round_ns) == (10, 13 * MS)


def test_short_calls_are_run_for_a_while() -> None:
    machine = Machine()
    warm = warm_up([machine.call("a", MS // 10)], random.Random(0), clock=machine.clock)
    assert (warm.rounds, warm.round_ns) == (400, MS // 10)


def test_warm_up_waits_for_the_slowest_to_settle() -> None:
    machine = Machine()
    settling = [int(100 * MS * 0.8**k) + 10 * MS for k in range(30)]
    calls = [machine.call("steady", 10 * MS), machine.call("settling", *settling, 10 * MS)]
    assert 15 < warm_up(calls, random.Random(0), clock=machine.clock).rounds < 50


def test_what_was_stable_once_is_not_asked_again() -> None:
    machine = Machine()
    early = [10 * MS] * 10 + [10 * MS, 40 * MS] * 100  # settles, then is disturbed for ever
    late = [int(100 * MS * 0.5 ** (k // 5)) for k in range(15)] + [12 * MS]
    calls = [machine.call("early", *early), machine.call("late", *late)]
    assert warm_up(calls, random.Random(0), clock=machine.clock).rounds == 25


def test_warm_up_is_bounded_in_windows() -> None:
    machine = Machine()
    growing = [int(5 * MS * 1.03**k) for k in range(300)]
    assert warm_up([machine.call("a", *growing)], random.Random(0), clock=machine.clock).rounds < 250
    assert machine.now - 10**15 < 40 * 10**9


@pytest.mark.parametrize(
    ("cost_ns", "limit_ns", "rounds"), [(100 * MS, 250 * MS, 3), (100 * MS, 0, 1), (3 * 10**9, 10**12, 7)]
)
def test_warm_up_is_bounded_in_time(cost_ns: int, limit_ns: int, rounds: int) -> None:
    machine = Machine()
    warm = warm_up([machine.call("a", cost_ns)], random.Random(0), limit_ns=limit_ns, clock=machine.clock)
    assert (warm.rounds, warm.round_ns) == (rounds, cost_ns)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([7], {"p50": 7}),
        ([4, 1, 3, 2], {"p50": 2.5}),
        (list(range(1, 100)), {"p50": 50}),
        (list(range(100, 0, -1)), {"p50": 50.5, "p90": 90}),
        ([1] * 90 + [9] * 10, {"p50": 1, "p90": 1}),
        ([1] * 89 + [9] * 11, {"p50": 1, "p90": 9}),
        (list(range(1, 1000)), {"p50": 500, "p90": 900}),
        (list(range(1, 1001)), {"p50": 500.5, "p90": 900, "p99": 990}),
    ],
)
def test_a_quantile_needs_ten_samples_beyond_it(samples: list[int], expected: dict[str, float]) -> None:
    assert quantiles_ns(samples) == expected
    assert median_ns(samples) == expected["p50"]
