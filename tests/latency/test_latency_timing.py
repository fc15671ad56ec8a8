"""Rounds on a fake clock: what is called when, what is counted, when it ends."""

import gc
import random
from collections import Counter
from collections.abc import Callable

import pytest

from edgeacts.latency.summary import median_ns, p95_ns
from edgeacts.latency.timing import MIN_ROUNDS, time_interleaved, warm_up


class Machine:
    """A clock in nanoseconds that only the calls, and a little its own reading, move forward."""

    def __init__(self, reading_ns: int = 0) -> None:
        self.now = 10**15
        self.reading_ns = reading_ns
        self.called: list[str] = []

    def clock(self) -> int:
        self.now += self.reading_ns
        return self.now

    def call(self, name: str, *costs_ns: int) -> Callable[[], None]:
        """A call that takes each cost in turn, the last for ever."""
        left = list(costs_ns)

        def run() -> None:
            self.called.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def rounds_of(called: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(called[start : start + size]) for start in range(0, len(called), size)]


def test_each_round_runs_every_call_once_in_a_new_order() -> None:
    machine = Machine()
    calls = [machine.call(name, 10) for name in "abcd"]
    time_interleaved(calls, 200, random.Random(0), clock=machine.clock)
    rounds = rounds_of(machine.called, 4)
    assert len(rounds) == 200
    assert all(sorted(one) == list("abcd") for one in rounds)
    assert len(set(rounds)) == 24  # every order of four occurs
    firsts = Counter(one[0] for one in rounds)
    assert min(firsts.values()) > 30
    assert max(Counter(rounds).values()) < 30


def test_order_follows_the_seed() -> None:
    orders = []
    for seed in (1, 1, 2):
        machine = Machine()
        time_interleaved(
            [machine.call(name, 10) for name in "abc"], 20, random.Random(seed), clock=machine.clock
        )
        orders.append(machine.called)
    assert orders[0] == orders[1] != orders[2]


def test_samples_are_the_calls_own_nanoseconds_in_the_order_taken() -> None:
    machine = Machine()
    calls = [machine.call("a", 5, 6, 7, 8, 9, 10), machine.call("b", 500)]
    samples = time_interleaved(calls, 6, random.Random(0), clock=machine.clock)
    assert samples == [[5, 6, 7, 8, 9, 10], [500] * 6]


def test_drift_of_the_machine_meets_all_alike() -> None:
    machine = Machine()
    slow = 1.0

    def drifting(cost: int) -> Callable[[], None]:
        def run() -> None:
            nonlocal slow
            machine.now += int(cost * slow)
            slow *= 1.002

        return run

    samples = time_interleaved(
        [drifting(10_000), drifting(20_000)], 200, random.Random(0), clock=machine.clock
    )
    assert samples[0][-1] > 2 * samples[0][0]
    assert median_ns(samples[1]) / median_ns(samples[0]) == pytest.approx(2, rel=0.01)


def test_budget_ends_between_rounds_with_equal_counts() -> None:
    machine = Machine()
    calls = [machine.call("a", 100), machine.call("b", 300)]
    samples = time_interleaved(calls, 1000, random.Random(0), budget_ns=4000, clock=machine.clock)
    assert [len(taken) for taken in samples] == [10, 10]


@pytest.mark.parametrize("budget_ns", [-5, 0, 1])
def test_five_rounds_are_taken_whatever_the_budget(budget_ns: int) -> None:
    machine = Machine()
    samples = time_interleaved(
        [machine.call("a", 100)], 60, random.Random(0), budget_ns=budget_ns, clock=machine.clock
    )
    assert len(samples[0]) == MIN_ROUNDS == 5


def test_progress_is_told_after_each_round() -> None:
    machine, told = Machine(), []
    calls = [machine.call("a", 1), machine.call("b", 1)]
    time_interleaved(
        calls, 7, random.Random(0), clock=machine.clock, after_round=lambda: told.append(len(machine.called))
    )
    assert told == [2, 4, 6, 8, 10, 12, 14]


def test_no_garbage_collection_inside_and_as_before_afterwards() -> None:
    seen = []
    assert gc.isenabled()
    time_interleaved([lambda: seen.append(gc.isenabled())], 5, random.Random(0))
    assert seen == [False] * 5
    assert gc.isenabled()

    def fails() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        warm_up([fails], random.Random(0))
    assert gc.isenabled()
    gc.disable()
    try:
        time_interleaved([lambda: None], 5, random.Random(0))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_steady_calls_are_warm_after_two_windows() -> None:
    machine = Machine()
    assert (
        warm_up([machine.call("a", 100), machine.call("b", 9)], random.Random(0), clock=machine.clock) == 10
    )


def test_warm_up_waits_for_the_slowest_to_settle() -> None:
    machine = Machine()
    settling = [int(1000 * 0.8**k) + 100 for k in range(30)]
    rounds = warm_up(
        [machine.call("steady", 100), machine.call("settling", *settling, 100)],
        random.Random(0),
        clock=machine.clock,
    )
    assert 15 < rounds < 50


def test_warm_up_is_bounded_in_rounds() -> None:
    machine = Machine()
    growing = [int(100 * 1.1**k) for k in range(60)]
    assert warm_up([machine.call("a", *growing)], random.Random(0), clock=machine.clock) == 50
    assert len(machine.called) == 50


@pytest.mark.parametrize(
    ("cost_ns", "budget_ns", "rounds"), [(100, 250, 3), (100, 0, 1), (3 * 10**9, None, 7)]
)
def test_warm_up_is_bounded_in_time(cost_ns: int, budget_ns: int | None, rounds: int) -> None:
    machine = Machine()
    call = machine.call("a", cost_ns)
    assert warm_up([call], random.Random(0), budget_ns=budget_ns, clock=machine.clock) == rounds


@pytest.mark.parametrize(
    ("samples", "median", "p95"),
    [
        ([7], 7.0, 7.0),
        ([4, 1, 3, 2], 2.5, 4.0),
        (list(range(100, 0, -1)), 50.5, 95.0),
        (list(range(1, 21)), 10.5, 19.0),
        ([1] * 94 + [9] * 6, 1.0, 9.0),
        ([1] * 95 + [9] * 5, 1.0, 1.0),
    ],
)
def test_summary_of_samples(samples: list[int], median: float, p95: float) -> None:
    assert median_ns(samples) == median
    assert p95_ns(samples) == p95
