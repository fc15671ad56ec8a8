"""Memory: resident bytes of a fresh process, with the runtime imported, the session open, and at its peaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from edgeacts.errors import NotAvailable
from edgeacts.latency import text
from edgeacts.latency.modes.common import Cell, Common, plan, run_each, subject
from edgeacts.latency.modes.process import executed, feeds_of, open_job
from edgeacts.latency.modes.tasks import STATUS
from edgeacts.latency.sizes import file_bytes
from edgeacts.latency.subprocesses import Message
from edgeacts.records import MemoryRecord, MemorySeries

OPTIONS: tuple[str, ...] = ()


def memory(models: Sequence[str | Path], **common: Unpack[Common]) -> MemoryRecord:
    """What each model adds to a process: once open, while it is opened, while it runs; in bytes, a fresh process each.

    The system's counters are read, so the runtime's code and buffers count as well as Python's. What runs accelerated was
    compiled before. `arena_bytes` is what ONNX Runtime's allocator holds by its own profiler, in another process. Raises
    NotAvailable where the system has no /proc, UsageError, or the error itself when nothing could be measured.
    """
    if not STATUS.exists():
        raise NotAvailable(f"memory is read from {STATUS}, which this system does not have: measure on Linux")
    asked = plan(models, **common)
    prepared, skipped = run_each(asked, "edgeacts.latency.modes.memory:prepare", unit="model", each=1)
    ready = replace(asked, cells=tuple(cell for cell, _ in prepared))
    measured, failed = run_each(ready, "edgeacts.latency.modes.tasks:resident", unit="model", each=1)
    what_ran = dict(prepared)
    return MemoryRecord(
        series=tuple(_series(cell, what_ran[cell], message) for cell, message in measured),
        threads=asked.threads,
        batch=asked.batch,
        **asked.ends({**skipped, **failed}),
    )


def prepare(job: Mapping[str, Any]) -> Iterator[Message]:
    """In a first process: what runs, what its allocator holds; what runs accelerated is compiled."""
    with open_job(job) as session:
        feeds = feeds_of(job, session)
        session.infer(feeds)
        arena = None
        if job["runtime"] != "openvino":
            from edgeacts.runtimes.ort_profile import trace_session

            arena = trace_session(session, feeds, threads=job["threads"], runs=2).arena_bytes
        yield {"arena_bytes": arena, "executed": executed(session, feeds)}
        yield {"progress": 1}


def _series(cell: Cell, prepared: Message, message: Message) -> MemorySeries:
    return MemorySeries(
        **subject(cell, {**prepared["executed"], "peak_of": message["peak_of"]}),
        file_bytes=file_bytes(Path(cell.model)),
        runtime_resident_bytes=message["imported"],
        open_resident_bytes=message["opened"],
        opening_peak_bytes=message["opening_peak"],
        peak_resident_bytes=message["peak"],
        arena_bytes=prepared["arena_bytes"],
    )


def format_memory(record: MemoryRecord) -> str:
    """One line a series: file; resident with the runtime alone; what the open model, its opening and its runs add; arena."""
    rows = [(one, _cells(one)) for one in record.series]
    about = (
        f"MiB (2^20 bytes), a fresh process each, {text.plural(record.threads, 'thread')}, batch {record.batch}, "
        f"{record.circumstances.cpu}. Runtime: resident with the runtime imported. +open, +opening, +running: what the open "
        "model adds to that, and the peaks while it is opened and while it runs. Arena: what the runtime's allocator holds."
    )
    head, widths = ("file", "runtime", "+open", "+opening", "+running", "arena"), (8, 9, 9, 10, 10, 8)
    return "\n".join([*text.table(head, widths, rows), *text.ending(about, record.skipped)])


def _cells(one: MemorySeries) -> list[str]:
    base = one.runtime_resident_bytes
    added = [
        value - base for value in (one.open_resident_bytes, one.opening_peak_bytes, one.peak_resident_bytes)
    ]
    arena = "-" if one.arena_bytes is None else text.mebibytes(one.arena_bytes)
    return [*map(text.mebibytes, (one.file_bytes, base, *added)), arena]


measure, table = memory, format_memory
