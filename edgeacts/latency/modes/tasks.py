"""Tasks whose process is itself what is measured: they import no more than a program that runs a model would."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeacts.errors import NotAvailable
from edgeacts.latency.modes.process import executed, feeds_of, open_job
from edgeacts.runtimes import load_runtime

STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RUNS = 5
_clock = time.perf_counter_ns
Message = dict[str, Any]


def first_result(job: Mapping[str, Any]) -> Iterator[Message]:
    """In the fresh process: the times of its first result; what ran, if it is to `tell`."""
    load_runtime(job["runtime"])
    begin = _clock()
    with open_job(job) as session:
        opened = _clock()
        feeds = feeds_of(job, session)
        fed = _clock()
        session.infer(feeds)
        end = _clock()
        message: Message = {
            "end_ns": end,
            "opening_ns": opened - begin,
            "input_ns": fed - opened,
            "first_run_ns": end - fed,
        }
        if job["tell"]:
            message["executed"] = executed(session, feeds, files="in the page cache")
        yield message


def resident(job: Mapping[str, Any]) -> Iterator[Message]:
    """In the fresh process: resident bytes at each stage."""
    load_runtime(job["runtime"])
    np.random.default_rng(0).standard_normal(1)  # the inputs' generator is no part of the model
    imported = _status_bytes("VmRSS")
    _forget_peak()
    with open_job(job) as session:
        opened, opening_peak = _status_bytes("VmRSS"), _status_bytes("VmHWM")
        feeds = feeds_of(job, session)
        told = _forget_peak()
        for _ in range(_RUNS):
            session.infer(feeds)
        yield {
            "imported": imported,
            "opened": opened,
            "opening_peak": max(opened, opening_peak),
            "peak": _status_bytes("VmHWM"),
            "peak_of": "the runs" if told else "the whole process: the system does not let its peak be reset",
        }
        yield {"progress": 1}


def _status_bytes(name: str) -> int:
    """VmRSS is what is resident now, VmHWM the most that ever was."""
    for line in STATUS.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise NotAvailable(f"{STATUS} does not tell {name}: measure on Linux")


def _forget_peak() -> bool:
    """Start VmHWM anew; False where that is not allowed."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True
