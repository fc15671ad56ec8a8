"""Can the latency verdicts be believed? Writes benchmarks/latency.json, after each comparison; goes on where it stopped.

python benchmarks/latency.py [--comparisons 100] [--part aa,five,load,agreement] [--into benchmarks/latency.json]

aa         a model against its copy: "faster" or "slower" at most 5 times in 100
five       a model against one that takes 5 % longer: "slower" at least 90 times in 100, within 60 s each
load       as aa, and half-way another process begins to compute or to fill the memory bus: no false verdict beyond 5 %
agreement  medians within 5 % of OpenVINO's benchmark_app (.onnx, .xml, throughput) and of ONNX Runtime's own profiler
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from agreement import TOOLS, agreement
from onnx import TensorProto, helper, numpy_helper
from tqdm import tqdm

from edgeacts.circumstances import circumstances
from edgeacts.files import write_text_atomic
from edgeacts.latency import benchmark
from edgeacts.records import LatencyRecord, to_builtins

PARTS = ("aa", "five", "load", "agreement")
CHANNELS, SIDE = 24, 32
# For the agreement: 10 ms. The profiler spends 7 µs on each of the 22 nodes, which is 7 % of the small network's 2 ms.
AGREEMENT_SIDE = 64
LAYERS = 20  # 2 ms on this project's machine
TRUE_RATIO = 1.05
LOADS = {  # each ends with the process that started it
    "busy loop": "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass",
    "memory": "import os, numpy as np\nparent, a = os.getppid(), np.ones(2**24)\n"
    "while os.getppid() == parent: a[:] = a[::-1].copy()",
}
TYPICAL_S = 6.0  # of a comparison: the load is switched on after half of it
RUNS = 6  # of ours and theirs in turn, for the agreement

Row = dict[str, Any]


def network(path: Path, layers: int, side: int = SIDE) -> Path:
    """3x3 convolutions with ReLU, one like the other, so that one more takes 1/layers longer."""
    rng, nodes, weights, last, channels = np.random.default_rng(0), [], [], "x", 3
    for index in range(layers):
        scale = (2 / (9 * channels)) ** 0.5
        values = (rng.standard_normal((CHANNELS, channels, 3, 3)) * scale).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{index}"))
        nodes += [
            helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{index}"], [f"r{index}"]),
        ]
        last, channels = f"r{index}", CHANNELS
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["y"]))
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CHANNELS, 1, 1])
    graph = helper.make_graph(nodes, "net", [image], [result], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def calibrate(folder: Path, seconds: float) -> Row:
    """How many layers make one more of them 5 % slower, measured for so long that it is known within 0.3 %."""
    tried: dict[int, LatencyRecord] = {}
    layers = LAYERS
    while layers not in tried:
        base = network(folder / f"base-{layers}.onnx", layers)
        more = network(folder / f"more-{layers}.onnx", layers + 1)
        tried[layers] = benchmark([base, more], within=0.003, budget_s=seconds, seed=layers)
        excess = tried[layers].series[1].ratio - 1
        layers += round(layers * excess / (TRUE_RATIO - 1)) - layers
    layers, record = min(tried.items(), key=lambda item: abs(item[1].series[1].ratio - TRUE_RATIO))
    return {"layers": layers, **row_of(record)}


def row_of(record: LatencyRecord) -> Row:
    """What is kept of a comparison."""
    measured, floor = record.series[1], record.noise_floors[0]
    steal = [block.steal_share for block in record.blocks if block.steal_share is not None]
    other = [block.other_share for block in record.blocks if block.other_share is not None]
    return {
        "ratio": measured.ratio,
        "low": measured.ratio_low,
        "high": measured.ratio_high,
        "comparison": measured.comparison,
        "floor": [floor.ratio, floor.ratio_low, floor.ratio_high],
        "median_ms": measured.median_ns / 1e6,
        "seconds": record.seconds,
        "processes": record.processes,
        "blocks": len(record.blocks),
        "stopped": record.stopped,
        "steal_share": statistics.fmean(steal) if steal else None,
        "other_share": statistics.fmean(other) if other else None,
        "time_utc": record.circumstances.time_utc,
    }


def compare(models: Sequence[Path], seed: int) -> Row:
    """One comparison by the defaults."""
    return row_of(benchmark(models, seed=seed))


@contextmanager
def load_after(seconds: float, program: str) -> Iterator[None]:
    """Another process that computes, from `seconds` after the beginning until the block ends."""
    started: list[subprocess.Popen[bytes]] = []
    timer = threading.Timer(
        seconds, lambda: started.append(subprocess.Popen([sys.executable, "-c", program]))
    )
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for process in started:
            process.kill()
            process.wait()


def compare_under_load(models: Sequence[Path], seed: int) -> Row:
    """One comparison, with the machine no longer its own from half-way on."""
    kind = tuple(LOADS)[seed % len(LOADS)]
    with load_after(TYPICAL_S / 2, LOADS[kind]):
        return {"load": kind, **compare(models, seed)}


def bars(found: Row) -> Row:
    """What is promised, and what came out."""
    result: Row = {}
    for part in ("aa", "load"):
        rows = found.get(part, [])
        told = [row for row in rows if row["comparison"] != "cannot tell"]
        beyond = [row for row in told if abs(row["ratio"] - 1) > 0.05]
        result[part] = {
            "comparisons": len(rows),
            "false_verdicts": len(told),
            "false_verdicts_beyond_5_percent": len(beyond),
            "intervals_without_1": sum(not row["low"] <= 1 <= row["high"] for row in rows),
            "median_seconds": statistics.median([row["seconds"] for row in rows]) if rows else None,
            "holds": (len(told) <= 0.05 * len(rows) if part == "aa" else not beyond) if rows else None,
        }
    rows, truth = found.get("five", []), found.get("true_ratio", {}).get("ratio", TRUE_RATIO)
    slower = [row for row in rows if row["comparison"] == "slower" and row["seconds"] <= 60]
    result["five"] = {
        "comparisons": len(rows),
        "found_slower_within_60_s": len(slower),
        "intervals_without_the_true_ratio": sum(not row["low"] <= truth <= row["high"] for row in rows),
        "median_seconds": statistics.median([row["seconds"] for row in rows]) if rows else None,
        "longest_seconds": max((row["seconds"] for row in rows), default=None),
        "holds": len(slower) >= 0.9 * len(rows) if rows else None,
    }
    for row in found.get("agreement", []):
        result[f"agreement with {row['of']}"] = {
            "ratio": row["ratio"],
            "holds": abs(row["ratio"] - 1) <= 0.05,
        }
    return result


def carry_out(
    found: Row, parts: Sequence[str], comparisons: int, calibration_s: float, save: Callable[[], None]
) -> None:
    """Whatever is missing in `found`, saved after each piece."""
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as name:
        folder = Path(name)
        if "true_ratio" not in found:
            found["true_ratio"] = calibrate(folder, calibration_s)
            save()
        base = network(folder / "base.onnx", found["true_ratio"]["layers"])
        copy = Path(shutil.copy(base, folder / "copy.onnx"))
        more = network(folder / "more.onnx", found["true_ratio"]["layers"] + 1)
        work: dict[str, tuple[Callable[[Sequence[Path], int], Row], Path]] = {
            "aa": (compare, copy), "five": (compare, more), "load": (compare_under_load, copy),
        }  # fmt: skip
        for part in [part for part in PARTS if part in parts and part in work]:
            rows, (act, other) = found.setdefault(part, []), work[part]
            for seed in tqdm(range(len(rows), comparisons), desc=part):
                rows.append(act([base, other], seed))
                save()
        if "agreement" in parts:
            larger = network(folder / "larger.onnx", found["true_ratio"]["layers"], AGREEMENT_SIDE)
            rows = found.setdefault("agreement", [])
            for name in [name for name in TOOLS if name not in {row["of"] for row in rows}]:
                rows.append(agreement(name, larger, RUNS))
                save()


def main() -> int:
    """Measure what is missing, write, print the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=100)
    parser.add_argument("--part", default=",".join(PARTS))
    parser.add_argument("--into", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument(
        "--calibration", type=float, default=120.0, metavar="S", help="seconds to find the true ratio"
    )
    arguments = parser.parse_args()
    parts = arguments.part.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}: {', '.join(PARTS)}")
    found: Row = json.loads(arguments.into.read_text()) if arguments.into.exists() else {}

    def save() -> None:
        found["bars"] = bars(found)
        found["circumstances"] = to_builtins(circumstances())
        write_text_atomic(arguments.into, json.dumps(found, indent=1) + "\n")

    begin = time.monotonic()
    carry_out(found, parts, arguments.comparisons, arguments.calibration, save)
    save()
    print(json.dumps(found["bars"], indent=1), f"\n{time.monotonic() - begin:.0f} s")
    return int(any(bar["holds"] is False for bar in found["bars"].values()))


if __name__ == "__main__":
    sys.exit(main())
