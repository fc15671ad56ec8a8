"""How often `verify` is wrong about sound exports, and how long it takes. Writes benchmarks/parity.json.

    python benchmarks/parity.py [--runs 200] [--networks 8] [--epochs 8] [--skip-large]

Small networks of the zoo are trained on digits and exported; each run verifies one of them with other validation images, other
random inputs and another order of sums, on every runtime, level, batch and number of threads. Every verdict that is not "pass"
is a false alarm. MobileNetV2 1.0 at 224 is then verified over the whole matrix, without and with its accelerated file cached.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from edgeacts.checkpoint import Checkpoint, load_checkpoint
from edgeacts.circumstances import circumstances
from edgeacts.data import load_dataset
from edgeacts.exporters import to_onnx
from edgeacts.files import write_text_atomic
from edgeacts.models import build_model
from edgeacts.parity import BATCHES, verify
from edgeacts.parity.judging import place_of, severity, worst
from edgeacts.records import Verdict, to_builtins
from edgeacts.runtimes import resolve_threads
from edgeacts.training import TrainSettings, train

# model, width, activation: every family, cheap and smooth activations, native ones and forms with a bound.
NETWORKS = (
    ("squeezenet1_1", 1.0, "tanhexp"),
    ("shufflenet_v2", 0.5, "hardswish"),
    ("mobilenet_v2", 0.25, "relu6"),
    ("squeezenet1_1", 1.0, "sau"),
    ("shufflenet_v2", 0.5, "mish"),
    ("mobilenet_v2", 0.25, "nish"),
    ("shufflenet_v2", 0.5, "gelu"),
    ("mobilenet_v2", 0.25, "silu"),
)
SIDE, LARGE = 16, 224


def main() -> None:
    """Train, verify many times, verify the large one, write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--networks", type=int, default=len(NETWORKS), help="so many of the table")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--skip-large", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EDGEACTS_CACHE"] = f"{folder}/cache"  # nothing is compiled yet
        large = None if arguments.skip_large else verify_large(Path(folder))
        result = {
            "false_alarms": false_alarms(Path(folder), arguments.runs, arguments.networks, arguments.epochs),
            f"mobilenet_v2_{LARGE}": large,
            "circumstances": to_builtins(circumstances()),
        }
    write_text_atomic(arguments.out, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    shown = {k: v for k, v in result["false_alarms"].items() if k != "shares"}
    print(json.dumps({"false_alarms": shown, "large": large}, indent=1))


def false_alarms(folder: Path, runs: int, count: int, epochs: int) -> dict[str, Any]:
    """Verify sound exports `runs` times."""
    subjects = list(trained(folder, count, epochs))
    dataset = load_dataset("digits", None, image_size=SIDE)
    alarms, shares, ratios, seconds, compared = [], [], [], 0.0, 0
    for run in tqdm(range(runs), desc="verify"):
        checkpoint, path = subjects[run % len(subjects)]
        rng = np.random.default_rng(run)
        chosen = rng.permutation(len(dataset.validation.images))[:128]
        verdict = verify(
            checkpoint.model, path, images=checkpoint.spec.preprocessing(dataset.validation.images[chosen]),
            threads=threads(), precisions=None, seed=run,
        )  # fmt: skip
        if not verdict.passed:
            alarms.append({"run": run, "network": path.stem, "summary": verdict.summary})
        shares.append(severity(worst(verdict.rows)))
        ratios.append(noise_ratio(verdict))
        seconds += verdict.seconds
        compared += len(verdict.rows)
    return {
        "runs": runs,
        "comparisons": compared,
        "alarms": alarms,
        "alarm_count": len(alarms),
        "largest_share_of_allowed": max(shares),
        "median_share_of_allowed": float(np.median(shares)),
        "largest_error_over_measured_noise": max(ratios),
        "seconds_per_run": seconds / runs,
        "networks": {path.stem: checkpoint.spec.metrics["test_accuracy"] for checkpoint, path in subjects},
        "shares": [round(share, 4) for share in shares],
    }


def noise_ratio(verdict: Verdict) -> float:
    """The largest error of a float32 comparison, over the noise that was measured on the same inputs."""
    noise = {(b.inputs, b.output, b.precision): b.noise for b in verdict.budgets}
    ratios = [
        row.relative_error / noise[row.inputs, row.output, "f32"]
        for row in verdict.rows
        if row.relative_error is not None and noise.get((row.inputs, row.output, "f32"))
    ]
    return max(ratios, default=0.0)


def trained(folder: Path, count: int, epochs: int) -> Iterator[tuple[Checkpoint, Path]]:
    """Networks that have learnt digits, exported."""
    for model, width, activation in NETWORKS[:count]:
        name = f"{model}-{activation}"
        settings = TrainSettings(
            model=model, width=width, activation=activation, data="digits", image_size=SIDE, epochs=epochs, batch_size=32,
            threads=1,
        )  # fmt: skip
        train(settings, folder / name, progress=False)
        checkpoint = load_checkpoint(folder / name / "checkpoint")
        files = to_onnx(
            checkpoint.model, torch.zeros(1, checkpoint.spec.in_channels, SIDE, SIDE), folder / f"{name}.onnx",
            input_names=["image"], output_names=["logits"],
        )  # fmt: skip
        yield checkpoint, files.portable


def verify_large(folder: Path) -> dict[str, Any]:
    """MobileNetV2 1.0 at 224 over the whole matrix: time without and with a cached accelerated file."""
    model = awake(build_model("mobilenet_v2", activation="tanhexp"))
    files = to_onnx(model, torch.zeros(1, 3, LARGE, LARGE), folder / "large.onnx")
    images = np.random.default_rng(0).standard_normal((13, 3, LARGE, LARGE)).astype(np.float32)
    taken = []
    for _ in range(2):
        begin = time.perf_counter()
        verdict = verify(model, files.portable, images=images, threads=threads(), precisions=None)
        taken.append(time.perf_counter() - begin)
    return {
        "outcome": verdict.outcome,
        "summary": verdict.summary,
        "worst": place_of(worst(verdict.rows)),
        "comparisons": len(verdict.rows),
        "batches": BATCHES,
        "threads": threads(),
        "seconds_first": taken[0],
        "seconds_again": taken[1],
    }


def awake(model: nn.Module) -> nn.Module:
    """Kaiming weights and batch-norm statistics from data, so that the output moves with the input."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.randn(8, 3, LARGE, LARGE, generator=generator))
    return model.eval()


def threads() -> tuple[int, ...]:
    """One thread and two, where there are two cores."""
    return (1, 2) if resolve_threads(0) > 1 else (1,)


if __name__ == "__main__":
    main()
