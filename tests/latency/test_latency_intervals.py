"""Intervals on simulated samples: how often they hold the truth, what drift and load do to them, what few processes may say."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from simulated_latency import measured

from edgeacts.latency.intervals import (
    Interval,
    block_ratios,
    interquartile_mean,
    interval,
    student_quantile,
)
from edgeacts.latency.judging import verdict

RECORDS = 300


def held(found: Sequence[Interval], truth: float) -> float:
    return sum(one.low <= truth <= one.high for one in found) / len(found)


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 4, 2.7764), (0.95, 7, 1.8946), (0.975, 30, 2.0423), (0.5, 3, 0)],
)  # fmt: skip
def test_students_quantiles_are_those_of_the_tables(probability: float, freedom: int, value: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize(
    ("processes", "process_sd"), [(5, 0.01), (5, 0.015), (8, 0.015), (15, 0.02), (2, 0.01)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(processes: int, process_sd: float) -> None:
    rng = np.random.default_rng(processes)
    found = [measured(rng, ratio=1.3, processes=processes, process_sd=process_sd)[0] for _ in range(RECORDS)]
    assert 0.92 <= held(found, 1.3) <= 1
    # And they are not honest by being useless: 95 % is missed now and then, or they are narrow.
    assert held(found, 1.3) < 0.999 or np.median([one.half_width for one in found]) < 0.03


def test_intervals_are_as_wide_as_the_processes_differ() -> None:
    rng = np.random.default_rng(0)
    calm = np.median([measured(rng, process_sd=0.002, processes=12)[0].half_width for _ in range(60)])
    wild = np.median([measured(rng, process_sd=0.05, processes=12)[0].half_width for _ in range(60)])
    assert calm < 0.012
    assert wild > 3 * calm
    more = np.median([measured(rng, process_sd=0.05, processes=48)[0].half_width for _ in range(30)])
    assert more < 0.6 * wild


def test_a_model_against_itself_is_rarely_told_apart_and_five_per_cent_nearly_always() -> None:
    rng = np.random.default_rng(1)
    answers = {
        ratio: [
            verdict(found, floor.ratio)
            for found, floor in (measured(rng, ratio=ratio) for _ in range(RECORDS))
        ]
        for ratio in (1.0, 1.05, 1 / 1.05)
    }
    assert sum(answer != "cannot tell" for answer in answers[1.0]) <= 0.05 * RECORDS
    assert answers[1.05].count("slower") >= 0.9 * RECORDS
    assert answers[1 / 1.05].count("faster") >= 0.9 * RECORDS


def test_stopping_at_a_narrow_interval_does_not_make_verdicts_false() -> None:
    rng, told = np.random.default_rng(2), 0
    for _ in range(RECORDS):
        for processes in range(5, 20):
            found, floor = measured(rng, processes=processes, process_sd=0.02)
            if found.half_width <= 0.02:
                break
        told += verdict(found, floor.ratio) != "cannot tell"
    assert told <= 0.05 * RECORDS


def test_drift_and_a_load_half_way_leave_the_ratio_alone() -> None:
    for slowdown in (
        lambda moment: 1 + 2 * moment,
        lambda moment: np.where(moment < 0.5, 1.0, 2.3),
        lambda moment: np.where((moment * 40).astype(int) % 7 == 0, 3.0, 1.0),
    ):
        rng = np.random.default_rng(3)
        same = [measured(rng, slowdown=slowdown) for _ in range(100)]
        assert np.mean([found.ratio for found, _ in same]) == pytest.approx(1, abs=0.004)
        assert sum(verdict(found, floor.ratio) != "cannot tell" for found, floor in same) <= 5
        rng = np.random.default_rng(4)
        longer = [measured(rng, ratio=1.05, slowdown=slowdown)[0] for _ in range(100)]
        assert held(longer, 1.05) >= 0.92
        assert max(one.half_width for one in longer) < 0.06


def test_one_process_cannot_pretend_certainty() -> None:
    equal = [np.zeros(50)]
    one = interval(equal)
    assert one.half_width > 0.04
    assert interval(equal * 5).half_width < 0.5 * one.half_width
    assert one.low < 1 < one.high
    noisy = interval([np.random.default_rng(0).normal(0, 0.5, 8)])
    assert noisy.half_width > 2 * one.half_width
    # What cannot be a process's own speed is told all the same.
    assert verdict(interval([np.full(5, math.log(15))]), 1.01) == "slower"


def test_five_that_agree_by_chance_are_not_certain() -> None:
    assert 0.008 < interval([np.zeros(6)] * 5).half_width < 0.02


def test_ratio_is_the_mean_of_processes_of_interquartile_means_of_blocks() -> None:
    assert interquartile_mean(np.array([9.0, 1.0, 2.0, 100.0, 3.0, 4.0, 5.0, -50.0])) == pytest.approx(3.5)
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == 3
    processes = [np.log([1.1] * 6 + [9.0]), np.log([1.3] * 4)]
    assert interval(processes).ratio == pytest.approx(math.sqrt(1.1 * 1.3))


def test_rounds_are_paired_and_both_sessions_of_the_baseline_count() -> None:
    speed = np.array([1.0, 5.0, 2.0, 9.0, 1.0])
    model, base, copy = np.log(speed * 3), np.log(speed), np.log(speed * 1.21)
    assert np.exp(block_ratios([model], [[base]])) == pytest.approx([3.0])
    assert np.exp(block_ratios([model], [[base], [copy]])) == pytest.approx([3.0 / 1.1])


def test_same_samples_and_seed_same_interval() -> None:
    processes = [np.random.default_rng(k).normal(0, 0.02, 7) for k in range(6)]
    assert interval(processes, seed=3) == interval(processes, seed=3) != interval(processes, seed=4)
    wider = interval(processes, seed=3, confidence=0.99)
    assert wider.half_width > 1.2 * interval(processes, seed=3).half_width


@pytest.mark.parametrize(
    ("low", "high", "floor", "answer"),
    [
        (1.01, 1.05, 1.0, "slower"),
        (1.01, 1.05, 1.02, "cannot tell"),
        (1.01, 1.05, 1 / 1.02, "cannot tell"),
        (0.95, 0.99, 1.0, "faster"),
        (0.95, 0.99, 0.98, "cannot tell"),
        (0.95, 1.2, 1.0, "cannot tell"),
        (0.8, 0.9, 1.1, "faster"),
    ],
)
def test_a_verdict_must_exceed_what_the_baseline_differs_from_its_copy(
    low: float, high: float, floor: float, answer: str
) -> None:
    assert verdict(Interval(math.sqrt(low * high), low, high), floor) == answer
