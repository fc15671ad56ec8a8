"""Intervals that hold what they promise on simulated windows."""

import numpy as np
import pytest

from edgeacts.latency.modes.statistics import drift, mean_interval


def test_drift_is_last_third_over_first_third() -> None:
    assert drift([100.0] * 10 + [130.0] * 10 + [150.0] * 10, seed=0) == pytest.approx((1.5, 1.5, 1.5))
    assert drift([1.0, 1, 1, 9, 9, 9, 9, 0.5, 0.5, 0.5], seed=0)[0] == 0.5  # ten windows: thirds of three


def test_a_drift_of_a_tenth_is_seen_and_none_is_not_made_up() -> None:
    steady = drifted = 0
    for seed in range(100):
        noise = 1 + 0.02 * np.random.default_rng(seed).standard_normal(60)
        _, low, high = drift(100 * noise, seed)
        steady += low <= 1 <= high
        _, low, high = drift(100 * noise * np.linspace(1, 1.1, 60), seed)
        drifted += low > 1
    assert steady >= 85
    assert drifted >= 99


def test_neighbours_that_are_alike_widen_the_interval() -> None:
    generator = np.random.default_rng(3)
    slow = np.repeat(generator.standard_normal(12), 5)  # the same noise, in stretches of five windows
    fast = generator.permutation(slow)
    _, low, high = mean_interval(100 + slow, 0)
    _, fast_low, fast_high = mean_interval(100 + fast, 0)
    assert high - low > 1.3 * (fast_high - fast_low)


def test_interval_of_a_mean_holds_it_and_is_the_same_for_the_same_seed() -> None:
    values = list(50 + np.random.default_rng(1).standard_normal(30))
    mean, low, high = mean_interval(values, 5)
    assert mean == pytest.approx(np.mean(values))
    assert low < mean < high
    assert mean_interval(values, 5) == (mean, low, high)
    assert mean_interval(values, 6) != (mean, low, high)
    hits = sum(
        low <= 50 <= high
        for seed in range(200)
        for _, low, high in [mean_interval(list(50 + np.random.default_rng(seed).standard_normal(30)), seed)]
    )
    assert hits >= 176  # 95 % less what 200 tries and blocks of 30 windows allow
