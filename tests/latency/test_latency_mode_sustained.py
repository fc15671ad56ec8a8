"""Sustained: windows on a fake clock; a real model in a fresh process."""

from pathlib import Path

import pytest

import edgeacts.latency.modes.sustained as module
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.latency import format_sustained, sustained
from edgeacts.latency.modes.sustained import Window, windows
from edgeacts.records import SustainedRecord

MS = 10**6


def test_windows_end_with_the_first_run_that_fills_them() -> None:
    now, costs, clocks = [0], iter([4, 4, 4, 7, 3, 12, 30]), iter([2000.0, 1900.0, 1800.0, None])

    def call() -> None:
        now[0] += next(costs) * MS

    found = list(windows(call, 0.04, 0.01, clock=lambda: now[0], frequency=lambda: next(clocks)))
    assert found == [
        Window(4 * MS, 3, 2000.0),
        Window(5 * MS, 2, 1900.0),
        Window(12 * MS, 1, 1800.0),
        Window(30 * MS, 1, None),  # began before the end: it is whole
    ]


def test_sustained_record_of_real_models(networks: dict[str, Path]) -> None:
    record = sustained([networks["mish"], networks["relu"]], duration_s=0.3)
    for one in record.series:
        assert one.window_s == pytest.approx(0.01)
        assert 9 <= len(one.window_median_ns) <= 31
        assert len(one.window_median_ns) == len(one.window_runs) == len(one.window_frequency_mhz)
        assert all(runs >= 1 for runs in one.window_runs)
        assert 0 < one.drift_low <= one.drift <= one.drift_high
    assert SustainedRecord.from_json(record.to_json()) == record
    lines = format_sustained(record).splitlines()
    assert max(map(len, lines)) <= 80
    first = record.series[0]
    assert f"{first.drift:.3f}" in lines[2]
    assert f"{first.drift_low:.2f}-{first.drift_high:.2f}" in lines[2]


def test_too_few_runs_say_so(monkeypatch: pytest.MonkeyPatch, networks: dict[str, Path]) -> None:
    monkeypatch.setattr(module, "MIN_WINDOWS", 10**6)
    job = {
        "model": str(networks["relu"]), "runtime": "onnxruntime", "threads": 1, "level": None, "provider": "cpu",
        "precision": "f32", "batch": 1, "sizes": {}, "seed": 0, "duration_s": 0.03, "window_s": 0.01,
    }  # fmt: skip
    with pytest.raises(
        EdgeactsError, match=r"only \d runs fit into 0.03 s, a drift needs 1000000: give a longer duration"
    ):
        list(module.stretch(job))


def test_a_duration_is_a_number(networks: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="duration_s must be from 0.01 to 86400, got '5m'"):
        sustained([networks["relu"]], duration_s="5m")  # type: ignore[arg-type]
