"""A run folder as `edgeacts run` leaves it: six activations, two runtimes, noisy times."""

import hashlib
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist, median

import pytest

from edgeacts.circumstances import Circumstances
from edgeacts.records import (
    Epoch,
    ExportRecord,
    LatencyRecord,
    LatencySeries,
    ParityRow,
    TrainingRecord,
    Verdict,
)

MODEL = "mobilenet_v2"
CORRECT = {"relu": 344, "hardswish": 346, "tanhexp": 351, "mish": 350, "nish": 352, "sau": 345}
COST = {
    "onnxruntime": {"relu": 1.0, "hardswish": 1.26, "tanhexp": 2.45, "mish": 14.7, "nish": 6.7, "sau": 10.7},
    "openvino": {"relu": 1.0, "hardswish": 1.03, "tanhexp": 1.87, "mish": 1.46, "nish": 6.4, "sau": 2.15},
}
TOTAL = 360


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def wilson(correct: int, total: int) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.975)
    p, denominator = correct / total, 1 + z * z / total
    middle = p + z * z / (2 * total)
    half = z * (p * (1 - p) / total + z * z / (4 * total * total)) ** 0.5
    return (middle - half) / denominator, (middle + half) / denominator


def circumstances(time_utc: str = "2026-01-05T10:00:00Z") -> Circumstances:
    return Circumstances(
        time_utc=time_utc,
        cpu="Example CPU 4 @ 2.50GHz",
        cpu_count=2,
        cpu_features=("avx2", "fma", "avx512f", "avx512_vnni"),
        system="Linux x86_64",
        python="3.11.2",
        versions={"edgeacts": "0.1.0", "torch": "2.13.0", "onnxruntime": "1.31.1", "openvino": "2026.4.1"},
        load_average_1min=0.42,
    )


@dataclass
class Maker:
    """Makes records that fit each other; everything follows from `seed`."""

    seed: int = 7
    model: str = MODEL
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def training(self, activation: str, correct: int | None = None, epochs: int = 12) -> TrainingRecord:
        right = CORRECT[activation] if correct is None else correct
        final = right / TOTAL
        history = []
        for number in range(1, epochs + 1):
            reached = final * (1 - 0.85 * 0.62**number) + self.rng.gauss(0, 0.006)
            loss = 2.3 * 0.7**number + 0.03 + self.rng.uniform(0, 0.02)
            history.append(
                Epoch(
                    epoch=number,
                    train_loss=loss,
                    train_accuracy=min(1.0, reached + 0.01),
                    validation_loss=loss + 0.05,
                    validation_accuracy=min(1.0, reached),
                    learning_rate=0.05,
                    seconds=3.5,
                )
            )
        return TrainingRecord(
            model=self.model,
            width=1.0,
            activation=activation,
            activation_parameters={"alpha": [0.15, 0.21, 0.08]} if activation == "sau" else {},
            data="digits",
            data_source="scikit-learn 1.7",
            classes=tuple("0123456789"),
            seed=0,
            epochs=tuple(history),
            test_correct=right,
            test_total=TOTAL,
            test_accuracy=final,
            test_interval=wilson(right, TOTAL),
            parameter_count=2_236_682,
            seconds=42.0,
            settings={"optimizer": "sgd", "batch_size": 64, "mixed_precision": False},
            checkpoint="checkpoint.safetensors",
            checkpoint_sha256=sha256(f"{self.model}-{activation}"),
            circumstances=circumstances(),
        )

    def export(self, activation: str) -> ExportRecord:
        return ExportRecord(
            portable=f"{self.model}-{activation}.onnx",
            portable_sha256=sha256(f"portable {self.model}-{activation}"),
            inlined=f"{self.model}-{activation}.inlined.onnx",
            inlined_sha256=sha256(f"inlined {self.model}-{activation}"),
            opset=20,
            activation=activation,
            activation_nodes=35,
            operators={"Conv": 52, "Add": 10, "Gemm": 1},
            parent_sha256=sha256(f"{self.model}-{activation}"),
            verdict_passed=True,
            verdict_summary="12 of 12 comparisons passed",
            seconds=4.2,
            circumstances=circumstances("2026-01-05T10:05:00Z"),
        )

    def verdict(self, activation: str, passed: bool = True) -> Verdict:
        rows = []
        levels = [("onnxruntime", level) for level in ("disabled", "basic", "extended", "all")] + [
            ("openvino", "f32")
        ]
        for runtime, level in levels:
            for inputs, count in (("validation", 360), ("random", 32), ("extremes", 8)):
                error = 10 ** self.rng.uniform(-6.6, -5.2)
                rows.append(
                    ParityRow(
                        candidate=f"{self.model}-{activation}.onnx",
                        runtime=runtime,
                        level=level,
                        precision="float32",
                        inputs=inputs,
                        output="logits",
                        input_count=count,
                        value_count=count * 10,
                        max_error=error * 4.1,
                        movement=4.1,
                        relative_error=error,
                        allowed_relative_error=1e-4 if passed else 1e-9,
                        predictions_differ=0,
                        predictions_total=count,
                        passed=passed,
                        reason="within the allowed error" if passed else "error above the allowed one",
                    )
                )
        summary = f"{len(rows) if passed else 0} of {len(rows)} comparisons passed"
        return Verdict(
            reference="checkpoint.safetensors",
            reference_sha256=sha256(f"{self.model}-{activation}"),
            candidate=f"{self.model}-{activation}.onnx",
            candidate_sha256=sha256(f"portable {self.model}-{activation}"),
            passed=passed,
            summary=summary,
            rows=tuple(rows),
            skipped={"cuda": "ONNX Runtime here has no CUDA provider"},
            circumstances=circumstances("2026-01-05T10:06:00Z"),
        )

    def series(
        self, label: str, runtime: str, base_ns: float, ratio: float, model_sha256: str, count: int = 120
    ) -> LatencySeries:
        noise = [
            self.rng.lognormvariate(0, 0.03) + (self.rng.random() < 0.04) * self.rng.uniform(0.1, 0.7)
            for _ in range(count)
        ]
        samples = tuple(round(base_ns * ratio * n) for n in noise)
        return LatencySeries(
            label=label,
            model=f"{label}.onnx",
            model_sha256=model_sha256,
            runtime=runtime,
            size_bytes=9_012_345,
            samples_ns=samples,
            median_ns=median(samples),
            p95_ns=float(sorted(samples)[int(0.95 * count)]),
            ratio=ratio,
            executed={
                "provider": "CPUExecutionProvider",
                "precision": "f32",
                "threads": 1,
                "input": "1x3x64x64",
                "accelerated": None,
            },
        )

    def latency(self, activations: tuple[str, ...] = tuple(CORRECT), threads: int = 1) -> LatencyRecord:
        found = []
        for runtime, base in (("onnxruntime", 1_870_000), ("openvino", 1_710_000)):
            for activation in activations:
                label = f"{self.model}-{activation}"
                kind = "portable" if runtime == "onnxruntime" else "inlined"
                found.append(
                    self.series(label, runtime, base, COST[runtime][activation], sha256(f"{kind} {label}"))
                )
        return LatencyRecord(
            series=tuple(found),
            warmup_rounds=10,
            rounds=120,
            threads=threads,
            batch=1,
            seed=0,
            seconds=31.0,
            skipped={},
            circumstances=circumstances("2026-01-05T10:10:00Z"),
        )

    def write_run(self, folder: Path, activations: tuple[str, ...] = tuple(CORRECT)) -> Path:
        for activation in activations:
            variant = folder / f"{self.model}-{activation}"
            self.training(activation).write(variant / "train" / "training.json")
            self.export(activation).write(variant / "export" / "export.json")
            self.verdict(activation).write(variant / "export" / "verdict.json")
            self.verdict(activation).write(variant / "verify" / "verdict.json")
        self.latency(activations).write(folder / "bench" / "latency.json")
        return folder


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Maker().write_run(tmp_path_factory.mktemp("run") / "demo")


@pytest.fixture
def run_folder(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "demo"))


@pytest.fixture
def edited(run_folder: Path) -> Callable[[str, str, str], Path]:
    """Replaces text in one file of the run folder: edited("bench/latency.json", old, new)."""

    def edit(name: str, old: str, new: str) -> Path:
        path = run_folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old}"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return edit
