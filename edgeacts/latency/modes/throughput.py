"""Throughput: as many items a second as possible, with several requests at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.latency import text
from edgeacts.latency.arguments import check_integer
from edgeacts.latency.modes.common import Cell, Common, check_number, plan, run_each, subject
from edgeacts.latency.modes.process import executed, feeds_of, open_job
from edgeacts.latency.modes.statistics import mean_interval
from edgeacts.latency.subprocesses import Message
from edgeacts.latency.timing import gc_paused
from edgeacts.records import ThroughputRecord, ThroughputSeries

OPTIONS = ("streams", "duration_s")
MAX_DURATION_S = 24 * 3600.0
_WARMUP_SHARE = 0.1
_TICK_S = 0.25
_LEAST_WINDOWS, _MOST_WINDOWS = 5, 30
_RUNS_A_WINDOW = 20  # on average; below, the count of whole runs is a coarse measure


def throughput(
    models: Sequence[str | Path],
    *,
    streams: int | None = None,
    duration_s: float = 10.0,
    **common: Unpack[Common],
) -> ThroughputRecord:
    """Items a second of `streams` requests at once for `duration_s`; the 95 % interval is over windows of that time.

    The threads are shared out between the streams; as many streams as threads unless given. Each stream is a thread that runs a
    request after the other: on ONNX Runtime in one session, on OpenVINO a request each of a model compiled for throughput.
    Raises UsageError, or the error itself when nothing could be measured.
    """
    check_number("duration_s", duration_s, 0.01, MAX_DURATION_S)
    asked = plan(models, **common)
    streams = asked.threads if streams is None else streams
    check_integer("streams", streams, 1, 4096)
    if streams > asked.threads:
        raise UsageError(
            f"{streams} streams need at least as many threads, {asked.threads} given: "
            f"give {streams} threads, or fewer streams"
        )
    task = "edgeacts.latency.modes.throughput:requests"
    results, skipped = run_each(
        asked, task, unit="s", each=duration_s, streams=streams, duration_s=duration_s
    )
    return ThroughputRecord(
        series=tuple(_series(cell, message, streams, asked.batch, asked.seed) for cell, message in results),
        threads=asked.threads,
        **asked.ends(skipped),
    )


def saturate(
    calls: Sequence[Callable[[], object]],
    duration_s: float,
    ended_ns: list[int],
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Iterator[float]:
    """Run each call over and over in a thread of its own; seconds gone by are given meanwhile.

    `ended_ns` gets the times at which runs ended, from the beginning, in order. What a call raises is raised here.
    """
    stop, ready = threading.Event(), threading.Barrier(len(calls) + 1)

    def work(call: Callable[[], object]) -> list[int]:
        ends = []
        ready.wait()
        while not stop.is_set():
            call()
            ends.append(clock())
        return ends

    with ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(work, call) for call in calls]
        try:
            ready.wait()
            start = clock()
            while (left := duration_s - (clock() - start) / 1e9) > 0 and not any(r.done() for r in running):
                tick = min(_TICK_S, left)
                time.sleep(tick)
                yield tick
        finally:
            stop.set()
        ended_ns += sorted(end - start for one in running for end in one.result())


def rates(ended_ns: Sequence[int], duration_s: float, batch: int) -> list[float]:
    """Items a second in each of 5 to 30 equal windows of the duration; runs that ended after it do not count."""
    inside = [end for end in ended_ns if end < duration_s * 1e9]
    count = min(_MOST_WINDOWS, max(_LEAST_WINDOWS, len(inside) // _RUNS_A_WINDOW))
    runs, _ = np.histogram(inside, bins=count, range=(0, duration_s * 1e9))
    return [float(n) * batch * count / duration_s for n in runs]


def requests(job: Mapping[str, Any]) -> Iterator[Message]:
    """In the fresh process: progress in seconds, then the rate in each window."""
    with open_job(job, streams=job["streams"]) as session:
        feeds = feeds_of(job, session)
        calls = [session.bind(feeds) for _ in range(job["streams"])]
        with gc_paused():
            for _ in saturate(calls, job["duration_s"] * _WARMUP_SHARE, []):
                pass
            ended_ns: list[int] = []
            for seconds in saturate(calls, job["duration_s"], ended_ns):
                yield {"progress": seconds}
            found = rates(ended_ns, job["duration_s"], job["batch"])
            if not any(found):
                raise EdgeactsError(f"no run ended within {job['duration_s']:g} s: give a longer duration")
            yield {"items_per_s": found, "executed": executed(session, feeds, streams=job["streams"])}


def _series(cell: Cell, message: Message, streams: int, batch: int, seed: int) -> ThroughputSeries:
    mean, low, high = mean_interval(message["items_per_s"], seed)
    return ThroughputSeries(
        **subject(cell, message["executed"]),
        batch=batch,
        streams=streams,
        window_items_per_s=tuple(message["items_per_s"]),
        items_per_s=mean,
        items_per_s_low=low,
        items_per_s_high=high,
    )


def format_throughput(record: ThroughputRecord) -> str:
    """One line a series: batch, streams, items a second with the interval, ratio to the runtime's first."""
    first: dict[str, float] = {}
    rows = [(one, _cells(one, first.setdefault(one.runtime, one.items_per_s))) for one in record.series]
    about = (
        f"{text.plural(record.threads, 'thread')} shared by the streams, {record.circumstances.cpu}. "
        "Interval: 95 %, over windows. Ratio: to the runtime's first model, more is faster."
    )
    head, widths = ("batch", "streams", "items/s", "interval", "ratio"), (7, 9, 10, 18, 8)
    return "\n".join([*text.table(head, widths, rows), *text.ending(about, record.skipped)])


def _cells(one: ThroughputSeries, baseline: float) -> list[str]:
    low, high = one.items_per_s_low, one.items_per_s_high
    return [
        str(one.batch),
        str(one.streams),
        f"{one.items_per_s:.1f}",
        f"{low:.1f}-{high:.1f}",
        f"{one.items_per_s / baseline:.2f}" if baseline > 0 else "-",
    ]


measure, table = throughput, format_throughput
