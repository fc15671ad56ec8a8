"""`run --int8`: each network is quantized within the gate, verified and timed beside its float model."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeacts import pipeline, pipeline_int8
from edgeacts.pipeline import RunSettings, run
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


def test_the_8_bit_model_joins_verify_and_bench(settings: RunSettings, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(settings, out, progress=False)
    ((label, gate),) = result.gates.items()
    assert gate.tries[gate.chosen].drop.total > 100
    record = QuantizationRecord.read(out / label / "quantize" / "quantization.json")
    assert (
        gate.tries[0].size_bytes / gate.float_size_bytes < 0.30
    )  # 359 images may send layers back to float by chance
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
