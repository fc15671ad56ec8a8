"""Fine-tuning gives back what rounding took, ends in the same file, and survives being killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
import pytest
from coarse import coarsened
from quantizing import exported
from tinted import tinted_digits

from edgeacts.data import ImageDataset
from edgeacts.errors import UsageError
from edgeacts.preprocessing import Preprocessing
from edgeacts.quantization import QuantizeSettings, calibrate, quantize_static_units
from edgeacts.quantization.deployed import open_model
from edgeacts.quantization.qat import QatResult, QatSettings, fine_tune
from edgeacts.quantization.qat_twin import QuantizedTwin
from edgeacts.records import QatRecord
from edgeacts.training.resume import RESUME_FILE, ResumePoints

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = QatSettings(epochs=3, learning_rate=3e-3, batch_size=64, threads=1)


class Hard(NamedTuple):
    source: onnx.ModelProto
    prepared: onnx.ModelProto
    model: onnx.ModelProto
    dataset: ImageDataset


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Hard:
    """Digits; weights of three levels, which cost many points."""
    source = onnx.load(exported("mish", tmp_path_factory.mktemp("hard")))
    dataset = tinted_digits()
    calibration = calibrate(source, dataset.preprocessing(dataset.train.images[:64]))
    settings = QuantizeSettings(ranges="minmax", reduce_range="yes")
    quantized = quantize_static_units(source, calibration, settings)
    return Hard(source, calibration.prepared, coarsened(quantized, calibration.prepared, 1), dataset)


def run(hard: Hard, out: Path, settings: QatSettings = SETTINGS) -> QatResult:
    return fine_tune(
        hard.model, hard.dataset, out, settings, reference=hard.source, prepared=hard.prepared, progress=False
    )


@pytest.fixture(scope="module")
def tuned(hard: Hard, tmp_path_factory: pytest.TempPathFactory) -> QatResult:
    return run(hard, tmp_path_factory.mktemp("tuned"))


def test_it_gives_back_what_rounding_took(hard: Hard, tuned: QatResult, tmp_path: Path) -> None:
    record = tuned.record
    assert record.before.low > 2.0, record.summary
    assert record.after.drop < record.before.drop / 2, record.summary
    assert record.kept
    assert record.from_float == record.weights == 3
    assert len(record.epochs) == 3
    assert record.more == 0
    assert record.values > 0
    assert f"{record.before} before, {record.after} after 3 epochs of fine-tuning" == record.summary
    record.write(tmp_path / "qat.json")
    assert QatRecord.read(tmp_path / "qat.json") == record


def test_it_ends_in_the_same_portable_file(hard: Hard, tuned: QatResult) -> None:
    onnx.checker.check_model(tuned.model, full_check=True)
    assert {n.op_type for n in tuned.model.graph.node if n.domain} == {
        n.op_type for n in hard.model.graph.node if n.domain
    }
    assert abs(tuned.model.ByteSize() / hard.model.ByteSize() - 1) < 0.01
    metadata = [{p.key: p.value for p in m.metadata_props} for m in (tuned.model, hard.model)]
    assert metadata[0] == metadata[1]
    before, after = (QuantizedTwin(m) for m in (hard.model, tuned.model))
    assert [s.scale for s in before.sites.values()] == [s.scale for s in after.sites.values()]
    assert all(r.site is None or r.site.largest == 1 for r in after.trained.values())
    assert tuned.trained_float is not None
    x = hard.dataset.preprocessing(hard.dataset.test.images[:8])
    found = open_model(tuned.trained_float).run(None, {"image": x})[0]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("event", [3, 20])
def test_killed_and_started_again_it_ends_the_same(
    hard: Hard, tuned: QatResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: int
) -> None:
    seen = 0

    def stop(self: ResumePoints) -> None:
        nonlocal seen
        seen += 1
        if seen == event:
            raise Killed

    settings = replace_struct(SETTINGS, checkpoint_every_s=0.0)
    monkeypatch.setattr(ResumePoints, "_stop_if_told", stop)
    with pytest.raises(Killed):
        run(hard, tmp_path, settings)
    monkeypatch.undo()
    assert (tmp_path / RESUME_FILE).exists()
    again = run(hard, tmp_path, settings)
    assert again.record.after_sha256 == tuned.record.after_sha256
    assert not (tmp_path / RESUME_FILE).exists()


def replace_struct(settings: QatSettings, **changes: Any) -> QatSettings:
    return msgspec.structs.replace(settings, **changes)


def test_what_is_no_better_is_not_kept(hard: Hard, tmp_path: Path) -> None:
    """A learning rate of nothing leaves the file as it was."""
    result = run(hard, tmp_path, replace_struct(SETTINGS, epochs=1, learning_rate=1e-12))
    assert not result.record.kept
    assert result.model is hard.model
    assert result.trained_float is None
    assert result.record.summary.endswith(
        "no better on the validation images, so the file from before is kept"
    )


def test_images_of_another_shape_and_other_classes_are_refused_before_training(
    hard: Hard, tmp_path: Path
) -> None:
    colour = Preprocessing(channels=3, height=8, width=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(UsageError, match=r"does not run on this data set's images, \[2, 3, 8, 8\]: "):
        run(
            hard._replace(dataset=replace(hard.dataset, preprocessing=colour, classes=tuple("0123456789"))),
            tmp_path,
        )
    more = replace(hard.dataset, classes=tuple("0123456789a"))
    with pytest.raises(
        UsageError, match=r"output for 2 images is \[2, 10\], the data set's 11 classes need \[2, 11\]"
    ):
        run(hard._replace(dataset=more), tmp_path)


def test_settings_that_cannot_be_are_the_trainers() -> None:
    with pytest.raises(UsageError, match="epochs=0: give a whole number from 1"):
        QatSettings(epochs=0).training("digits")
    assert QatSettings().training("digits").resolved().weight_decay == 0.0
