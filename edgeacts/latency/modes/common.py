"""What every mode does alike: arguments checked, models in fresh processes, what could not be measured with its reason."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from tqdm import tqdm

from edgeacts.circumstances import Circumstances, circumstances
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.files import sha256_file
from edgeacts.latency.arguments import check_subjects, level_for, raise_nothing_measured, unique_labels
from edgeacts.latency.subprocesses import Fresh, Message
from edgeacts.runtimes import Executed, resolve_threads


class Common(TypedDict, total=False):
    """Arguments that every mode takes, with the meaning that they have for `benchmark`."""

    runtimes: Sequence[str]
    threads: int
    provider: str
    level: str | None
    precision: str
    batch: int
    sizes: Mapping[str, int] | None
    seed: int
    labels: Sequence[str] | None
    progress: bool


@dataclass(frozen=True)
class Cell:
    """One model on one runtime."""

    label: str
    model: str
    runtime: str
    level: str | None

    def __str__(self) -> str:
        return f"{self.label} on {self.runtime}"


@dataclass(frozen=True)
class Plan:
    """What is measured and how it is opened and fed."""

    cells: tuple[Cell, ...]
    threads: int
    provider: str
    precision: str
    batch: int
    sizes: Mapping[str, int]
    seed: int
    progress: bool
    begin: float = field(default_factory=time.perf_counter)
    circumstances: Circumstances = field(default_factory=circumstances)

    def job(self, cell: Cell, **more: Any) -> dict[str, Any]:
        """What a fresh process needs to know to open and feed a cell."""
        common = ("threads", "provider", "precision", "batch", "sizes", "seed")
        return {**asdict(cell), **{name: getattr(self, name) for name in common}, **more}

    def ends(self, skipped: Mapping[str, EdgeactsError]) -> dict[str, Any]:
        """The fields that every record ends with."""
        return {
            "seconds": time.perf_counter() - self.begin,
            "skipped": {key: str(error) for key, error in skipped.items()},
            "circumstances": self.circumstances,
        }

    @contextmanager
    def bar(self, total: float, what: str, unit: str) -> Iterator[Any]:
        """A progress bar where it is asked for and standard error is a terminal."""
        with tqdm(total=total, desc=what, unit=unit, disable=None if self.progress else True) as bar:
            yield bar


def plan(
    models: Sequence[str | Path],
    *,
    runtimes: Sequence[str] = ("onnxruntime",),
    threads: int = 1,
    provider: str = "cpu",
    level: str | None = None,
    precision: str = "f32",
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    progress: bool = False,
) -> Plan:
    """Every model on every runtime. Raises UsageError that names the argument and what was given."""
    paths = [Path(model) for model in models]
    check_subjects(paths, runtimes, batch=batch, sizes=sizes or {})
    named = list(zip(unique_labels(paths, labels), paths, strict=True))
    cells = [
        Cell(label, str(path), runtime, its_level)
        for runtime, its_level in level_for(runtimes, level).items()
        for label, path in named
    ]
    return Plan(
        tuple(cells), resolve_threads(threads), provider, precision, batch, dict(sizes or {}), seed, progress
    )


def check_number(what: str, value: object, low: float, high: float) -> None:
    """Raises UsageError outside [low, high], and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UsageError(f"{what} must be from {low:g} to {high:g}, got {value!r}")


def run_each(
    plan: Plan, task: str, *, unit: str, each: float, **more: Any
) -> tuple[list[tuple[Cell, Message]], dict[str, EdgeactsError]]:
    """The result of `task` for each cell, a fresh process after the other, and why there is none for the others.

    A message with "progress" moves the bar by so much of `each`. Raises the error itself when nothing could be measured.
    """
    results: list[tuple[Cell, Message]] = []
    skipped: dict[str, EdgeactsError] = {}
    with plan.bar(each * len(plan.cells), task.rpartition(".")[2].partition(":")[0], unit) as bar:
        for cell in plan.cells:
            bar.set_postfix_str(str(cell))
            try:
                with Fresh(task, plan.job(cell, **more)) as process:
                    for message in process:
                        if "progress" in message:
                            bar.update(message["progress"])
                        else:
                            results.append((cell, message))
            except EdgeactsError as error:
                skipped[str(cell)] = error
    if not results:
        raise_nothing_measured(skipped)
    return results, skipped


def subject(cell: Cell, executed: Executed) -> dict[str, Any]:
    """The fields of a record's `Subject`."""
    return {
        "label": cell.label,
        "model": cell.model,
        "model_sha256": _sha256(cell.model, Path(cell.model).stat().st_mtime_ns),
        "runtime": cell.runtime,
        "executed": executed,
    }


@functools.lru_cache(maxsize=64)
def _sha256(model: str, _modified_ns: int) -> str:
    return sha256_file(Path(model))
