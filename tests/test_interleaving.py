"""Calls that are timed in turn: every round makes each once, in an order that is seeded; rounds end where they are to."""

from collections.abc import Callable

import pytest

from edgeacts import interleaving
from edgeacts.interleaving import times_of


class Clock:
    """A clock that only calls move on; stands for `time.perf_counter`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def call(self, seconds: float, made: list[str], name: str) -> Callable[[], None]:
        def run() -> None:
            made.append(name)
            self.now += seconds

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(interleaving, "time", found)
    return found


def test_each_round_makes_every_call_once_and_times_are_its_own(clock: Clock) -> None:
    made: list[str] = []
    calls = {name: clock.call(seconds, made, name) for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 4.0))}
    times = times_of(calls, least=5, warm_up=2)
    assert times == {"a": [1.0] * 5, "b": [2.0] * 5, "c": [4.0] * 5}
    rounds = [made[i : i + 3] for i in range(0, len(made), 3)]
    assert len(rounds) == 7  # two warm up and are not kept
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(map(tuple, rounds))) > 1


def test_the_order_is_the_same_each_time(clock: Clock) -> None:
    orders: list[list[str]] = [[], []]
    for made in orders:
        times_of({name: clock.call(1.0, made, name) for name in "abcd"}, least=6)
    assert orders[0] == orders[1]


def test_what_warms_up_is_not_kept(clock: Clock) -> None:
    taken = iter([100.0, 50.0, 1.0, 1.0])

    def slower_at_first() -> None:
        clock.now += next(taken)

    assert times_of({"a": slower_at_first}, least=2, warm_up=2) == {"a": [1.0, 1.0]}


@pytest.mark.parametrize(
    ("limits", "rounds"),
    [
        ({"least": 3}, 3),
        ({"least": 3, "budget_s": 7.5}, 8),  # the eighth begins within the budget
        ({"least": 3, "budget_s": 7.5, "most": 5}, 5),
        ({"least": 9, "budget_s": 7.5}, 9),
        ({"least": 3, "most": 2, "budget_s": 7.5}, 3),  # `least` counts
    ],
)
def test_rounds_end_where_they_are_to(clock: Clock, limits: dict, rounds: int) -> None:
    made: list[str] = []
    times = times_of({"a": clock.call(1.0, made, "a")}, warm_up=0, **limits)
    assert len(times["a"]) == len(made) == rounds


def test_each_round_is_told_of_after_it(clock: Clock) -> None:
    made: list[str] = []
    told: list[int] = []
    calls = {name: clock.call(1.0, made, name) for name in "ab"}
    times_of(calls, least=2, warm_up=1, each_round=lambda: told.append(len(made)))
    assert told == [2, 4, 6]


def test_what_a_call_raises_comes_out(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        times_of({"a": lambda: 1 / 0}, least=1)
