"""What edgeacts measures against what the runtimes' own tools say of the same file, by turns.

Used by latency.py. Another tool is one function and one row in TOOLS.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edgeacts.exporters import to_openvino
from edgeacts.latency import benchmark
from edgeacts.latency.modes.throughput import throughput

PROFILED_RUNS = 400
OURS_S, THEIRS_S = 4, 2
THROUGHPUT_THREADS = 2

Row = dict[str, Any]


def agreement(name: str, model: Path, runs: int) -> Row:
    """Ours over theirs, run in turn; the median of the quotients counts, since the machine's speed changes."""
    runtime, unit, ours, theirs, convert = TOOLS[name]
    file = convert(model)
    pairs = []
    for turn in tqdm(range(runs), desc=name, leave=False):
        before = theirs(file)
        measured = ours(file, runtime, turn)
        pairs.append([measured, statistics.fmean([before, theirs(file)])])
    quotients = [mine / other for mine, other in pairs]
    return {"of": name, "runtime": runtime, f"pairs_{unit}": pairs, "ratio": statistics.median(quotients)}


def median_ms(model: Path, runtime: str, seed: int) -> float:
    """Our median latency, one thread."""
    record = benchmark([model], runtimes=[runtime], within=None, budget_s=OURS_S, seed=seed)
    return record.series[0].median_ns / 1e6


def items_per_s(model: Path, runtime: str, seed: int) -> float:
    """Our throughput: a stream a thread."""
    record = throughput([model], runtimes=[runtime], threads=THROUGHPUT_THREADS, duration_s=OURS_S, seed=seed)
    return record.series[0].items_per_s


def app_ms(model: Path) -> float:
    """Median latency by OpenVINO's own tool: latency hint, one thread, one stream, synchronous."""
    return _app(model, r"Median:\s+([0-9.]+) ms", "latency", 1, "-api", "sync")


def app_items_per_s(model: Path) -> float:
    """Its throughput: throughput hint, asynchronous, as many requests as it finds best."""
    return _app(model, r"Throughput:\s+([0-9.]+) FPS", "throughput", THROUGHPUT_THREADS, "-api", "async")


def _app(model: Path, figure: str, hint: str, threads: int, *more: str) -> float:
    tool = Path(sys.executable).parent / "benchmark_app"
    command = [str(tool), "-m", str(model), "-d", "CPU", "-hint", hint, "-t", str(THEIRS_S), *more]
    with tempfile.TemporaryDirectory() as folder:
        # Its options for threads and streams go with no hint only; what a configuration file says, goes with any.
        config = Path(folder) / "config.json"
        config.write_text(json.dumps({"CPU": {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}}))
        command += ["-infer_precision", "f32", "-load_config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(figure, done.stdout)
    if found is None:
        raise SystemExit(f"benchmark_app printed no figure:\n{done.stdout[-2000:]}")
    return float(found[1])


def profiler_ms(model: Path) -> float:
    """Median duration of `model_run` in ONNX Runtime's profile, in a process of its own."""
    command = [sys.executable, __file__, "--profile", str(model)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def profile(model: Path) -> float:
    """The same, in this process."""
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        shape = session.get_inputs()[0].shape
        feeds = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
        for _ in range(PROFILED_RUNS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs = [event["dur"] for event in events if event.get("name") == "model_run"]
    return statistics.median(runs[PROFILED_RUNS // 10 :]) / 1e3


def as_it_is(model: Path) -> Path:
    """The ONNX file itself."""
    return model


def as_ir(model: Path) -> Path:
    """OpenVINO's files of it, beside it."""
    return to_openvino(model, model.parent).xml


Measure = Callable[[Path, str, int], float]

# tool -> (runtime, unit, ours, theirs, the file that both are given)
TOOLS: dict[str, tuple[str, str, Measure, Callable[[Path], float], Callable[[Path], Path]]] = {
    "benchmark_app": ("openvino", "ms", median_ms, app_ms, as_it_is),
    "ONNX Runtime's profiler": ("onnxruntime", "ms", median_ms, profiler_ms, as_it_is),
    "benchmark_app on .xml": ("openvino", "ms", median_ms, app_ms, as_ir),
    "benchmark_app for throughput": ("openvino", "per_s", items_per_s, app_items_per_s, as_ir),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path, required=True, help=argparse.SUPPRESS)
    print(profile(parser.parse_args().profile))
