"""`run --int8`: each network is quantized within the gate, verified and timed beside its float model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import quantized_records as quantized

from edgeacts import pipeline, pipeline_int8
from edgeacts.circumstances import circumstances
from edgeacts.cli import main
from edgeacts.errors import CheckFailed
from edgeacts.pipeline import RunResult, RunSettings, run
from edgeacts.quantization import sessions
from edgeacts.records import QuantizationRecord, TrainingRecord, Verdict
from edgeacts.stages import MARK, StageMark
from edgeacts.training import TrainSettings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def settings(trained_digits: Path, monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    """A run whose training and export are copied; what is in 8 bits is real, on few images and one thread."""

    def copied(part: str) -> Any:
        return lambda _, folder, **__: shutil.copytree(trained_digits / part, folder, dirs_exist_ok=True)

    verdict = Verdict.read(trained_digits / "export" / "verdict.json")
    monkeypatch.setattr(pipeline, "train", copied("train"))
    monkeypatch.setattr(pipeline, "export_checkpoint", copied("export"))
    monkeypatch.setattr(pipeline, "verify", lambda *_, **__: verdict)
    monkeypatch.setattr(pipeline_int8, "IMAGES", 40)
    monkeypatch.setattr(sessions, "cores", lambda: 1)
    record = TrainingRecord.read(trained_digits / "train" / "training.json")
    return RunSettings(
        models=(record.model,), activations=(record.activation,), runtimes=("onnxruntime",), bench_rounds=5, int8=True,
        training=TrainSettings(data="digits", image_size=16, width=record.width),
    )  # fmt: skip


def test_the_8_bit_model_joins_verify_and_bench(
    settings: RunSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    result = run(settings, out, progress=False)
    ((label, gate),) = result.gates.items()
    assert gate.tries[gate.chosen].drop.total > 100
    record = QuantizationRecord.read(out / label / "quantize" / "quantization.json")
    assert gate.kept.size_bytes / gate.float_size_bytes < 0.30
    assert gate.verdict == "cannot tell"  # 359 images prove nothing about half a point
    assert len(gate.tries) == 1
    assert gate.model_sha256 == record.portable_sha256
    assert result.verdicts[f"{label} int8"].candidate_sha256 == record.portable_sha256
    timed = {series.label: series for series in result.latency.series}
    assert set(timed) == {label, f"{label}-int8"}
    assert timed[f"{label}-int8"].model_sha256 == record.portable_sha256
    assert str(timed[f"{label}-int8"].executed["precision"]).startswith("int8")
    mark = StageMark.read(out / label / "quantize" / MARK)
    assert set(mark.parents) == {f"{label}/export/model.onnx"}
    assert {"model.int8.onnx", "model.int8.inlined.onnx", "gate.json", "saturation.json"} <= set(mark.outputs)
    assert "int8" in result.report.read_text()
    assert run(None, out, progress=False).gates == result.gates
    assert main(["run", "--out", str(out), "--json", str(tmp_path / "run.json")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"{label} in 8 bits: CANNOT TELL: {gate.summary}" in told
    said = json.loads((tmp_path / "run.json").read_text())["int8"]
    assert said == {label: {"verdict": "cannot tell", "summary": gate.summary}}


def test_a_gate_that_failed_fails_the_run_and_one_that_cannot_tell_does_not(tmp_path: Path) -> None:
    held = quantized.gate("x", circumstances(), quantized.drop(0, 0))
    unsure = quantized.gate("x", circumstances(), quantized.drop(4, 1))
    failed = quantized.gate("x", circumstances(), quantized.drop(60, 2))
    assert [gate.verdict for gate in (held, unsure, failed)] == ["held", "cannot tell", "failed"]
    latency: Any = None
    result = RunResult(tmp_path / "report.html", {}, {}, latency, {"a": held, "b": unsure})
    assert result.passed
    pipeline.check(result)
    poor = replace(result, gates={"a": held, "c": failed})
    assert not poor.passed
    with pytest.raises(CheckFailed, match="c in 8 bits: it says: drop 5.80 points"):
        pipeline.check(poor)
