"""Paced: frames on a fake clock, dropped and late ones; a real model in a fresh process."""

from pathlib import Path

import pytest

from edgeacts.errors import UsageError
from edgeacts.latency import format_paced, paced
from edgeacts.latency.modes.paced import Frame, late, pace
from edgeacts.records import PacedRecord

MS = 10**6


class Clock:
    """Time that passes only in sleeps and calls; each sleep ends `oversleep` later than asked."""

    def __init__(self, costs_ms: list[float], oversleep_ms: float = 0.0) -> None:
        self.now, self.costs, self.oversleep = 5_000 * MS, list(costs_ms), round(oversleep_ms * MS)
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += max(1_000, round(seconds * 1e9) + self.oversleep)

    def call(self) -> None:
        self.now += round(self.costs.pop(0) * MS)


def run(costs_ms: list[float], count: int, rate_hz: float = 100.0, oversleep_ms: float = 0.0) -> list[Frame]:
    clock = Clock(costs_ms, oversleep_ms)
    return list(pace(clock.call, rate_hz, count, clock=clock, sleep=clock.sleep))


def test_frames_come_at_their_times() -> None:
    frames = run([2, 3, 4], 3)
    assert frames == [Frame(0, 0, 2 * MS), Frame(1, 10 * MS, 13 * MS), Frame(2, 20 * MS, 24 * MS)]
    assert late(frames, 100) == 0


def test_frames_that_come_while_the_model_is_busy_are_dropped_and_do_not_queue_up() -> None:
    frames = run([25, 1, 1], 5)
    assert [frame.slot for frame in frames] == [0, 3, 4]
    assert [frame.begin_ns for frame in frames] == [0, 30 * MS, 40 * MS]
    assert late(frames, 100) == 1


def test_done_exactly_when_the_next_frame_comes_is_in_time() -> None:
    frames = run([10, 10, 10.001], 4)
    assert [frame.slot for frame in frames] == [0, 1, 2]
    assert late(frames, 100) == 1


def test_waking_up_late_makes_a_frame_late_but_its_time_is_that_of_the_run() -> None:
    frames = run([9, 9], 2, oversleep_ms=2)
    assert [frame.end_ns - frame.begin_ns for frame in frames] == [9 * MS, 9 * MS]
    assert frames[1].begin_ns == 12 * MS
    assert late(frames, 100) == 1


def test_a_clock_that_wakes_early_is_waited_for() -> None:
    frames = run([1, 1], 2, oversleep_ms=-3)
    assert frames[1].begin_ns == 10 * MS


def test_paced_record_of_a_real_model(networks: dict[str, Path]) -> None:
    record = paced([networks["mish"]], rate_hz=50, duration_s=0.2, runtimes=("onnxruntime", "openvino"))
    assert [(s.label, s.runtime) for s in record.series] == [("mish", "onnxruntime"), ("mish", "openvino")]
    for one in record.series:
        assert one.frames == 10
        assert 0 < len(one.samples_ns) == len(one.starts_ns) <= 10
        assert all(start >= 0 for start in one.starts_ns)
        gaps = [b - a for a, b in zip(one.starts_ns, one.starts_ns[1:], strict=False)]
        assert all(gap > 10 * MS for gap in gaps)  # nothing queued up: a sleep lies between
        assert one.median_ns > 0
        assert one.unpaced_median_ns > 0
        assert 0 < one.busy_share < 1
        assert set(one.quantiles_ns) == {"p50"}
        assert one.executed["inputs"] == "input float32[1, 3, 12, 12]"
    assert (record.rate_hz, record.skipped) == (50, {})
    assert PacedRecord.from_json(record.to_json()) == record
    lines = format_paced(record).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:2] == ["mish", "onnxruntime"]
    assert "50 frames a second" in " ".join(lines)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"rate_hz": 0}, "rate_hz must be from 0.01 to 1000, got 0"),
        ({"rate_hz": float("nan")}, "rate_hz must be from 0.01 to 1000, got nan"),
        ({"duration_s": -1}, "duration_s must be from 0.001 to 86400, got -1"),
        ({"rate_hz": 2, "duration_s": 1}, "1 s at 2 frames a second are fewer than 5 frames: give a longer"),
    ],
)
def test_what_cannot_be_paced(networks: dict[str, Path], arguments: dict[str, float], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        paced([networks["mish"]], **arguments)  # type: ignore[arg-type]
    assert text in str(caught.value)
