"""Every way a file can run here: runtime, optimization level, executed precision, threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeacts.errors import NotAvailable, UsageError
from edgeacts.names import check_name
from edgeacts.runtimes import PRECISIONS, levels, precisions, resolve_threads, runtime_names


@dataclass(frozen=True)
class Cell:
    """One session: everything that is decided when a model is opened. `thorough`: every input, not only a few."""

    runtime: str
    level: str
    precision: str
    threads: int
    thorough: bool = True


def cells(
    runtimes: Sequence[str], asked: Sequence[str] | None, threads: Sequence[int]
) -> tuple[list[Cell], dict[str, str]]:
    """The sessions to try, and what is left out: name -> reason. `asked` None: every precision that runs here.

    Raises UsageError for an unknown or empty choice.
    """
    for what, values in (("runtime", runtimes), ("precision", asked), ("number of threads", threads)):
        if values is not None and not values:
            raise UsageError(f"no {what} to verify on: give at least one")
    for name in runtimes:
        check_name(name, runtime_names(), "runtime")
    for name in asked or ():
        check_name(name, PRECISIONS, "precision")
    found, skipped = [], dict[str, str]()
    counts = dict.fromkeys(map(resolve_threads, threads))
    for runtime in runtimes:
        try:
            able = precisions(runtime)
        except NotAvailable as error:
            skipped[runtime] = str(error)
            continue
        for precision in able if asked is None else dict.fromkeys(asked):
            if precision not in able:
                skipped[f"{runtime} {precision}"] = _unable(runtime, precision)
                continue
            found += [
                Cell(runtime, level, precision, n, thorough=i == 0)
                for level in levels(runtime)
                for i, n in enumerate(counts)
            ]
    return found, skipped


def _unable(runtime: str, precision: str) -> str:
    if runtime == "openvino":
        return f"this CPU does not compute in {precision}, openvino would run f32"
    return (
        f"{runtime} runs a model in the precision of its file: for {precision} give it a {precision} "
        "model (openvino converts while loading)"
    )
