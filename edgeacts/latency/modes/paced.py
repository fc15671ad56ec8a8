"""Paced: a frame every 1/rate seconds, as a camera calls a model; caches cool and cores clock down in between."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from edgeacts.errors import UsageError
from edgeacts.latency import text
from edgeacts.latency.modes.common import Cell, Common, check_number, plan, run_each, subject
from edgeacts.latency.modes.process import executed, feeds_of, open_job
from edgeacts.latency.subprocesses import Message
from edgeacts.latency.summary import quantiles_ns
from edgeacts.latency.timing import gc_paused
from edgeacts.records import PacedRecord, PacedSeries

OPTIONS = ("rate_hz", "duration_s")
MAX_RATE_HZ, MAX_DURATION_S = 1000.0, 24 * 3600.0
MIN_FRAMES = 5
_WARMUP_S = 1.0
_BACK_TO_BACK = 30  # runs without a pause, for comparison


class Frame(NamedTuple):
    """Which frame was taken, when its run began and ended."""

    slot: int
    begin_ns: int
    end_ns: int


def paced(
    models: Sequence[str | Path], *, rate_hz: float = 30.0, duration_s: float = 10.0, **common: Unpack[Common]
) -> PacedRecord:
    """`rate_hz` frames a second for `duration_s`, each model alone in a fresh process, sleeping between frames.

    Frames do not queue up: one that comes while the model is still busy is dropped, and the model goes on with the next that
    comes. A frame that was not done when the next one came is late. A second of frames before is not counted. The median of
    runs without a pause is measured after them, for comparison. Raises UsageError, or the error itself when nothing could be
    measured.
    """
    check_number("rate_hz", rate_hz, 0.01, MAX_RATE_HZ)
    check_number("duration_s", duration_s, 0.001, MAX_DURATION_S)
    if rate_hz * duration_s < MIN_FRAMES:
        raise UsageError(
            f"{duration_s:g} s at {rate_hz:g} frames a second are fewer than {MIN_FRAMES} frames: "
            "give a longer duration or a higher rate"
        )
    asked = plan(models, **common)
    task = "edgeacts.latency.modes.paced:frames"
    results, skipped = run_each(
        asked, task, unit="s", each=duration_s, rate_hz=rate_hz, duration_s=duration_s
    )
    return PacedRecord(
        series=tuple(_series(cell, message) for cell, message in results),
        rate_hz=rate_hz,
        threads=asked.threads,
        **asked.ends(skipped),
    )


def pace(
    call: Callable[[], object],
    rate_hz: float,
    count: int,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Frame]:
    """Runs of `call` for those of `count` frames that it has time for; frame i comes i/rate after the beginning.

    Times are nanoseconds from the beginning.
    """
    period_ns = 1e9 / rate_hz
    start, slot = clock(), 0
    while slot < count:
        while (early := round(slot * period_ns) - (clock() - start)) > 0:
            sleep(early / 1e9)
        begin = clock() - start
        call()
        end = clock() - start
        yield Frame(slot, begin, end)
        slot = max(slot + 1, math.ceil(end / period_ns))


def late(frames: Sequence[Frame], rate_hz: float) -> int:
    """How many were not done when the next one came."""
    return sum(frame.end_ns > (frame.slot + 1) * 1e9 / rate_hz for frame in frames)


def frames(job: Mapping[str, Any]) -> Iterator[Message]:
    """In the fresh process: progress in seconds, then every frame's time."""
    rate, count = job["rate_hz"], round(job["rate_hz"] * job["duration_s"])
    with open_job(job) as session:
        feeds = feeds_of(job, session)
        call = session.bind(feeds)
        with gc_paused():
            for _ in pace(call, rate, max(1, round(rate * _WARMUP_S))):
                pass
            taken: list[Frame] = []
            told_ns = 0
            for frame in pace(call, rate, count):
                taken.append(frame)
                if frame.end_ns - told_ns >= 1e9:
                    yield {"progress": (frame.end_ns - told_ns) / 1e9}
                    told_ns = frame.end_ns
            unpaced = [_timed(call) for _ in range(_BACK_TO_BACK)]
            yield {
                "frames": count,
                "late": late(taken, rate),
                "begin_ns": [frame.begin_ns for frame in taken],
                "taken_ns": [frame.end_ns - frame.begin_ns for frame in taken],
                "wall_ns": max(taken[-1].end_ns, round(count * 1e9 / rate)),
                "unpaced_ns": statistics.median(unpaced),
                "executed": executed(session, feeds),
            }


def _timed(call: Callable[[], object]) -> int:
    begin = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - begin


def _series(cell: Cell, message: Message) -> PacedSeries:
    taken = message["taken_ns"]
    return PacedSeries(
        **subject(cell, message["executed"]),
        samples_ns=tuple(taken),
        starts_ns=tuple(message["begin_ns"]),
        median_ns=float(statistics.median(taken)),
        quantiles_ns=quantiles_ns(taken),
        unpaced_median_ns=float(message["unpaced_ns"]),
        late=message["late"],
        frames=message["frames"],
        busy_share=sum(taken) / message["wall_ns"],
    )


def format_paced(record: PacedRecord) -> str:
    """One line a series: median, p90, p99, how much a pause costs, late and dropped frames, share of the time busy."""
    rows = [(one, _cells(one)) for one in record.series]
    about = (
        f"Milliseconds, {record.rate_hz:g} frames a second, {text.plural(record.threads, 'thread')}, "
        f"{record.circumstances.cpu}. Paced/not: median over that of runs without a pause. "
        "Late: not done when the next frame came; dropped: came while the model was busy."
    )
    head, widths = ("median", "p90", "p99", "paced/not", "late", "dropped", "busy"), (8, 8, 8, 10, 6, 8, 7)
    return "\n".join([*text.table(head, widths, rows), *text.ending(about, record.skipped)])


def _cells(one: PacedSeries) -> list[str]:
    quantiles = [one.quantiles_ns.get(name) for name in ("p90", "p99")]
    shown = ["-" if value is None else text.milliseconds(value) for value in quantiles]
    ratio = f"{one.median_ns / one.unpaced_median_ns:.2f}" if one.unpaced_median_ns > 0 else "-"
    dropped = one.frames - len(one.samples_ns)
    return [
        text.milliseconds(one.median_ns), *shown, ratio, str(one.late), str(dropped), text.percent(one.busy_share)
    ]  # fmt: skip


measure, table = paced, format_paced
