"""The choice between a compiled model and the model as it is: a gain must be sure, and larger than what sessions differ by."""

from __future__ import annotations

import numpy as np
import pytest

from edgeacts.acceleration.choosing import gain, times_in_turn


def _rounds(ratio: float, *, noise: float, count: int = 30, seed: int = 0) -> tuple[list[float], list[float]]:
    """Times of a candidate and of the stock model; what happens to the machine in a round happens to both."""
    rng = np.random.default_rng(seed)
    machine = rng.lognormal(0, 0.3, count)
    own = ratio * machine * rng.lognormal(0, noise, count)
    return own.tolist(), machine.tolist()


@pytest.mark.parametrize(
    ("ratio", "sure"), [(0.5, True), (0.97, True), (0.99, False), (1.0, False), (1.2, False)]
)
def test_a_gain_larger_than_the_usual_spread_is_sure(ratio: float, sure: bool) -> None:
    """1 % may be gone in the next process; a machine that is 30 % slower in some rounds changes nothing."""
    found = gain(*_rounds(ratio, noise=0.003))
    assert found.sure is sure
    assert found.ratio == pytest.approx(ratio, abs=0.005)


def test_few_noisy_rounds_are_not_sure_of_a_small_gain_but_of_a_large_one() -> None:
    found = [
        gain(*_rounds(ratio, noise=0.1, count=9, seed=s)).sure for ratio in (0.95, 0.5) for s in range(100)
    ]
    assert sum(found[:100]) < 20
    assert all(found[100:])


def test_the_limit_is_above_the_true_median_as_often_as_it_says() -> None:
    """97.5 %, one-sided, within what 2,000 repeats can tell (±0.7 %), or more: ranks are whole numbers."""
    above = [gain(*_rounds(0.97, noise=0.05, count=25, seed=s)).upper > 0.97 for s in range(2000)]
    assert np.mean(above) > 0.968


def test_every_round_runs_every_session() -> None:
    class Counting:
        def __init__(self) -> None:
            self.runs = 0

        def run(self, _names: None, _feed: object) -> None:
            self.runs += 1

    sessions = {"stock": Counting(), "tables": Counting()}
    times = times_in_turn(sessions, {})
    assert (
        len(times["stock"])
        == len(times["tables"])
        == sessions["stock"].runs - 2
        == sessions["tables"].runs - 2
    )
    assert len(times["stock"]) >= 9
    assert all(t >= 0 for values in times.values() for t in values)
