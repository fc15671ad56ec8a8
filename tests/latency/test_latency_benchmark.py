"""`benchmark`: the design, on fake processes and a fake clock."""

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from latency_files import BOTH, models

from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.latency import benchmark
from edgeacts.latency.judging import ratio_of
from edgeacts.records import LatencyRecord

if TYPE_CHECKING:
    from conftest import Fake


def test_ratios_are_to_the_first_of_its_runtime(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH)
    assert [(s.label, s.runtime, s.median_ns, s.ratio, s.comparison) for s in record.series] == [
        ("relu", "onnxruntime", 10e6, 1, "baseline"), ("mish", "onnxruntime", 150e6, pytest.approx(15), "slower"),
        ("nish", "onnxruntime", 70e6, pytest.approx(7), "slower"), ("relu", "openvino", 20e6, 1, "baseline"),
        ("mish", "openvino", 30e6, pytest.approx(1.5), "slower"), ("nish", "openvino", 130e6, pytest.approx(6.5), "slower"),
    ]  # fmt: skip
    assert all(s.ratio_low <= s.ratio <= s.ratio_high for s in record.series)
    assert all(s.executed["of"] == s.label for s in record.series)
    assert (record.stopped, record.precision_asked, record.skipped) == ("precision", 0.02, {})
    assert record.precision_reached is not None
    assert record.precision_reached <= 0.02


def test_a_model_that_is_not_slower_is_not_called_so(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("mish", "onnxruntime"): 10, ("nish", "onnxruntime"): 7}
    record = benchmark(models(folder, "relu", "mish", "nish"))
    assert [s.comparison for s in record.series] == ["baseline", "cannot tell", "faster"]


def test_each_process_opens_all_anew_in_its_own_order_with_a_hidden_copy_of_each_baseline(
    folder: Path, fake: "Fake"
) -> None:
    record = benchmark(
        models(folder, "relu", "mish"), runtimes=BOTH, threads=2, provider="cuda", precision="f16"
    )
    assert len(fake.opened) == record.processes >= 5
    opened = [[(one["model"], one["runtime"]) for one in process] for process in fake.opened]
    places = sorted([("relu", "onnxruntime"), ("mish", "onnxruntime"), ("relu", "openvino"), ("mish", "openvino"),
                     ("relu", "onnxruntime"), ("relu", "openvino")])  # fmt: skip
    assert all(sorted(process) == places for process in opened)
    assert len({tuple(process) for process in opened}) > 2
    assert (
        fake.opened[0][0].items()
        >= {"threads": 2, "level": None, "provider": "cuda", "precision": "f16"}.items()
    )
    assert fake.open_sessions == fake.running == 0
    assert [job["process"] for job in fake.jobs] == list(range(record.processes))
    assert [job["describe"] for job in fake.jobs] == [True] + [False] * (record.processes - 1)
    assert [(floor.runtime, floor.ratio) for floor in record.noise_floors] == [(one, 1) for one in BOTH]


def test_models_take_turns_in_a_new_order_each_round(folder: Path, fake: "Fake") -> None:
    benchmark(models(folder, "relu", "mish"), runtimes=BOTH)
    for called in fake.order:
        rounds = [tuple(called[start : start + 6]) for start in range(0, len(called), 6)]
        assert {len(one) for one in rounds} == {6}
        assert all(len(set(one)) == 4 for one in rounds)
        assert len(set(rounds)) > 5


def test_raw_samples_are_kept_with_starts_and_blocks(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {
        ("relu", "onnxruntime"): lambda s: 3 + s % 1,
        ("mish", "onnxruntime"): lambda s: 5 + s % 2,
    }
    record = benchmark(models(folder, "relu", "mish"), budget_s=12)
    taken = [*record.series, *record.noise_floors]
    count = len(record.series[0].samples_ns)
    assert count > 100
    runs = sum(len(called) for called in fake.order)
    assert len(taken) * (count + record.warmup_rounds) == runs  # not one is left out
    for one in taken:
        assert len(one.samples_ns) == len(one.starts_ns) == len(one.block_of) == count
        assert list(one.starts_ns) == sorted(one.starts_ns)
        assert list(one.block_of) == sorted(one.block_of)
        assert set(one.block_of) == set(range(len(record.blocks)))
        for start, number, sample in zip(one.starts_ns, one.block_of, one.samples_ns, strict=True):
            block = record.blocks[number]
            assert block.start_ns <= start <= start + sample <= block.start_ns + block.seconds * 1e9 + 1
    spans = sorted((s, s + t) for one in taken for s, t in zip(one.starts_ns, one.samples_ns, strict=True))
    assert all(end <= following for (_, end), (following, _) in pairwise(spans))
    assert [block.process for block in record.blocks] == sorted(block.process for block in record.blocks)
    assert {block.process for block in record.blocks} == set(range(record.processes))
    assert all(0.05 <= block.seconds <= 0.25 for block in record.blocks)
    assert LatencyRecord.from_json(record.to_json()) == record


def test_the_ratio_can_be_had_again_from_the_record(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {
        ("relu", "onnxruntime"): lambda s: 3 + s % 1,
        ("mish", "onnxruntime"): lambda s: 5 + s % 2,
    }
    record = benchmark(models(folder, "relu", "mish"), seed=8, budget_s=12)
    relu, mish = record.series

    def logs(one: Any) -> list[np.ndarray]:
        numbers = np.array(one.block_of)
        return [np.log(np.array(one.samples_ns)[numbers == k]) for k in range(len(record.blocks))]

    again = ratio_of(
        logs(mish), [logs(relu), logs(record.noise_floors[0])], [b.process for b in record.blocks], seed=8
    )
    assert (mish.ratio, mish.ratio_low, mish.ratio_high) == (again.ratio, again.low, again.high)


def test_a_load_from_half_way_on_changes_no_ratio(folder: Path, fake: "Fake") -> None:
    for name, cost in (("relu", 10), ("mish", 11), ("nish", 10)):
        fake.costs_ms[name, "onnxruntime"] = lambda s, cost=cost: cost * (2.5 if s > 3 else 1)
    relu, mish, nish = benchmark(models(folder, "relu", "mish", "nish")).series
    assert max(relu.samples_ns) > 2 * min(relu.samples_ns)
    assert (mish.ratio, nish.ratio) == (pytest.approx(1.1, rel=1e-3), pytest.approx(1, rel=1e-3))
    assert (mish.comparison, nish.comparison) == ("slower", "cannot tell")


def test_sessions_that_differ_from_process_to_process_widen_the_interval(folder: Path, fake: "Fake") -> None:
    def lucky(seconds: float) -> float:
        return 10 + 2 * (len(fake.opened) % 2)

    fake.costs_ms |= {("mish", "onnxruntime"): lucky}
    record = benchmark(models(folder, "relu", "mish"), budget_s=12)
    assert record.series[1].ratio == pytest.approx(1.1, abs=0.04)
    assert record.series[1].ratio_high - record.series[1].ratio_low > 0.1
    assert record.stopped == "time"


def test_time_ends_it(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish"), within=0.0005, budget_s=20)
    assert record.stopped == "time"
    assert 15 < record.seconds < 22
    assert fake.seconds() == pytest.approx(record.seconds, abs=0.01)
    assert record.precision_reached is not None
    assert record.precision_reached > 0.0005


def test_a_budget_shorter_than_a_process_still_measures_once(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish"), budget_s=0.001)
    assert (record.processes, record.stopped, len(record.series[0].samples_ns)) == (1, "time", 5)
    assert record.seconds < 3


def test_a_process_measures_as_long_as_it_prepared(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish"), runtimes=BOTH)
    warm_s = 10 * (2 * 10 + 150 + 2 * 20 + 30) / 1000
    for process in range(record.processes):
        seconds = sum(block.seconds for block in record.blocks if block.process == process)
        assert seconds == pytest.approx(START_S + warm_s, abs=0.3)


START_S = 0.4


def test_rounds_end_it(folder: Path, fake: "Fake") -> None:
    for rounds, processes in ((5, 1), (20, 1), (60, 3)):
        record = benchmark(models(folder, "relu", "mish"), rounds=rounds)
        assert (record.stopped, record.processes) == ("rounds", processes)
        assert {len(one.samples_ns) for one in (*record.series, *record.noise_floors)} == {rounds}
        assert len(record.blocks) >= 3 * processes


def test_one_process_gives_a_wide_interval(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("mish", "onnxruntime"): 10.3}
    record = benchmark(models(folder, "relu", "mish"), rounds=20)
    assert record.series[1].comparison == "cannot tell"
    assert record.precision_reached is not None
    assert record.precision_reached > 0.04


def test_baseline_is_measured_first(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH, rounds=5, baseline="nish")
    assert [(s.label, s.comparison) for s in record.series if s.runtime == "onnxruntime"] == [
        ("nish", "baseline"), ("relu", "faster"), ("mish", "slower"),
    ]  # fmt: skip
    assert record.series[1].ratio == pytest.approx(1 / 7)
    assert record.noise_floors[0].samples_ns[0] == 70e6
    with pytest.raises(UsageError, match=r"unknown baseline 'gelu': it must be .*: relu, mish"):
        benchmark(models(folder, "relu", "mish"), baseline="gelu")


def test_one_model_is_measured_against_its_copy(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu"))
    assert [one.comparison for one in record.series] == ["baseline"]
    floor = record.noise_floors[0]
    assert record.precision_reached == pytest.approx(math.sqrt(floor.ratio_high / floor.ratio_low) - 1)
    assert record.stopped == "precision"


def test_level_goes_where_it_exists(folder: Path, fake: "Fake") -> None:
    benchmark(models(folder, "relu"), runtimes=BOTH, rounds=5, level="extended")
    assert {(one["runtime"], one["level"]) for one in fake.opened[0]} == {
        ("onnxruntime", "extended"), ("openvino", None),
    }  # fmt: skip
    with pytest.raises(UsageError, match="unknown level 'extendet': did you mean extended"):
        benchmark(models(folder, "relu"), runtimes=BOTH, level="extendet")


def test_call_too_short_for_the_clock(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("relu", "onnxruntime"): lambda s: 0 if len(fake.order[-1]) % 7 else 20}
    with pytest.raises(EdgeactsError, match=r"relu takes less than the clock can tell: give a larger batch"):
        benchmark(models(folder, "relu"), rounds=5)


def test_interrupted_it_leaves_no_process(folder: Path, fake: "Fake") -> None:
    fake.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        benchmark(models(folder, "relu", "mish"))
    assert len(fake.opened) == 3
    assert fake.running == fake.open_sessions == 0


def test_a_process_that_prepares_for_long_measures_three_seconds(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("relu", "onnxruntime"): 500}
    record = benchmark(models(folder, "relu"), budget_s=200)
    for process in range(record.processes):
        seconds = sum(block.seconds for block in record.blocks if block.process == process)
        assert 5 <= seconds <= 6  # five rounds of a model and its copy, though its warm-up took ten
