"""A run that is killed at any moment and started again ends with the same bits as one that was not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from edgeacts.data import ImageDataset
from edgeacts.errors import DamagedFile, EdgeactsError
from edgeacts.records import TrainingRecord
from edgeacts.training import TrainSettings, train
from edgeacts.training.classifier import Classifier
from edgeacts.training.resume import RESUME_FILE, ResumePoints, usable
from edgeacts.training.sealed import load_sealed, save_sealed

Make = Callable[..., TrainSettings]
EVENTS = 3 * (4 + 1 + 1)  # per epoch: four steps, one validation batch, the end


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours is run afterwards."""


def result(record: TrainingRecord) -> tuple[Any, ...]:
    """Everything that must come out the same; only the times may differ."""
    epochs = [
        (e.epoch, e.train_loss, e.train_accuracy, e.validation_loss, e.validation_accuracy, e.learning_rate)
        for e in record.epochs
    ]
    return record.checkpoint_sha256, epochs, record.test_correct, record.activation_parameters


def kill_at(monkeypatch: pytest.MonkeyPatch, event: int, every: int = 1) -> None:
    """Write a point at each `every`-th occasion and die after `event` hooks."""
    seen = {"hooks": 0, "occasions": 0}

    def due(self: ResumePoints, trainer: Any) -> bool:
        seen["occasions"] += 1
        return seen["occasions"] % every == 0

    def stop(self: ResumePoints) -> None:
        seen["hooks"] += 1
        if seen["hooks"] == event:
            raise Killed

    monkeypatch.setattr(ResumePoints, "_due", due)
    monkeypatch.setattr(ResumePoints, "_stop_if_told", stop)


@pytest.fixture(scope="module")
def whole(dataset: ImageDataset, settings: Make, tmp_path_factory: pytest.TempPathFactory) -> TrainingRecord:
    return train(settings(), tmp_path_factory.mktemp("whole"), dataset=dataset, progress=False)


@pytest.mark.parametrize(
    ("event", "every"), [(e, 1) for e in range(1, EVENTS + 1)] + [(4, 3), (9, 2), (14, 5)]
)
def test_killed_and_resumed_is_not_killed(
    event: int,
    every: int,
    whole: TrainingRecord,
    dataset: ImageDataset,
    settings: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, event, every)
        with pytest.raises(Killed):
            train(settings(), tmp_path, dataset=dataset, progress=False)
    assert not (tmp_path / "training.json").exists()
    done = load_sealed(tmp_path / RESUME_FILE)["global_step"]
    steps = []
    with monkeypatch.context() as patch:
        step = torch.optim.AdamW.step
        patch.setattr(torch.optim.AdamW, "step", lambda *a, **k: (steps.append(1), step(*a, **k))[1])
        record = train(settings(), tmp_path, dataset=dataset, progress=False)
    assert "resuming from" in capsys.readouterr().err
    assert len(steps) == 12 - done, "steps were done again or left out"
    assert result(record) == result(whole)
    assert not list(tmp_path.glob("*resume*")), "the resume point is of no more use"


def test_killed_twice_with_sgd_trained_parameters_and_bf16(
    dataset: ImageDataset, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(
        optimizer="sgd",
        schedule="cosine",
        activation="sau",
        precision="bf16-mixed",
        epochs=2,
        label_smoothing=0.1,
    )
    expected = train(asked, tmp_path / "whole", dataset=dataset, progress=False)
    for event in (2, 5):
        with monkeypatch.context() as patch:
            kill_at(patch, event)
            with pytest.raises(Killed):
                train(asked, tmp_path / "killed", dataset=dataset, progress=False)
    assert result(train(asked, tmp_path / "killed", dataset=dataset, progress=False)) == result(expected)
    assert any(v != 0.15 for values in expected.activation_parameters.values() for v in values)


CHILD = """
import sys, time, msgspec
from pathlib import Path
from edgeacts.training import TrainSettings, train
from edgeacts.training.classifier import Classifier
step = Classifier.training_step
def slow(self, batch, batch_idx):
    time.sleep(0.1)  # so that the parent meets it in the middle
    return step(self, batch, batch_idx)
Classifier.training_step = slow
train(msgspec.json.decode(sys.argv[1], type=TrainSettings), Path(sys.argv[2]))
"""


def test_sigkill_in_the_middle_of_an_epoch(real_settings: Make, tmp_path: Path) -> None:
    asked = real_settings(data="digits", image_size=16, limit_train=40, epochs=3, checkpoint_every_s=0.0)
    whole = train(asked, tmp_path / "whole", progress=False)
    killed = tmp_path / "killed"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, msgspec.json.encode(asked).decode(), str(killed)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert child.stderr is not None
    try:
        lines = []
        for line in child.stderr:
            lines.append(line)
            if line.startswith("epoch 1/3"):
                break
        else:
            pytest.fail(f"the run ended before its second epoch: {lines}")
        after_first_epoch = (killed / RESUME_FILE).stat().st_mtime_ns
        deadline = time.monotonic() + 60
        while load_sealed(killed / RESUME_FILE)["global_step"] < 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
    assert child.returncode == -signal.SIGKILL
    state = load_sealed(killed / RESUME_FILE)
    assert 7 <= state["global_step"] < 15, "killed too late to show anything"
    assert (killed / RESUME_FILE).stat().st_mtime_ns > after_first_epoch
    assert result(train(asked, killed, progress=False)) == result(whole)


# ---- signals


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_the_step_leaves_a_point_and_is_passed_on(
    number: signal.Signals,
    raised: type[BaseException],
    whole: TrainingRecord,
    dataset: ImageDataset,
    settings: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(number)
    step = Classifier.training_step

    def signalled(self: Classifier, batch: int, batch_idx: int) -> torch.Tensor:
        if self.global_step == 5:
            os.kill(os.getpid(), number)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", signalled)
        with pytest.raises(raised) as caught:
            train(settings(), tmp_path, dataset=dataset, progress=False)
    if number == signal.SIGTERM:
        assert caught.value.code == 143  # type: ignore[attr-defined]
    assert signal.getsignal(number) is before
    assert load_sealed(tmp_path / RESUME_FILE)["global_step"] == 6
    assert result(train(settings(), tmp_path, dataset=dataset, progress=False)) == result(whole)


# ---- points that must not be used


@pytest.fixture
def point(dataset: ImageDataset, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was killed after its sixth step."""
    with monkeypatch.context() as patch:
        kill_at(patch, 8)
        with pytest.raises(Killed):
            train(settings(), tmp_path, dataset=dataset, progress=False)
    return tmp_path


def flip_a_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip_a_bit, id="one bit"),
        pytest.param(lambda data: data[:-1000], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"no archive" * 10, id="another kind"),
    ],
)
def test_a_damaged_point_is_named_and_not_used(
    damage: Callable[[bytes], bytes],
    point: Path,
    whole: TrainingRecord,
    dataset: ImageDataset,
    settings: Make,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = point / RESUME_FILE
    path.write_bytes(damage(path.read_bytes()))
    record = train(settings(), point, dataset=dataset, progress=False)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "training starts anew" in text
    assert "does not match the hash it carries" in text
    assert result(record) == result(whole)


def test_a_point_of_other_settings_is_not_used(
    point: Path, dataset: ImageDataset, settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    record = train(settings(seed=1, epochs=1), point, dataset=dataset, progress=False)
    assert "other settings, data or versions: training starts anew" in capsys.readouterr().err
    assert len(record.epochs) == 1


def test_a_point_without_the_state_of_a_run_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / RESUME_FILE
    assert usable(path, "f") == (None, None)
    save_sealed({"state_dict": {}}, path)
    found, why = usable(path, "f")
    assert found is None
    assert "it lacks loops, optimizer_states" in str(why)


class Bomb:
    """What a pickle of an attacker looks like: reading it calls a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def test_reading_a_point_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_sealed({"state_dict": Bomb()}, tmp_path / "x.ckpt")
    with pytest.raises(DamagedFile, match="cannot be read"):
        load_sealed(tmp_path / "x.ckpt")
    assert not Path("exploded").exists()


def test_a_disk_that_refuses_is_one_line(
    dataset: ImageDataset, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EdgeactsError, match=r"cannot write .*resume\.ckpt: No space left on device"):
        train(settings(checkpoint_every_s=0.0), tmp_path, dataset=dataset, progress=False)
    assert not list(tmp_path.iterdir())
