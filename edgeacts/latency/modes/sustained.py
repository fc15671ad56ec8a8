"""Sustained: runs without a pause for minutes, and how far the last third drifted from the first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from edgeacts.errors import EdgeactsError
from edgeacts.latency import text
from edgeacts.latency.modes.common import Cell, Common, check_number, plan, run_each, subject
from edgeacts.latency.modes.process import executed, feeds_of, frequency_mhz, open_job
from edgeacts.latency.modes.statistics import drift
from edgeacts.latency.subprocesses import Message
from edgeacts.latency.timing import gc_paused
from edgeacts.records import SustainedRecord, SustainedSeries

OPTIONS = ("duration_s",)
MAX_DURATION_S = 24 * 3600.0
MIN_WINDOWS = 9
_WINDOW_S = 1.0
_WINDOWS = 30  # at least so many, by shorter windows if need be


class Window(NamedTuple):
    """A stretch of runs: their median, how many there were, the clock of the cores at its end."""

    median_ns: float
    runs: int
    frequency_mhz: float | None


def sustained(
    models: Sequence[str | Path], *, duration_s: float = 60.0, **common: Unpack[Common]
) -> SustainedRecord:
    """Each model on its own for `duration_s`, one after the other in fresh processes, without warm-up or pause.

    Windows are 1 s, or 1/30 of a duration below 30 s. Drift is the median of the last third's windows over that of the first
    third's, with a 95 % bootstrap interval: 1.10 means 10 % slower in the end. A later model starts on a machine that the one
    before has warmed. Raises UsageError, or the error itself when nothing could be measured.
    """
    check_number("duration_s", duration_s, 0.01, MAX_DURATION_S)
    asked = plan(models, **common)
    window_s = min(_WINDOW_S, duration_s / _WINDOWS)
    results, skipped = run_each(
        asked,
        "edgeacts.latency.modes.sustained:stretch",
        unit="s",
        each=duration_s,
        duration_s=duration_s,
        window_s=window_s,
    )
    return SustainedRecord(
        series=tuple(_series(cell, message, window_s, asked.seed) for cell, message in results),
        threads=asked.threads,
        batch=asked.batch,
        **asked.ends(skipped),
    )


def windows(
    call: Callable[[], object],
    duration_s: float,
    window_s: float,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    frequency: Callable[[], float | None] = frequency_mhz,
) -> Iterator[Window]:
    """Runs of `call` back to back; a window ends with the first run that ends `window_s` after it began."""
    end = clock() + round(duration_s * 1e9)
    while (begin := clock()) < end:
        before = begin
        taken: list[int] = []
        while before - begin < window_s * 1e9:
            call()
            after = clock()
            taken.append(after - before)
            before = after
        yield Window(statistics.median(taken), len(taken), frequency())


def stretch(job: Mapping[str, Any]) -> Iterator[Message]:
    """In the fresh process: progress in seconds, then the windows."""
    with open_job(job) as session:
        feeds = feeds_of(job, session)
        call = session.bind(feeds)
        with gc_paused():
            taken: list[Window] = []
            for window in windows(call, job["duration_s"], job["window_s"]):
                taken.append(window)
                yield {"progress": job["window_s"]}
            if len(taken) < MIN_WINDOWS:
                raise EdgeactsError(
                    f"only {len(taken)} runs fit into {job['duration_s']:g} s, a drift needs {MIN_WINDOWS}: "
                    "give a longer duration"
                )
            yield {
                "median_ns": [window.median_ns for window in taken],
                "runs": [window.runs for window in taken],
                "frequency_mhz": [window.frequency_mhz for window in taken],
                "executed": executed(session, feeds),
            }


def _series(cell: Cell, message: Message, window_s: float, seed: int) -> SustainedSeries:
    ratio, low, high = drift(message["median_ns"], seed)
    return SustainedSeries(
        **subject(cell, message["executed"]),
        window_s=window_s,
        window_median_ns=tuple(message["median_ns"]),
        window_runs=tuple(message["runs"]),
        window_frequency_mhz=tuple(message["frequency_mhz"]),
        drift=ratio,
        drift_low=low,
        drift_high=high,
    )


def format_sustained(record: SustainedRecord) -> str:
    """One line a series: medians of the first and last third, drift with its interval, slowest window, clock."""
    rows = [(one, _cells(one)) for one in record.series]
    batch = f"batch {record.batch}"
    about = (
        f"Milliseconds, medians of windows, {text.plural(record.threads, 'thread')}, {batch}, "
        f"{record.circumstances.cpu}. Drift: last third over first third, with its 95 % interval. "
        "MHz: lowest and highest that a window ended with."
    )
    head, widths = ("first", "last", "worst", "drift", "interval", "MHz"), (8, 8, 8, 7, 12, 11)
    return "\n".join([*text.table(head, widths, rows), *text.ending(about, record.skipped)])


def _cells(one: SustainedSeries) -> list[str]:
    third = len(one.window_median_ns) // 3
    first, last = (
        statistics.median(part) for part in (one.window_median_ns[:third], one.window_median_ns[-third:])
    )
    clocks = [mhz for mhz in one.window_frequency_mhz if mhz is not None]
    return [
        *map(text.milliseconds, (first, last, max(one.window_median_ns))),
        f"{one.drift:.3f}",
        f"{one.drift_low:.2f}-{one.drift_high:.2f}",
        f"{min(clocks):.0f}-{max(clocks):.0f}" if clocks else "-",
    ]


measure, table = sustained, format_sustained
