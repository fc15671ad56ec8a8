"""OpenVINO's profiler: time of each layer of the compiled graph, and the model's layers it says that they came from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeacts.errors import EdgeactsError, one_line
from edgeacts.runtimes.openvino_compiling import Compiler
from edgeacts.runtimes.openvino_precision import runtime_layers
from edgeacts.runtimes.profile_base import ExecutedNode, Trace

_WARMUP_RUNS = 5
_FUSED = "undef"  # the layer has no kernel: it runs as part of another
_SIDES = frozenset({"Parameter", "Result", "Constant"})


def trace_file(
    path: Path, feeds: Mapping[str, np.ndarray], *, threads: int, precision: str, runs: int
) -> Trace:
    """Profile of the model at `path` on the CPU. Raises what opening it raises."""
    from openvino import Tensor

    compiler = Compiler(path, threads, precision=precision, profiled=True)
    shapes = {name: array.shape for name, array in feeds.items()}
    compiled = compiler.compile(compiler.read().model, shapes)
    origins = {
        layer["name"]: tuple(filter(None, layer.get("originalLayersNames", "").split(",")))
        for layer in runtime_layers(compiled)
    }
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        name = next((name for name in feeds if name in port.names), None)
        if name is not None:
            request.set_tensor(port, Tensor(np.ascontiguousarray(feeds[name]).reshape(feeds[name].shape)))
    try:
        _run(request, _WARMUP_RUNS)
        before = _totals(request, _WARMUP_RUNS)
        whole_ns = _run(request, runs)
        after = _totals(request, _WARMUP_RUNS + runs)
    except RuntimeError as error:
        raise EdgeactsError(f"{path} failed to run: {one_line(error)}") from error
    nodes = [
        ExecutedNode(
            info.node_name,
            info.node_type,
            max(0.0, after[info.node_name] - before[info.node_name]) / runs,
            origins.get(info.node_name, ()),
        )
        for info in request.get_profiling_info()
        if info.node_type not in _SIDES and info.exec_type != _FUSED
    ]
    return Trace(tuple(nodes), runs, whole_ns / runs)


def _run(request: Any, count: int) -> int:
    begin = time.perf_counter_ns()
    for _ in range(count):
        request.infer(share_outputs=True)
    return time.perf_counter_ns() - begin


def _totals(request: Any, runs: int) -> dict[str, float]:
    """Nanoseconds of each layer in all its runs so far: OpenVINO tells their mean, rounded down to microseconds."""
    return {
        info.node_name: info.real_time.total_seconds() * 1e9 * runs for info in request.get_profiling_info()
    }
