"""Cold start: from the start of a fresh process to its first result, and therein the session's opening and the first run."""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from edgeacts.errors import EdgeactsError
from edgeacts.latency import text
from edgeacts.latency.arguments import check_integer, raise_nothing_measured
from edgeacts.latency.modes.common import (
    Cell,
    Common,
    Plan,
    plan,
    subject,
)
from edgeacts.latency.subprocesses import Message, one_result
from edgeacts.records import ColdRecord, ColdSeries

OPTIONS = ("repeats",)
MAX_REPEATS = 1000
_TASK = "edgeacts.latency.modes.tasks:first_result"
_clock = time.perf_counter_ns  # one clock for all processes of a machine


def cold_start(models: Sequence[str | Path], *, repeats: int = 10, **common: Unpack[Common]) -> ColdRecord:
    """`repeats` fresh processes for each model, models in turn in random order: start to first result, in nanoseconds.

    A first process of each is not counted: it brings the files into the page cache and compiles what runs accelerated, so what
    is cold is the process, not the disk. The rest of the time to the first result is Python, its imports and the runtime's
    library. Making the input is not counted. Raises UsageError, or the error itself when nothing could be measured.
    """
    check_integer("repeats", repeats, 1, MAX_REPEATS)
    asked = plan(models, **common)
    order = random.Random(asked.seed)  # noqa: S311
    what_ran: dict[Cell, Message] = {}
    skipped: dict[str, EdgeactsError] = {}
    taken: dict[Cell, list[tuple[int, int, int]]] = defaultdict(list)
    with asked.bar(len(asked.cells) * (repeats + 1), "cold", "process") as bar:
        for cell in asked.cells:
            try:
                what_ran[cell] = one_result(_TASK, asked.job(cell, tell=True))["executed"]
            except EdgeactsError as error:
                skipped[str(cell)] = error
            bar.update()
        if not what_ran:
            raise_nothing_measured(skipped)
        for _ in range(repeats):
            for cell in order.sample(list(what_ran), len(what_ran)):
                taken[cell].append(_one_start(asked, cell))
                bar.update()
    return ColdRecord(
        series=tuple(_series(cell, what_ran[cell], taken[cell]) for cell in what_ran),
        processes=repeats,
        **asked.ends(skipped),
    )


def _one_start(asked: Plan, cell: Cell) -> tuple[int, int, int]:
    """(to the first result, opening, first run) of one process."""
    started = _clock()
    told = one_result(_TASK, asked.job(cell, tell=False))
    return told["end_ns"] - started - told["input_ns"], told["opening_ns"], told["first_run_ns"]


def _series(cell: Cell, what_ran: Message, taken: Sequence[tuple[int, int, int]]) -> ColdSeries:
    to_result, opening, first_run = zip(*taken, strict=True)
    return ColdSeries(
        **subject(cell, what_ran),
        to_first_result_ns=to_result,
        opening_ns=opening,
        first_run_ns=first_run,
        median_to_first_result_ns=float(statistics.median(to_result)),
        median_opening_ns=float(statistics.median(opening)),
        median_first_run_ns=float(statistics.median(first_run)),
    )


def format_cold(record: ColdRecord) -> str:
    """One line a series: medians of process start to first result, and of its parts."""
    rows = [(one, _cells(one)) for one in record.series]
    about = (
        f"Milliseconds, medians of {record.processes} fresh process{'es' if record.processes > 1 else ''}, "
        f"models in turn in random order, files in the page cache, {record.circumstances.cpu}. "
        "Start: Python, imports, the runtime's library. Accelerated opens what it compiled before."
    )
    head, widths = ("start", "opening", "first run", "to result", "worst"), (8, 9, 11, 11, 9)
    return "\n".join([*text.table(head, widths, rows), *text.ending(about, record.skipped)])


def _cells(one: ColdSeries) -> list[str]:
    parts = zip(one.to_first_result_ns, one.opening_ns, one.first_run_ns, strict=True)
    start = statistics.median(total - opening - run for total, opening, run in parts)
    shown = (
        start,
        one.median_opening_ns,
        one.median_first_run_ns,
        one.median_to_first_result_ns,
        max(one.to_first_result_ns),
    )
    return [text.milliseconds(value) for value in shown]


measure, table = cold_start, format_cold
