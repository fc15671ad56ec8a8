"""What `benchmark` is asked for, checked before anything is opened."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.latency.blocks import LEAST_ROUNDS
from edgeacts.names import check_name
from edgeacts.runtimes import levels, runtime_names

MAX_ROUNDS = 100_000
MAX_BATCH = 4096
MAX_DIMENSION = 2**24
MIN_WITHIN, MAX_WITHIN = 0.0005, 0.5


def check_arguments(
    paths: Sequence[Path],
    runtimes: Sequence[str],
    *,
    within: float | None,
    budget_s: float | None,
    rounds: int | None,
    batch: int,
    sizes: Mapping[str, int],
) -> None:
    """Raises UsageError that names the argument, its range and what was given."""
    check_subjects(paths, runtimes, batch=batch, sizes=sizes)
    if rounds is not None:
        check_integer("rounds", rounds, LEAST_ROUNDS, MAX_ROUNDS)
    if rounds is None and budget_s is None:
        raise UsageError("give budget_s or rounds: a width of the interval alone may never be reached")
    if within is not None and not MIN_WITHIN <= within <= MAX_WITHIN:
        raise UsageError(
            f"within must be a share from {MIN_WITHIN:g} to {MAX_WITHIN:g} (0.02 for 2 %), got {within!r}"
        )
    if budget_s is not None and not (math.isfinite(budget_s) and budget_s > 0):
        raise UsageError(f"budget_s must be a positive number of seconds, got {budget_s!r}")


def check_subjects(
    paths: Sequence[Path], runtimes: Sequence[str], *, batch: int, sizes: Mapping[str, int]
) -> None:
    """What every way of measuring asks for. Raises UsageError that names the argument and what was given."""
    if not paths or not runtimes:
        raise UsageError(f"nothing to measure: give at least one {'model' if not paths else 'runtime'}")
    for runtime in runtimes:
        check_name(runtime, runtime_names(), "runtime")
    for path in paths:
        if not path.is_file():
            raise UsageError(
                f"model {path} {'is a folder, a file is needed' if path.is_dir() else 'does not exist'}"
            )
    check_integer("batch", batch, 1, MAX_BATCH)
    for name, size in sizes.items():
        check_integer(f"size of {name!r}", size, 1, MAX_DIMENSION)


def level_for(runtimes: Sequence[str], level: str | None) -> dict[str, str | None]:
    """Each runtime once, with `level` where it has one of that name, else None. Raises UsageError."""
    if level is None:
        return dict.fromkeys(runtimes)
    check_name(level, dict.fromkeys(name for runtime in runtimes for name in levels(runtime)), "level")
    return {runtime: level if level in levels(runtime) else None for runtime in runtimes}


def unique_labels(paths: Sequence[Path], labels: Sequence[str] | None) -> list[str]:
    """`labels` if given (as many as models, all different), otherwise file stems.

    Stems that collide get their folder in front, and the same file twice a number. Raises UsageError.
    """
    if labels is not None:
        if len(labels) != len(paths):
            raise UsageError(f"{len(labels)} labels for {len(paths)} models: give one label for each model")
        twice = [label for label, count in Counter(labels).items() if count > 1 or not label.strip()]
        if twice:
            raise UsageError(f"label {twice[0]!r} is empty or given twice: labels must be different")
        return list(labels)
    stems = Counter(path.stem for path in {path.absolute() for path in paths})
    names = [
        path.stem if stems[path.stem] == 1 else f"{path.absolute().parent.name}/{path.stem}" for path in paths
    ]
    seen = Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique


def check_integer(what: str, value: object, low: int, high: int) -> None:
    """Raises UsageError outside [low, high], and for what is no integer."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{what} must be an integer from {low} to {high}, got {value!r}")


def raise_nothing_measured(skipped: Mapping[str, EdgeactsError]) -> NoReturn:
    """The one reason, or all of them."""
    first = next(iter(skipped.values()))
    if len({str(error) for error in skipped.values()}) == 1:
        raise first
    reasons = "; ".join(f"{key}: {error}" for key, error in skipped.items())
    raise type(first)(f"nothing could be measured: {reasons}") from first
