"""Stages of a run: each leaves a mark with the hashes of what it wrote, last of all; only marked results are ever used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeacts.errors import DamagedFile, UsageError
from edgeacts.files import sha256_file
from edgeacts.records import Record

MARK = "stage.json"
_OF_A_NETWORK = ("train", "export", "verify", "quantize", "verify-int8")  # below the folder of one network


class StageMark(Record, frozen=True, tag_field="kind", tag="stage"):
    """What a finished stage wrote (`outputs`: path below the stage's folder -> SHA-256), from what (`parents`: the same)."""

    stage: str
    parents: dict[str, str]
    outputs: dict[str, str]
    seconds: float
    version: int = 1


@dataclass(frozen=True)
class Stage:
    """One unit of work: writes into `folder`, from the files `parents`. `keep` are names that a redo may go on from."""

    name: str
    folder: Path
    parents: tuple[Path, ...]
    work: Callable[[], None]
    keep: tuple[str, ...] = ()


def carry_out(stage: Stage, say: Callable[[str], None]) -> bool:
    """Do the stage unless its mark says it is done and every file is as it was written. True when it had to be done."""
    parents = {_name(p, stage.folder): sha256_file(p) for p in stage.parents}
    reason = _why_not_done(stage, parents)
    if reason is None:
        say(f"{stage.name}: done before")
        return False
    say(f"{stage.name}" + (f": again, {reason}" if reason else ""))
    _clear(stage)
    begin = time.perf_counter()
    stage.work()
    outputs = {
        str(p.relative_to(stage.folder)): sha256_file(p)
        for p in sorted(stage.folder.rglob("*"))
        if _counts(p)
    }
    mark = StageMark(stage=stage.name, parents=parents, outputs=outputs, seconds=time.perf_counter() - begin)
    mark.write(stage.folder / MARK)
    return True


def _why_not_done(stage: Stage, parents: Mapping[str, str]) -> str | None:
    """None when the stage is done; otherwise the reason to do it (again), empty when it never was."""
    path = stage.folder / MARK
    if not path.exists():
        return ""
    try:
        mark = StageMark.read(path)
    except (DamagedFile, UsageError):
        return "its mark is damaged"
    if mark.stage != stage.name or not mark.outputs:
        return "its mark is not one of this stage"
    if mark.parents != dict(parents):
        return "what it was made from has changed"
    for name, sha256 in mark.outputs.items():
        if not _is_intact(stage.folder, name, sha256):
            return f"{name!r} is missing or was changed"
    return None


def _is_intact(folder: Path, name: str, sha256: str) -> bool:
    """Whether folder/name is as it was written. A mark is untrusted: no name in it leads out of the folder."""
    try:
        file = (folder / name).resolve()
        return file.is_relative_to(folder.resolve()) and file.is_file() and sha256_file(file) == sha256
    except (OSError, ValueError, UsageError):  # a name that no file can have, or a file that cannot be read
        return False


def _clear(stage: Stage) -> None:
    """Leave nothing of an unfinished attempt but what the work itself can go on from."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    left = [p for p in stage.folder.iterdir() if p.name not in stage.keep]
    for path in sorted(left, key=lambda p: p.name != MARK):  # the mark first: from then on nothing is done
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _counts(path: Path) -> bool:
    return path.is_file() and path.name != MARK


def _name(path: Path, folder: Path) -> str:
    run = folder.parent.parent if folder.name in _OF_A_NETWORK else folder.parent
    return (
        str(path.resolve().relative_to(run.resolve()))
        if path.resolve().is_relative_to(run.resolve())
        else path.name
    )
