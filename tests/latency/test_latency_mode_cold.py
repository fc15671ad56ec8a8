"""Cold start: the parts add up, models take turns, the first process does not count."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import edgeacts.latency.modes.cold as module
from edgeacts.errors import DamagedFile, UsageError
from edgeacts.latency import cold_start, format_cold
from edgeacts.latency.modes.tasks import first_result
from edgeacts.records import ColdRecord

MS = 10**6


def test_parts_of_a_real_start(networks: dict[str, Path]) -> None:
    record = cold_start([networks["mish"]], runtimes=("onnxruntime", "accelerated"), repeats=2)
    assert [s.runtime for s in record.series] == ["onnxruntime", "accelerated"]
    for one in record.series:
        assert (
            len(one.to_first_result_ns)
            == len(one.opening_ns)
            == len(one.first_run_ns)
            == record.processes
            == 2
        )
        for total, opening, run in zip(one.to_first_result_ns, one.opening_ns, one.first_run_ns, strict=True):
            assert opening > 0
            assert run > 0
            assert total > opening + run + MS  # Python itself
        assert one.executed["files"] == "in the page cache"
    assert ColdRecord.from_json(record.to_json()) == record
    lines = format_cold(record).splitlines()
    assert max(map(len, lines)) <= 80
    assert "2 fresh processes" in " ".join(lines)


def test_the_process_tells_its_parts(monkeypatch: pytest.MonkeyPatch, networks: dict[str, Path]) -> None:
    ticks = iter([1000, 1001, 1011, 1111])  # before opening, opened, fed, first result
    monkeypatch.setattr("edgeacts.latency.modes.tasks._clock", lambda: next(ticks))
    job = {
        "model": str(networks["relu"]), "runtime": "onnxruntime", "threads": 1, "level": None, "provider": "cpu",
        "precision": "f32", "batch": 1, "sizes": {}, "seed": 0, "tell": False,
    }  # fmt: skip
    assert list(first_result(job)) == [{"end_ns": 1111, "opening_ns": 1, "input_ns": 10, "first_run_ns": 100}]


def test_times_are_from_before_the_process_to_its_result_without_the_input(
    monkeypatch: pytest.MonkeyPatch, networks: dict[str, Path]
) -> None:
    started, order = iter(range(1000 * MS, 10**12, 1000 * MS)), []

    def fake(task: str, job: Mapping[str, Any]) -> dict[str, Any]:
        assert task == "edgeacts.latency.modes.tasks:first_result"
        order.append((job["label"], job["tell"]))
        if job["tell"]:
            return {"executed": {"precision": "f32"}}
        begin = sum(not tell for _, tell in order) * 1000 * MS
        return {
            "end_ns": begin + 90 * MS,
            "input_ns": 20 * MS,
            "opening_ns": 30 * MS,
            "first_run_ns": 10 * MS,
        }

    monkeypatch.setattr(module, "one_result", fake)
    monkeypatch.setattr(module, "_clock", lambda: next(started))
    record = cold_start([networks["mish"], networks["relu"]], repeats=12)
    assert order[:2] == [("mish", True), ("relu", True)]
    turns = [tuple(label for label, _ in order[i : i + 2]) for i in range(2, len(order), 2)]
    assert len(turns) == 12
    assert set(Counter(turns)) == {("mish", "relu"), ("relu", "mish")}
    for one in record.series:
        assert one.to_first_result_ns == (70 * MS,) * 12
        assert (one.median_to_first_result_ns, one.median_opening_ns, one.median_first_run_ns) == (
            70 * MS,
            30 * MS,
            10 * MS,
        )
    line = format_cold(record).splitlines()[2].split()
    assert line == ["mish", "onnxruntime", "30.00", "30.00", "10.00", "70.00", "70.00"]


def test_a_model_that_does_not_open_is_skipped_with_the_reason(
    networks: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    record = cold_start([broken, networks["relu"]], repeats=1)
    assert [s.label for s in record.series] == ["relu"]
    assert list(record.skipped) == ["broken on onnxruntime"]
    assert "broken.onnx is not a valid ONNX model" in record.skipped["broken on onnxruntime"]
    assert "skipped: broken on onnxruntime" in format_cold(record)
    with pytest.raises(DamagedFile, match="is not a valid ONNX model"):
        cold_start([broken], repeats=1)


def test_repeats_are_counted(networks: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="repeats must be an integer from 1 to 1000, got 0"):
        cold_start([networks["relu"]], repeats=0)
