"""What an INT8 network costs in ONNX Runtime with each activation, stock and accelerated. Writes benchmarks/int8.json.

    python benchmarks/int8.py [--into README.md] [--rounds 40] [--models mobilenet_v2,...] [--activations relu,...] [--resume]

Each network has live random weights and is quantized with calibration images of noise: speed needs no accuracy. All variants of a
network run in turn on one thread, in a new random order each round; ratios are medians of the rounds' ratios, with the limits
of their medians at 95 %. Accelerated outputs are compared with those of the model as it is, which have to be the same.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import activations as floats
import numpy as np
import torch
from cpu_records import put
from resuming import add_options, folder_of, started
from tqdm import tqdm

import edgeacts
from edgeacts import native
from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.interleaving import times_of
from edgeacts.native import int8
from edgeacts.report.insertion import insert_summary
from edgeacts.runtimes import open_runtime

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from int8_graphs import quantized

NETWORKS, ACTIVATIONS, SIZE = floats.NETWORKS, floats.ACTIVATIONS, floats.SIZE
KINDS = ("float accelerated", "int8 stock", "int8 accelerated")


def images(count: int) -> list[dict[str, np.ndarray]]:
    """Noise."""
    return [
        {"image": np.random.default_rng(seed).standard_normal((1, 3, SIZE, SIZE), np.float32)}
        for seed in range(count)
    ]


def export(network: str, names: Sequence[str], folder: Path) -> dict[str, Path]:
    """NAME's float file, and its INT8 twin as `NAME int8`."""
    paths = {}
    for name in tqdm(names, desc=f"export {network}", leave=False):
        path = paths[name] = folder / f"{network}-{name}-ours.onnx"
        if not path.exists():
            model = floats.live(edgeacts.build_model(network, activation=name))
            example = torch.zeros(1, 3, SIZE, SIZE)
            to_onnx(model, example, path, input_names=["image"], output_names=["logits"])
        int8_path = paths[f"{name} int8"] = path.with_suffix(".int8.onnx")
        if not int8_path.exists():
            quantized(path, images(2))
    return paths


def measure(paths: Mapping[str, Path], names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Times of each variant in every round, what is chosen, and whether the outputs are the same."""
    sessions: dict[str, Any] = {}
    for name in names:
        sessions[f"{name}, {KINDS[0]}"] = open_runtime(paths[name], threads=1, accelerate=True)
        sessions[f"{name}, {KINDS[1]}"] = open_runtime(paths[f"{name} int8"], threads=1)
        sessions[f"{name}, {KINDS[2]}"] = open_runtime(paths[f"{name} int8"], threads=1, accelerate=True)
    feed = images(3)[2]
    calls = {key: session.bind(feed) for key, session in sessions.items()}
    with tqdm(total=rounds + 3, desc="one thread", leave=False) as bar:
        times = times_of(calls, least=rounds, each_round=bar.update)
    same = {
        name: all(
            np.array_equal(a, b)
            for a, b in zip(
                sessions[f"{name}, {KINDS[1]}"].native.run(None, feed),
                sessions[f"{name}, {KINDS[2]}"].native.run(None, feed),
                strict=True,
            )
        )
        for name in names
    }
    chosen = {key: s.manifest.chosen for key, s in sessions.items() if s.manifest is not None}
    return {"times": times, "same": same, "chosen": chosen}


def ratio(own: Sequence[float], other: Sequence[float]) -> list[float]:
    """Median of the rounds' ratios and its lower and upper limit at 95 %, which are order statistics."""
    values = sorted(a / b for a, b in zip(own, other, strict=True))
    half, count = 1.96 * math.sqrt(len(values)) / 2, len(values)
    low, high = max(0, math.floor(count / 2 - half)), min(count - 1, math.ceil(count / 2 + half) - 1)
    return [statistics.median(values), values[low], values[high]]


def rows(result: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Medians in ms and ratios of each activation."""
    times = result["times"]
    relu = times[f"relu, {KINDS[1]}"]
    found = []
    for name in names:
        own = {kind: times[f"{name}, {kind}"] for kind in KINDS}
        found.append(
            {
                "activation": name,
                "median_ms": {kind: 1e3 * statistics.median(values) for kind, values in own.items()},
                "stock_to_relu_int8": ratio(own[KINDS[1]], relu),
                "accelerated_to_relu_int8": ratio(own[KINDS[2]], relu),
                "times_faster_than_float": ratio(own[KINDS[0]], own[KINDS[2]]),
                "same_outputs": result["same"][name],
                "chosen": result["chosen"][f"{name}, {KINDS[2]}"],
            }
        )
    return found


def summary(every: Mapping[str, Any]) -> str:
    """The README's tables, one for each kind of CPU, from the JSON."""
    return "\n\n".join(_table(cpu, record) for cpu, record in every.items())


def _table(cpu: str, record: Mapping[str, Any]) -> str:
    names = record["activations"]
    lines = [f"| {cpu}: network | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for setting in record["settings"]:
        cells = [
            f"{row['stock_to_relu_int8'][0]:.2f} → **{row['accelerated_to_relu_int8'][0]:.2f}** "
            f"({row['times_faster_than_float'][0]:.2f}x)"
            for row in setting["rows"]
        ]
        lines.append(f"| {setting['network']} | " + " | ".join(cells) + " |")
    found, worst = (
        record["circumstances"],
        max(
            max(abs(limit / row[key][0] - 1) for limit in row[key][1:])
            for setting in record["settings"]
            for row in setting["rows"]
            for key in ("accelerated_to_relu_int8", "times_faster_than_float")
        ),
    )
    same = all(row["same_outputs"] for setting in record["settings"] for row in setting["rows"])
    lines += [
        "",
        f"INT8 latency at 1x3x{SIZE}x{SIZE} on one thread relative to ReLU INT8 as ONNX Runtime runs it: stock → accelerated, "
        f"and how much faster than the accelerated float network with it. {found['cpu']} ({record['isa']}), ONNX "
        f"Runtime {found['versions']['onnxruntime']}, {record['rounds']} interleaved rounds; limits at 95 % are within "
        f"{100 * worst:.1f} %. Outputs {'are the same to the last bit' if same else 'DIFFER'}.",
        "",
        f"Table of 256 bytes: {record['lookup_gb_s']:.1f} GB/s in cache on one thread ({record['isa']}).",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, write the JSON, and the README's part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--into", type=Path, help="Markdown file to put the table into")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--models", default=",".join(NETWORKS), help="comma-separated")
    parser.add_argument("--activations", default=",".join(ACTIVATIONS), help="comma-separated, with relu")
    add_options(parser)
    arguments = parser.parse_args()
    names = tuple(arguments.activations.split(","))
    isa = int8.isa() if native.available() else ""
    settings = {"rounds": arguments.rounds, "isa": isa, "activations": names}
    record = started(arguments.out, settings, resume=arguments.resume)
    with folder_of(arguments.work) as folder:
        for network in arguments.models.split(","):
            if all(one["network"] != NETWORKS[network] for one in record["settings"]):
                paths = export(network, names, folder)
                found = rows(measure(paths, names, arguments.rounds), names)
                record["settings"].append({"network": NETWORKS[network], "rows": found})
                put(arguments.out, record)
    record["lookup_gb_s"] = int8.measure_lookup()
    text = summary(put(arguments.out, record))
    print(text)
    if arguments.into:
        insert_summary(arguments.into, text, "make bench-int8", "int8")


if __name__ == "__main__":
    main()
