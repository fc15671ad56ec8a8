"""When a measurement ends: width, time, rounds; never significance."""

import pytest

from edgeacts.latency.intervals import Interval
from edgeacts.latency.stopping import LEAST_PROCESSES, Limits, widest

NARROW, WIDE = Interval(1.1, 1.09, 1.11), Interval(2, 1.5, 2.5)


def ended(
    limits: Limits,
    *found: Interval,
    processes: int = 9,
    rounds: int = 100,
    seconds: float = 1,
    last_s: float = 1,
) -> str:
    return limits.stopped(found, processes=processes, rounds=rounds, seconds=seconds, last_s=last_s)


def test_the_widest_interval_decides() -> None:
    limits = Limits(within=0.02, budget_s=60, rounds=None)
    assert ended(limits, NARROW) == "precision"
    assert ended(limits, NARROW, WIDE) == ""
    assert widest([NARROW, WIDE]) == pytest.approx((2.5 / 1.5) ** 0.5 - 1)


def test_a_clear_difference_does_not_end_it() -> None:
    assert ended(Limits(within=0.02, budget_s=60, rounds=None), Interval(15, 12, 18)) == ""


def test_few_processes_do_not_end_it_however_narrow() -> None:
    limits = Limits(within=0.02, budget_s=60, rounds=None)
    assert ended(limits, NARROW, processes=LEAST_PROCESSES - 1) == ""
    assert ended(limits, NARROW, processes=LEAST_PROCESSES) == "precision"


def test_no_process_is_begun_that_time_does_not_suffice_for() -> None:
    limits = Limits(within=0.001, budget_s=60, rounds=None)
    assert ended(limits, WIDE, seconds=50, last_s=3) == ""
    assert ended(limits, WIDE, seconds=59, last_s=3) == "time"
    assert ended(limits, WIDE, seconds=61, last_s=0.1) == "time"
    assert ended(Limits(within=0.001, budget_s=None, rounds=500), WIDE, seconds=10**6) == ""


@pytest.mark.parametrize(
    ("rounds", "parts"),
    [(5, [5]), (20, [20]), (24, [24]), (25, [20, 5]), (60, [20, 20, 20]), (64, [20, 20, 24])],
)
def test_rounds_are_dealt_out_to_processes(rounds: int, parts: list[int]) -> None:
    limits, done, dealt = Limits(within=None, budget_s=None, rounds=rounds), 0, []
    while not dealt or not ended(limits, WIDE, rounds=done):
        dealt.append(limits.rounds_next(done) or 0)
        done += dealt[-1]
    assert dealt == parts
    assert sum(dealt) == rounds
    assert ended(limits, WIDE, rounds=done) == "rounds"


def test_without_rounds_a_process_has_time() -> None:
    assert Limits(within=0.1, budget_s=9, rounds=None).rounds_next(0) is None
