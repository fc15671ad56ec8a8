"""`run`: finished stages are kept, damage is healed, settings are agreed on, and a killed run comes to the same result."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest

from edgeacts import pipeline
from edgeacts.cli import main
from edgeacts.errors import CheckFailed, DamagedFile, EdgeactsError, NotAvailable, UsageError
from edgeacts.files import folder_lock, sha256_file
from edgeacts.pipeline import RunSettings, agree, check, run
from edgeacts.records import TrainingRecord, Verdict
from edgeacts.training import TrainSettings, train

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(pipeline.__file__).parent.parent
ORT = ("onnxruntime",)

# A whole run in seconds: what it trains is of no use, but every stage is real.
TINY = [
    "--model", "squeezenet1_1", "--activation", "relu", "--image-size", "16", "--limit-train", "96", "--epochs", "1",
    "--batch-size", "32", "--checkpoint-every", "0", "--train-threads", "1", "--bench-rounds", "5", "--runtime", "onnxruntime",
]  # fmt: skip


class Fake:
    """The expensive stages, copied from a finished training and export; `calls` counts them."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.calls: list[str] = []

    def train(self, settings: TrainSettings, folder: Path, **_: Any) -> None:
        self.calls.append("train")
        shutil.copytree(self.source / "train", folder, dirs_exist_ok=True)

    def export(self, checkpoint: Path, folder: Path, **_: Any) -> None:
        self.calls.append("export")
        shutil.copytree(self.source / "export", folder, dirs_exist_ok=True)

    def verify(self, *_: Any, **__: Any) -> Verdict:
        self.calls.append("verify")
        return Verdict.read(self.source / "export" / "verdict.json")


@pytest.fixture
def fake(trained_digits: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    stages = Fake(trained_digits)
    monkeypatch.setattr(pipeline, "train", stages.train)
    monkeypatch.setattr(pipeline, "export_checkpoint", stages.export)
    monkeypatch.setattr(pipeline, "verify", stages.verify)
    return stages


@pytest.fixture
def settings(trained_digits: Path) -> RunSettings:
    record = TrainingRecord.read(trained_digits / "train" / "training.json")
    return RunSettings(
        models=(record.model,), activations=(record.activation,), runtimes=ORT, bench_rounds=5,
        training=TrainSettings(data="digits", width=record.width),
    )  # fmt: skip


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def variant(folder: Path) -> Path:
    (found,) = (p for p in folder.iterdir() if "-" in p.name)
    return found


def test_finished_stages_are_kept_and_the_settings_are_remembered(
    fake: Fake, settings: RunSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first = run(settings, out)
    assert first.passed
    check(first)
    assert fake.calls == ["train", "export", "verify", "verify"]
    before = state(out)
    assert {"run.json", "bench/latency.json", "report/report.html", "report/summary.md"} <= set(before)
    capsys.readouterr()
    for given in (settings, None):
        again = run(given, out)
        assert again.verdicts == first.verdicts
    assert state(out) == before
    assert len(fake.calls) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.rpartition(" ")[0] for line in told.err.splitlines()[:5]] == [
        *(f"{variant(out).name} {name}: done" for name in ("train", "export", "verify")), "bench: done", "report: done",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("damaged", "again"),
    [
        ("train/checkpoint.safetensors", ["train"]),
        ("export/model.inlined.onnx", ["export"]),
        ("verify/verdict.json", ["verify", "verify"]),
        ("export/stage.json", ["export"]),
        ("train/stage.json", ["train"]),
    ],
)
def test_damage_runs_the_stage_again_and_what_follows_only_if_it_came_out_other(
    fake: Fake, settings: RunSettings, tmp_path: Path, damaged: str, again: list[str]
) -> None:
    run(settings, tmp_path / "run")
    file = variant(tmp_path / "run") / damaged
    sound = file.read_bytes()
    file.write_bytes(sound[: len(sound) // 2])
    fake.calls.clear()
    assert run(None, tmp_path / "run").passed
    assert fake.calls == again
    if not damaged.endswith("stage.json"):
        assert file.read_bytes() == sound


def test_a_stage_that_comes_out_other_takes_its_descendants_with_it(
    fake: Fake, settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings, tmp_path / "run")
    folder = variant(tmp_path / "run")

    def export(checkpoint: Path, out: Path, **options: Any) -> None:
        fake.export(checkpoint, out, **options)
        model = onnx.load(out / "model.onnx")
        model.doc_string = "exported again"
        onnx.save(model, out / "model.onnx")

    monkeypatch.setattr(pipeline, "export_checkpoint", export)
    kept, latency = state(folder / "train"), state(tmp_path / "run" / "bench")
    (folder / "export" / "stage.json").unlink()
    fake.calls.clear()
    run(None, tmp_path / "run")
    assert fake.calls == ["export", "verify", "verify"]
    assert state(folder / "train") == kept
    assert state(tmp_path / "run" / "bench").items().isdisjoint(latency.items())


def test_a_failed_check_is_named_after_everything_is_written(
    fake: Fake, settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Verdict.read(fake.source / "export" / "verdict.json")
    failed = msgspec.structs.replace(sound, outcome="fail", summary="0 of 1 comparisons passed")
    monkeypatch.setattr(pipeline, "verify", lambda *_, **__: failed)
    result = run(settings, tmp_path / "run")
    assert not result.passed
    assert result.report.exists()
    with pytest.raises(
        CheckFailed, match=r"2 of 3 parity checks failed; .*: 0 of 1 comparisons passed; see .*report\.html"
    ):
        check(result)


# ---- settings


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    begun = RunSettings(training=TrainSettings(epochs=3))
    tmp_path.joinpath("run").mkdir()
    begun.write(tmp_path / "run" / "run.json")
    assert agree(begun, tmp_path / "run") == begun
    assert agree(None, tmp_path / "run") == begun
    other = RunSettings(training=TrainSettings(epochs=4, seed=1), opset=21)
    with pytest.raises(UsageError) as caught:
        agree(other, tmp_path / "run")
    assert str(caught.value) == (
        f"{tmp_path / 'run'} holds a run with other settings (opset 20, not 21; "
        "epochs 3, not 4; seed 0, not 1): give another --out"
    )


def test_nothing_to_go_on_with_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no run to go on with \(run\.json is missing\)"):
        run(None, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", ["thesis.tex", ".hidden"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        UsageError, match=rf"is not empty and not a run folder \(it holds {name}\): give another --out"
    ):
        run(RunSettings(training=TrainSettings()), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"kind": "run", "training": {"epochs": -1}}'])
def test_damaged_settings_are_not_guessed(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DamagedFile, match=r"run\.json is not a valid RunSettings"):
        run(None, tmp_path)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"models": ()}, "no model to run: give at least one"),
        ({"activations": ("relu", "relu")}, "activation relu, relu: each may be given once"),
        ({"activations": ("relu", "mush")}, r"unknown activation 'mush': did you mean mish"),
        ({"models": ("mobilenet",)}, r"unknown model 'mobilenet': did you mean mobilenet_v2 or "),
        ({"runtimes": ("ort",)}, "unknown runtime 'ort'"),
        ({"runtimes": ()}, "no runtime to run: give at least one"),
        ({"opset": 11}, "opset 11 is not supported: give one from 18 to 23"),
        ({"tolerance": float("nan")}, "tolerance nan: give a number of at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_made(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        RunSettings(training=TrainSettings(), **fields)


@pytest.mark.parametrize(
    ("fields", "training", "told"),
    [
        ({"provider": "warp"}, {}, "this onnxruntime has no provider 'warp'"),
        ({"bench_rounds": 1}, {}, "rounds must be an integer from 5"),
        ({"bench_precision": 0.0}, {}, "within must be a share from 0.0005 to 0.5"),
        ({"bench_budget_s": -1.0}, {}, "budget_s must be a positive number of seconds"),
        ({"bench_threads": -3}, {}, "threads must be an integer"),
        ({}, {"data": "digts"}, r"unknown data set 'digts': did you mean digits\?"),
        (
            {},
            {"data_root": "/nonexistent/place", "data": "mnist"},
            "data root /nonexistent/place is not a folder",
        ),
    ],
)
def test_what_the_last_stage_would_refuse_is_refused_before_the_first(
    fake: Fake, tmp_path: Path, fields: dict[str, Any], training: dict[str, Any], told: str
) -> None:
    """And the folder is not spoilt for the corrected command."""
    wrong = RunSettings(**{"runtimes": ORT, **fields}, training=TrainSettings(**training))
    with pytest.raises((UsageError, NotAvailable), match=told):
        run(wrong, tmp_path / "run")
    assert fake.calls == []
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_full_disk_ends_the_run_in_one_line_and_it_can_go_on(
    fake: Fake, settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if "bench" in self.parts and "latency" in self.name:
            sound(self, data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return sound(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EdgeactsError, match=r"cannot write .*latency\.json: No space left on device"):
        run(settings, tmp_path / "run")
    assert list((tmp_path / "run" / "bench").iterdir()) == []
    monkeypatch.setattr(Path, "write_bytes", sound)
    fake.calls.clear()
    assert run(None, tmp_path / "run").passed
    assert fake.calls == []


def test_a_folder_in_use_is_refused(settings: RunSettings, tmp_path: Path) -> None:
    with folder_lock(tmp_path / "run"), pytest.raises(EdgeactsError, match="is in use by another run"):
        run(settings, tmp_path / "run")


# ---- real processes


def start(out: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "edgeacts", "run", "--out", str(out), *options],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def when(process: "subprocess.Popen[str]", happened: Callable[[], bool], seconds: float = 200) -> None:
    """Wait until `happened`, or the process is over."""
    end = time.monotonic() + seconds
    while process.poll() is None and not happened():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def results(out: Path) -> dict[str, str]:
    """Hashes of what a run makes, but for times."""
    names = ("train/checkpoint.safetensors", "export/model.onnx", "export/model.inlined.onnx")
    return {name: sha256_file(variant(out) / name) for name in names}


def test_killed_twice_interrupted_once_and_never_two_at_a_time(tmp_path: Path) -> None:
    """Killed at the start and while training, interrupted while exporting: the checkpoint of an undisturbed training."""
    out = tmp_path / "run"
    with folder_lock(out):
        refused = start(out, *TINY)
        told = refused.communicate()
    assert (refused.returncode, told[0]) == (1, "")
    assert f"is in use by another run (process {os.getpid()}): wait for it to end" in told[1]
    moments = ((out / "run.json").exists, lambda: any(out.glob("*/train/resume.ckpt")))
    for moment, options in zip(moments, (TINY, []), strict=True):
        process = start(out, *options)
        when(process, moment)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    third = start(out)
    when(third, lambda: any(out.glob("*/export")))
    third.send_signal(signal.SIGINT)
    told = third.communicate()
    assert third.returncode == 130, told
    assert told[1].splitlines()[-1] == "edgeacts: interrupted; the same command goes on from here"
    assert "Traceback" not in told[1]
    kept = state(variant(out) / "train")
    assert main(["run", "--out", str(out)]) in (
        0,
        1,
    )  # what so short a training gives may be blind, and is then called so
    assert state(variant(out) / "train") == kept
    calm = TrainSettings(
        model="squeezenet1_1",
        activation="relu",
        image_size=16,
        limit_train=96,
        epochs=1,
        batch_size=32,
        threads=1,
    )
    train(calm, tmp_path / "calm", progress=False)
    name = "checkpoint.safetensors"
    assert sha256_file(variant(out) / "train" / name) == sha256_file(tmp_path / "calm" / name)


@pytest.mark.long
def test_killed_at_ten_random_moments_it_comes_to_the_same_result(tmp_path: Path) -> None:
    calm, out = tmp_path / "calm", tmp_path / "killed"
    begin = time.monotonic()
    whole = start(calm, *TINY)
    whole.communicate()
    seconds = time.monotonic() - begin
    moments = random.Random(20)
    begun = False
    for _ in range(10):
        process = start(out, *(() if begun else TINY))
        try:
            process.wait(timeout=moments.uniform(0.05, 0.8) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        begun = (out / "run.json").exists()
    last = start(out, *(() if begun else TINY))
    told = last.communicate()
    assert last.returncode == whole.returncode, told
    assert results(out) == results(calm)
    assert (out / "report" / "report.html").exists()
    leftovers = [p for p in out.rglob(".*") if p.name not in (".lock",)]
    assert not leftovers
