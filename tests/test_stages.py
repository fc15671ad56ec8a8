"""A stage is done when its mark and every file it wrote are as they were; anything else is done again."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgeacts.errors import UsageError
from edgeacts.stages import MARK, Stage, StageMark, carry_out


class Work:
    """Writes two files and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.times = folder, 0

    def __call__(self) -> None:
        self.times += 1
        (self.folder / "model.onnx").write_bytes(b"weights")
        (self.folder / "sub").mkdir()
        (self.folder / "sub" / "record.json").write_text("{}")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "run" / "net-relu" / "export")


@pytest.fixture
def stage(tmp_path: Path, work: Work) -> Stage:
    parent = tmp_path / "run" / "net-relu" / "train" / "checkpoint.bin"
    parent.parent.mkdir(parents=True)
    parent.write_bytes(b"checkpoint")
    return Stage("export", work.folder, (parent,), work, keep=("resume.ckpt",))


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """path -> inode and time of change."""
    return {
        str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def said(stage: Stage) -> str:
    lines: list[str] = []
    carry_out(stage, lines.append)
    (line,) = lines
    return line


def test_a_stage_is_done_once(stage: Stage, work: Work) -> None:
    assert said(stage) == "export"
    before = state(stage.folder)
    assert set(before) == {MARK, "model.onnx", "sub/record.json"}
    assert said(stage) == "export: done before"
    assert carry_out(stage, lambda _: None) is False
    assert state(stage.folder) == before
    assert work.times == 1


def test_the_mark_holds_the_hashes_of_what_was_written_and_read(stage: Stage) -> None:
    carry_out(stage, lambda _: None)
    mark = StageMark.read(stage.folder / MARK)
    assert mark.stage == "export"
    assert list(mark.outputs) == ["model.onnx", "sub/record.json"]
    assert mark.outputs["model.onnx"] == hashlib.sha256(b"weights").hexdigest()
    assert list(mark.parents) == ["net-relu/train/checkpoint.bin"]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed byte": (
        lambda f: (f / "model.onnx").write_bytes(b"Weights"),
        "'model.onnx' is missing or was changed",
    ),
    "a truncated file": (
        lambda f: (f / "model.onnx").write_bytes(b"weigh"),
        "'model.onnx' is missing or was changed",
    ),
    "a lost file": (
        lambda f: (f / "sub" / "record.json").unlink(),
        "'sub/record.json' is missing or was changed",
    ),
    "a folder in its place": (
        lambda f: ((f / "model.onnx").unlink(), (f / "model.onnx").mkdir()),
        "'model.onnx' is missing",
    ),
    "a text for a mark": (lambda f: (f / MARK).write_text("done"), "its mark is damaged"),
    "an empty mark": (lambda f: (f / MARK).write_text(""), "its mark is damaged"),
    "half a mark": (lambda f: (f / MARK).write_text((f / MARK).read_text()[:90]), "its mark is damaged"),
    "a folder for a mark": (lambda f: ((f / MARK).unlink(), (f / MARK).mkdir()), "its mark is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_makes_the_stage_run_again_and_heals_it(stage: Stage, work: Work, name: str) -> None:
    carry_out(stage, lambda _: None)
    damage, reason = DAMAGE[name]
    damage(stage.folder)
    assert said(stage).startswith(f"export: again, {reason}")
    assert work.times == 2
    assert (stage.folder / "model.onnx").read_bytes() == b"weights"
    assert said(stage) == "export: done before"


def forge(stage: Stage, /, **changes: object) -> None:
    mark = StageMark.read(stage.folder / MARK)
    msgspec.structs.replace(mark, **changes).write(stage.folder / MARK)


@pytest.mark.parametrize(
    "name", ["../train/checkpoint.bin", "/etc/hostname", "a\0b", "x" * 5000, "..", ".", ""]
)
def test_a_mark_never_leads_out_of_its_folder(stage: Stage, work: Work, name: str) -> None:
    """The file named outside may even have the right hash: it does not count."""
    carry_out(stage, lambda _: None)
    mark = StageMark.read(stage.folder / MARK)
    forge(stage, outputs={**mark.outputs, name: next(iter(mark.parents.values()))})
    assert said(stage).startswith("export: again, ")
    assert work.times == 2
    assert stage.parents[0].read_bytes() == b"checkpoint"


def test_a_link_out_of_the_folder_does_not_count(stage: Stage, work: Work, tmp_path: Path) -> None:
    carry_out(stage, lambda _: None)
    outside = tmp_path / "outside.onnx"
    shutil.move(stage.folder / "model.onnx", outside)
    (stage.folder / "model.onnx").symlink_to(outside)
    assert "'model.onnx' is missing or was changed" in said(stage)
    assert outside.read_bytes() == b"weights"  # the link was removed, not what it led to
    assert not (stage.folder / "model.onnx").is_symlink()


@pytest.mark.parametrize("changes", [{"outputs": {}}, {"stage": "train"}])
def test_a_mark_that_proves_nothing_is_none(stage: Stage, work: Work, changes: dict[str, object]) -> None:
    carry_out(stage, lambda _: None)
    forge(stage, **changes)
    assert said(stage) == "export: again, its mark is not one of this stage"
    assert work.times == 2


def test_a_mark_of_another_version_is_not_believed(stage: Stage, work: Work) -> None:
    carry_out(stage, lambda _: None)
    fields = json.loads((stage.folder / MARK).read_text())
    (stage.folder / MARK).write_text(json.dumps({**fields, "version": 2}))
    assert said(stage) == "export: again, its mark is damaged"


def test_another_parent_makes_it_run_again(stage: Stage, work: Work) -> None:
    carry_out(stage, lambda _: None)
    stage.parents[0].write_bytes(b"retrained")
    assert said(stage) == "export: again, what it was made from has changed"
    assert work.times == 2
    assert said(stage) == "export: done before"


def test_a_missing_parent_is_an_error_that_names_it(stage: Stage, work: Work) -> None:
    stage.parents[0].unlink()
    with pytest.raises(UsageError, match=r"checkpoint\.bin cannot be read: No such file"):
        carry_out(stage, lambda _: None)
    assert work.times == 0


def test_work_that_fails_leaves_no_mark_and_is_begun_afresh(stage: Stage, work: Work) -> None:
    def fails() -> None:
        work()
        (stage.folder / "half").write_text("x")
        (stage.folder / "resume.ckpt").write_text("epoch 3")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        carry_out(Stage("export", stage.folder, stage.parents, fails), lambda _: None)
    assert not (stage.folder / MARK).exists()
    seen: list[set[str]] = []

    def looks() -> None:
        seen.append({p.name for p in stage.folder.iterdir()})
        work()

    carry_out(Stage("export", stage.folder, stage.parents, looks, keep=stage.keep), lambda _: None)
    assert seen == [{"resume.ckpt"}]


def test_a_redo_that_fails_is_not_taken_for_the_old_result(stage: Stage, work: Work) -> None:
    carry_out(stage, lambda _: None)
    stage.parents[0].write_bytes(b"retrained")

    def fails() -> None:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        carry_out(Stage("export", stage.folder, stage.parents, fails), lambda _: None)
    stage.parents[0].write_bytes(b"checkpoint")  # as it was: the old mark would fit again
    assert said(stage) == "export"
    assert work.times == 2
