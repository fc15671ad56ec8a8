"""ONNX Runtime's profiler on the graph that a session executes, each of its nodes under a name of its own."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from edgeacts.acceleration.compiling import kernel_options
from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.files import read_bytes
from edgeacts.runtimes.base import Session
from edgeacts.runtimes.onnxruntime import LEVELS, OnnxRuntimeSession, session_options
from edgeacts.runtimes.profile_base import ExecutedNode, Trace
from edgeacts.runtimes.providers import CPU

MAX_EVENTS = 500_000  # ONNX Runtime stops recording at a million
MAX_TRACE_BYTES = 2**30
_WARMUP_RUNS = 3
_SUFFIX, _ARENA = "_kernel_time", "mem_arena_held"


def trace_session(
    session: Session,
    feeds: Mapping[str, np.ndarray],
    *,
    threads: int,
    runs: int,
    copy: Path | None = None,
) -> Trace:
    """Profile of an open session of ONNX Runtime on the CPU, plain or accelerated.

    The executed graph is profiled, not the model: what the session's optimizer made of it is saved and run as it is. `copy` is
    the same model under other names, for a plain session. Raises UsageError for another runtime or provider.
    """
    if not isinstance(session, OnnxRuntimeSession) or session.native.get_providers()[0] != CPU:
        raise UsageError(
            f"{session.path} does not run on ONNX Runtime's CPU provider, which is what is profiled"
        )
    if session.compiled is not None:
        return _trace(onnx.load(session.compiled), kernel_options(threads), feeds, runs)
    graph = optimized(copy or Path(session.path), threads=threads, level=session.level)
    return _trace(graph, session_options(threads, LEVELS[0]), feeds, runs)


def compiled_kernels(session: Session) -> dict[str, str]:
    """Output of each activation -> the kernel that carries it out; empty for a model that runs as it is."""
    if not isinstance(session, OnnxRuntimeSession) or session.compiled is None or session.manifest is None:
        return {}
    return {site.name: site.kernel for site in session.manifest.sites if site.kernel}


def optimized(path: Path, *, threads: int, level: str) -> onnx.ModelProto:
    """What ONNX Runtime executes for the model at a level, weights included. Raises EdgeactsError."""
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        saved = Path(folder) / "optimized.onnx"
        options = session_options(threads, level)
        options.optimized_model_filepath = str(saved)
        try:
            ort.InferenceSession(str(path), options, providers=[CPU])
            return onnx.load(saved)
        except Exception as error:  # ONNX Runtime's and protobuf's classes share nothing but Exception
            raise EdgeactsError(
                f"onnxruntime cannot save what it executes for {path}: {one_line(error)}"
            ) from error


def _trace(graph: onnx.ModelProto, options: Any, feeds: Mapping[str, np.ndarray], runs: int) -> Trace:
    _name_nodes(graph)
    runs = max(1, min(runs, MAX_EVENTS // max(1, len(graph.graph.node)) - _WARMUP_RUNS))
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        try:
            session = ort.InferenceSession(graph.SerializeToString(), options, providers=[CPU])
            for _ in range(_WARMUP_RUNS + runs):
                session.run(None, dict(feeds))
            data = read_bytes(Path(session.end_profiling()), "profile", MAX_TRACE_BYTES)
        except EdgeactsError:
            raise
        except Exception as error:  # ONNX Runtime's classes share nothing but Exception
            raise EdgeactsError(f"onnxruntime cannot profile what it executes: {one_line(error)}") from error
    return read_trace(json.loads(data), graph, warmup=_WARMUP_RUNS)


def read_trace(events: list[dict[str, Any]], graph: onnx.ModelProto, *, warmup: int) -> Trace:
    """The trace's events by node of the graph, means of the faster half of the runs: the same runs for every node.

    The first `warmup` runs do not count. Nodes of inner graphs (If, Loop) are part of the node that runs them. Raises
    EdgeactsError for a trace without such a run.
    """
    durations: dict[str, list[float]] = defaultdict(list)
    whole: list[float] = []
    held: list[int] = []
    for event in events:
        name, nanoseconds = event.get("name", ""), 1000.0 * event.get("dur", 0)
        if event.get("cat") == "Node" and name.endswith(_SUFFIX):
            durations[name.removesuffix(_SUFFIX)].append(nanoseconds)
            held += [int(event["args"][_ARENA])] if _ARENA in event.get("args", {}) else []
        elif name == "model_run":
            whole.append(nanoseconds)
    if len(whole) <= warmup:
        raise EdgeactsError(f"onnxruntime's profile has {len(whole)} runs, more than {warmup} were made")
    counted = sorted(range(warmup, len(whole)), key=lambda run: whole[run])
    counted = counted[: (len(counted) + 1) // 2]
    nodes = [_node(node, durations[node.name], counted) for node in graph.graph.node]
    return Trace(tuple(nodes), len(counted), _mean(whole, counted), max(held, default=None))


def _mean(values: list[float], runs: list[int]) -> float:
    """Mean of the runs that count; 0 for a node that has no time of its own in each run."""
    return sum(values[run] for run in runs) / len(runs) if len(values) > max(runs) else 0.0


def _node(node: onnx.NodeProto, durations: list[float], runs: list[int]) -> ExecutedNode:
    operator = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
    return ExecutedNode(
        node.name, operator, _mean(durations, runs), (), tuple(node.input), tuple(node.output)
    )


def _name_nodes(model: onnx.ModelProto) -> None:
    """Every node of the main graph gets a name that no other has; those that have one keep it."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}#{index}"
        taken.add(node.name)
