"""Profile: where a runtime's own profiler says the time goes, by the model's layers, and the share of activations."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import onnx

from edgeacts.acceleration.compiling import load_whole
from edgeacts.errors import UsageError
from edgeacts.latency import text
from edgeacts.latency.arguments import check_integer
from edgeacts.latency.modes.common import Cell, Common, plan, run_each, subject
from edgeacts.latency.modes.process import executed, feeds_of, open_job
from edgeacts.latency.profiling import Folded, Layers, fold
from edgeacts.latency.subprocesses import Message
from edgeacts.records import OperatorTime, ProfileRecord, ProfileSeries
from edgeacts.runtimes import Session
from edgeacts.runtimes.profile_base import Trace

OPTIONS = ("repeats",)
MAX_REPEATS = 10_000
_TOP = 6  # operators shown for each model
_MOVES = ("ReorderInput", "ReorderOutput", "Reorder", "Transpose")


def profile(models: Sequence[str | Path], *, repeats: int = 50, **common: Unpack[Common]) -> ProfileRecord:
    """Nanoseconds a run of every operator, mean of the faster half of `repeats` runs, and the model's layers it carries out.

    ONNX Runtime is asked on the graph that it executes (optimized, or compiled for this machine), OpenVINO on the compiled
    model, which tells the mean of all runs. An activation is accounted for where its own operators are, or in what it was
    fused into. Only on the CPU and for ONNX files. Raises UsageError, or the error itself when nothing could be measured.
    """
    check_integer("repeats", repeats, 1, MAX_REPEATS)
    asked = plan(models, **common)
    if asked.provider.strip().lower().removesuffix("executionprovider") != "cpu":
        raise UsageError(f"a profile is of provider cpu, not {asked.provider!r}: leave the provider out")
    task = "edgeacts.latency.modes.profile:operators"
    results, skipped = run_each(asked, task, unit="model", each=1, repeats=repeats)
    return ProfileRecord(
        series=tuple(_series(cell, message) for cell, message in results),
        threads=asked.threads,
        batch=asked.batch,
        **asked.ends(skipped),
    )


def operators(job: Mapping[str, Any]) -> Iterator[Message]:
    """In the fresh process: the profile folded back onto the layers."""
    path = Path(job["model"])
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"a profile is folded onto the layers of an .onnx file, not of {path}")
    with open_job(job) as session:
        feeds = feeds_of(job, session)
        layers = Layers(load_whole(path), str(path))
        trace, kernels = _trace(job, session, layers.model, feeds)
        what_ran = executed(session, feeds)
    folded, unaccounted = fold(layers, trace.nodes, kernels)
    total = sum(one.node.duration_ns for one in folded)
    yield {
        "operators": [_row(one, total) for one in folded],
        "runs": trace.runs,
        "total_ns": total,
        "whole_run_ns": trace.whole_run_ns,
        "activation_ns": sum(one.node.duration_ns for one in folded if one.alone),
        "fused_ns": sum(one.node.duration_ns for one in folded if one.fused),
        "activations": len(layers.activations),
        "unaccounted": [layer.name for layer in unaccounted],
        "executed": what_ran,
    }
    yield {"progress": 1}


def _trace(
    job: Mapping[str, Any], session: Session, tagged: onnx.ModelProto, feeds: Mapping[str, np.ndarray]
) -> tuple[Trace, dict[str, str]]:
    """The runtime's profile, of a copy of the model whose nodes bear their layers' names; which kernel has each activation."""
    threads, runs = job["threads"], job["repeats"]
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        copy = Path(folder) / "model.onnx"
        onnx.save(tagged, copy)
        if job["runtime"] == "openvino":
            from edgeacts.runtimes.openvino_profile import trace_file

            return trace_file(copy, feeds, threads=threads, precision=job["precision"], runs=runs), {}
        from edgeacts.runtimes.ort_profile import compiled_kernels, trace_session

        trace = trace_session(session, feeds, threads=threads, runs=runs, copy=copy)
        return trace, compiled_kernels(session)


def _row(one: Folded, total: float) -> Message:
    return {
        "name": one.node.name,
        "operator": one.node.operator,
        "layers": [layer.name for layer in one.layers],
        "activation": "+".join(dict.fromkeys(layer.activation for layer in one.activations)),
        "duration_ns": one.node.duration_ns,
        "share": one.node.duration_ns / total if total else 0.0,
    }


def _series(cell: Cell, message: Message) -> ProfileSeries:
    total = message["total_ns"] or 1.0
    return ProfileSeries(
        **subject(cell, message["executed"]),
        operators=tuple(
            OperatorTime(**{**row, "layers": tuple(row["layers"])}) for row in message["operators"]
        ),
        runs=message["runs"],
        total_ns=message["total_ns"],
        whole_run_ns=message["whole_run_ns"],
        activation_share=message["activation_ns"] / total,
        fused_share=message["fused_ns"] / total,
        activations=message["activations"],
        unaccounted=tuple(message["unaccounted"]),
    )


def format_profile(record: ProfileRecord) -> str:
    """For each model: time a run, shares of activations, and the operators that take most of it."""
    lines: list[str] = []
    for one in record.series:
        lines += [*_paragraph(one), ""]
    about = (
        f"{text.plural(record.threads, 'thread')}, batch {record.batch}, {record.circumstances.cpu}. Alone: operators that carry "
        "out an activation and nothing else; fused: together with a convolution or another layer. Times by the runtime's own "
        "profiler, which itself takes some."
    )
    return "\n".join([*lines[:-1], *text.ending(about, record.skipped)])


def _paragraph(one: ProfileSeries) -> list[str]:
    whole = (
        f"{text.milliseconds(one.total_ns)} ms in operators, {text.milliseconds(one.whole_run_ns)} ms a run"
    )
    shares = f"activations {text.percent(one.activation_share)} alone, {text.percent(one.fused_share)} fused"
    moved = sum(
        op.share for op in one.operators if op.operator.rpartition(":")[2] in _MOVES and not op.layers
    )
    lines = [
        text.shorten(f"{one.label} on {one.runtime}: {whole}", text.WIDTH),
        text.shorten(f"{shares}; changes of layout {text.percent(moved)}", text.WIDTH),
        "-" * text.WIDTH,
    ]
    lines += [_line(*row) for row in _ranked(one.operators)[:_TOP]]
    if one.unaccounted:
        lines.append(text.shorten(f"not found: {', '.join(one.unaccounted)}", text.WIDTH))
    return lines


def _ranked(operators: Sequence[OperatorTime]) -> list[tuple[str, str, int, float, float]]:
    """(operator, activation, how many, nanoseconds, share), those that take most first."""
    kinds: dict[tuple[str, str], list[OperatorTime]] = defaultdict(list)
    for one in operators:
        kinds[one.operator.rpartition(":")[2], one.activation].append(one)
    rows = [
        (operator, activation, len(ones), sum(o.duration_ns for o in ones), sum(o.share for o in ones))
        for (operator, activation), ones in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row[3])


def _line(operator: str, activation: str, count: int, nanoseconds: float, share: float) -> str:
    what = f"{operator} ({activation})" if activation else operator
    return f"{text.shorten(what, 44):<45}{count:>5} x{text.milliseconds(nanoseconds):>15} ms{text.percent(share):>9}"


measure, table = profile, format_profile
