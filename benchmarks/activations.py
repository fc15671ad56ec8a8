"""What an activation costs in ONNX Runtime: stock exports against accelerated sessions. Writes benchmarks/activations.json.

    python benchmarks/activations.py [--into README.md] [--rounds 40] [--models mobilenet_v2,...] [--resume]

Every network is exported twice for each activation: as torch.onnx.export writes the formula typed by hand ("stock"), and by
edgeacts. All variants of a network run in turn, in a new random order each round; ratios are of medians of the same run.
The file is written after every part: a run that was cut off goes on with --resume.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cpu_records import put
from resuming import add_options, folder_of, started
from torch import Tensor, nn
from tqdm import tqdm

import edgeacts
from edgeacts import native
from edgeacts.activations import activation
from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.interleaving import times_of
from edgeacts.modules import ActivationModule
from edgeacts.report.insertion import insert_summary
from edgeacts.runtimes import open_runtime
from edgeacts.tables import compile_table

NETWORKS = {
    "mobilenet_v2": "MobileNetV2 1.0",
    "mobilenet_v3_large": "MobileNetV3 Large",
    "shufflenet_v2": "ShuffleNetV2 1.0",
    "squeezenet1_1": "SqueezeNet 1.1",
}
ACTIVATIONS = ("relu", "hardswish", "silu", "gelu", "mish", "tanhexp", "nish", "sau")
SIZE = 224


class Stock(nn.Module):
    """A formula as one would type it."""

    def __init__(self, formula: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: Tensor) -> Tensor:
        """The formula."""
        return self.formula(x)


def _sau(x: Tensor) -> Tensor:
    n, alpha = 20000.0, 0.15
    z = n * x
    bump = x / (2 * n) * (2 / torch.pi) ** 0.5 * torch.exp(-z * z / 2)
    return bump + (1 + alpha) / 2 * x + (1 - alpha) / 2 * x * torch.erf(z / 2**0.5)


STOCK: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "mish": nn.Mish,
    "tanhexp": lambda: Stock(lambda x: x * torch.tanh(torch.exp(x))),
    "nish": lambda: Stock(lambda x: torch.where(x >= 0, x, torch.sigmoid(x) * (x + torch.sin(x)))),
    "sau": lambda: Stock(_sau),
}


def live(model: nn.Module) -> nn.Module:
    """Weights with which signals reach the output: batch-norm statistics from two batches."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        for seed in range(2):
            model.train()(torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)))
    return model.eval()


def export(network: str, folder: Path) -> dict[str, Path]:
    """NAME-stock and NAME of each activation."""
    example = torch.zeros(1, 3, SIZE, SIZE)
    paths = {}
    for name in tqdm(ACTIVATIONS, desc=f"export {network}", leave=False):
        for kind, source in (("stock", lambda _: STOCK[name]()), ("ours", name)):  # noqa: B023  used at once
            path = paths[f"{name}-{kind}"] = folder / f"{network}-{name}-{kind}.onnx"
            if not path.exists():
                model = live(edgeacts.build_model(network, activation=source))
                to_onnx(model, example, path, input_names=["image"], output_names=["logits"])
    return paths


def measure(paths: Mapping[str, Path], threads: int, rounds: int) -> dict[str, Any]:
    """Medians in ms of every variant, and what each accelerated session is."""
    sessions: dict[str, Any] = {}
    for key, path in paths.items():
        name, kind = key.split("-")
        if kind == "stock":
            sessions[f"{name} stock"] = open_runtime(path, threads=threads)
        else:
            sessions[f"{name} accelerated"] = open_runtime(path, threads=threads, accelerate=True)
    feeds = {"image": np.random.default_rng(0).standard_normal((1, 3, SIZE, SIZE), np.float32)}
    calls = {key: session.bind(feeds) for key, session in sessions.items()}
    with tqdm(total=rounds + 3, desc=f"{threads} thread(s)", leave=False) as bar:
        times = times_of(calls, least=rounds, each_round=bar.update)
    chosen = {k: s.manifest.chosen for k, s in sessions.items() if s.manifest is not None}
    return {"median_ms": {k: 1e3 * statistics.median(v) for k, v in times.items()}, "chosen": chosen}


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Ratios per activation."""
    medians = result["median_ms"]
    relu, hardswish = medians["relu stock"], medians["hardswish stock"]
    return [
        {
            "activation": name,
            "stock_ms": medians[f"{name} stock"],
            "accelerated_ms": medians[f"{name} accelerated"],
            "stock_to_relu": medians[f"{name} stock"] / relu,
            "accelerated_to_relu": medians[f"{name} accelerated"] / relu,
            "accelerated_to_hardswish": medians[f"{name} accelerated"] / hardswish,
            "times_faster": medians[f"{name} stock"] / medians[f"{name} accelerated"],
            "chosen": result["chosen"][f"{name} accelerated"],
        }
        for name in ACTIVATIONS
    ]


def opening(path: Path) -> dict[str, float]:
    """Seconds to open: compiled anew, from the cache, and as it is; the last two medians of nine."""
    import os

    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("EDGEACTS_CACHE")
        os.environ["EDGEACTS_CACHE"] = folder
        try:
            start = time.perf_counter()
            open_runtime(path, accelerate=True).close()
            first = time.perf_counter() - start
            times: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(9):
                for accelerate, values in times.items():
                    start = time.perf_counter()
                    open_runtime(path, accelerate=accelerate).close()
                    values.append(time.perf_counter() - start)
        finally:
            if before is None:
                del os.environ["EDGEACTS_CACHE"]
            else:
                os.environ["EDGEACTS_CACHE"] = before
    cached, plain = statistics.median(times[True]), statistics.median(times[False])
    return {"first_s": first, "cached_s": cached, "plain_s": plain, "cached_to_plain": cached / plain}


def training(rounds: int) -> dict[str, float]:
    """Forward + backward at 64x64x32x32 on 2 threads, ratio to nn.SiLU."""
    torch.set_num_threads(2)
    x = torch.randn(64, 64, 32, 32, requires_grad=True)
    weight = torch.randn_like(x)
    modules: dict[str, nn.Module] = {"torch SiLU": nn.SiLU(), "torch Mish": nn.Mish()}
    modules |= {name: ActivationModule(name) for name in ("relu6", "leaky_relu", *ACTIVATIONS)}
    times: dict[str, list[float]] = {name: [] for name in modules}
    for number in range(rounds + 2):
        for name, module in modules.items():
            x.grad = None
            start = time.perf_counter()
            module(x).backward(weight)
            if number >= 2:
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {name: value / medians["torch SiLU"] for name, value in medians.items()}


def summary(every: Mapping[str, Any]) -> str:
    """The README's tables, one for each kind of CPU, from the JSON."""
    return "\n\n".join(_table(cpu, record) for cpu, record in every.items())


def _table(cpu: str, record: Mapping[str, Any]) -> str:
    lines = [
        f"| {cpu}: network, threads | " + " | ".join(ACTIVATIONS) + " |",
        "| --- |" + " ---: |" * len(ACTIVATIONS),
    ]
    order = list(NETWORKS.values())
    for setting in sorted(record["settings"], key=lambda s: (order.index(s["network"]), s["threads"])):
        by_name = {row["activation"]: row for row in setting["rows"]}
        cells = [
            f"{by_name[n]['stock_to_relu']:.2f} → **{by_name[n]['accelerated_to_relu']:.2f}**"
            for n in ACTIVATIONS
        ]
        lines.append(f"| {setting['network']}, {setting['threads']} | " + " | ".join(cells) + " |")
    found = record["circumstances"]
    kernel = ", ".join(f"{name} {value:.2f}" for name, value in record["kernel_ns"].items())
    trained = ", ".join(f"{name} {value:.2f}" for name, value in record["training_to_silu"].items())
    opened = record["opening"]
    lines += [
        "",
        f"Latency at 1x3x{SIZE}x{SIZE} relative to the stock export with ReLU in the same run: stock `torch.onnx.export` → "
        f"accelerated. {found['cpu']} ({record['isa']}), ONNX Runtime {found['versions']['onnxruntime']}, "
        f"{record['rounds']} interleaved rounds.",
        "",
        f"Kernel, nanoseconds an element in cache on one thread: {kernel}.",
        "",
        f"Training, forward and backward at 64x64x32x32 on two threads relative to torch's SiLU: {trained}.",
        "",
        f"Opening MobileNetV2 with Mish accelerated: {opened['first_s']:.1f} s the first time, "
        f"{1e3 * opened['cached_s']:.0f} ms from the cache; a plain session {1e3 * opened['plain_s']:.0f} ms.",
    ]
    return "\n".join(lines)


def measured(record: dict[str, Any], network: str, folder: Path) -> Iterator[None]:
    """Put what is missing of a network into the record, a part at a time."""
    done = {(s["network"], s["threads"]) for s in record["settings"]}
    missing = [threads for threads in (1, 2) if (NETWORKS[network], threads) not in done]
    if not missing:
        return
    paths = export(network, folder)
    if "opening" not in record:
        record["opening"] = opening(paths["mish-ours"])
        yield
    for threads in missing:
        result = measure(paths, threads, record["rounds"])
        record["settings"].append(
            {"network": NETWORKS[network], "threads": threads, "rows": rows(result), **result}
        )
        yield


def main() -> None:
    """Measure, write the JSON, and the README's part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--into", type=Path, help="Markdown file to put the table into")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--models", default=",".join(NETWORKS), help="comma-separated")
    add_options(parser)
    arguments = parser.parse_args()
    settings = {"rounds": arguments.rounds, "isa": native.isa()}
    record = started(arguments.out, settings, resume=arguments.resume)
    with folder_of(arguments.work) as folder:
        for network in arguments.models.split(","):
            for _ in measured(record, network, folder):
                put(arguments.out, record)
    if "kernel_ns" not in record:
        record["kernel_ns"] = {name: native.measure(compile_table(activation(name))) for name in ACTIVATIONS}
    if "training_to_silu" not in record:
        record["training_to_silu"] = training(arguments.rounds // 2)
    text = summary(put(arguments.out, record))
    print(text)
    if arguments.into:
        insert_summary(arguments.into, text, "make bench", "kernels")


if __name__ == "__main__":
    main()
