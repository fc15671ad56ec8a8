"""A run folder as `edgeacts run` leaves it: six activations, two runtimes, noisy times."""

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import msgspec
import quantized_records as quantized
import timed_records as timed

from edgeacts.circumstances import Circumstances
from edgeacts.records import (
    Budget,
    ConformanceRecord,
    ConformanceRow,
    DivergenceRecord,
    Epoch,
    ExecutedActivation,
    ExecutedGraph,
    ExecutedLayer,
    ExportRecord,
    LatencyRecord,
    LatencySeries,
    LayerRow,
    ParityRow,
    TrainingRecord,
    Verdict,
)
from edgeacts.report.evidence import collect
from edgeacts.report.joining import join
from edgeacts.report.variants import Variant

MODEL = "mobilenet_v2"
TWO = ("relu", "mish")  # those that have an 8-bit twin
EIGHT = f"{MODEL}-mish-int8"
CORRECT = {"relu": 344, "hardswish": 346, "tanhexp": 351, "mish": 350, "nish": 352, "sau": 345}
COST = {
    "onnxruntime": {"relu": 1.0, "hardswish": 1.26, "tanhexp": 2.45, "mish": 14.7, "nish": 6.7, "sau": 10.7},
    "openvino": {"relu": 1.0, "hardswish": 1.03, "tanhexp": 1.87, "mish": 1.46, "nish": 6.4, "sau": 2.15},
}
TOTAL = 360
LEVELS = (
    *(("onnxruntime", level) for level in ("disabled", "basic", "extended", "all")),
    ("openvino", "default"),
)
INPUTS = {"validation": 360, "random": 32, "extremes": 8}
PLACES = ((1, 1), (1, 2), (2, 1), (7, 1))
REASONS = {
    "pass": "within the allowed error",
    "fail": "error above the allowed one",
    "blind": "the output hardly moves",
}


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

    def verdict(self, activation: str, outcome: str = "pass") -> Verdict:
        rows = tuple(
            self.row(activation, runtime, level, inputs, batch, threads, outcome)
            for runtime, level in LEVELS
            for inputs in INPUTS
            for batch, threads in PLACES
        )
        passed = len(rows) if outcome == "pass" else 0
        return Verdict(
            reference="checkpoint.safetensors",
            reference_sha256=sha256(f"{self.model}-{activation}"),
            candidate=f"{self.model}-{activation}.onnx",
            candidate_sha256=sha256(f"portable {self.model}-{activation}"),
            outcome=outcome,
            summary=f"{passed} of {len(rows)} comparisons passed",
            rows=rows,
            budgets=tuple(self.budget(inputs) for inputs in INPUTS),
            skipped={"cuda": "ONNX Runtime here has no CUDA provider"},
            seconds=9.5,
            circumstances=circumstances("2026-01-05T10:06:00Z"),
        )

    def row(
        self, activation: str, runtime: str, level: str, inputs: str, batch: int, threads: int, outcome: str
    ) -> ParityRow:
        error, count = 10 ** self.rng.uniform(-6.6, -5.2), INPUTS[inputs]
        return ParityRow(
            candidate=f"{self.model}-{activation}.onnx",
            runtime=runtime,
            level=level,
            precision="float32",
            batch=batch,
            threads=threads,
            inputs=inputs,
            output="logits",
            input_count=count,
            value_count=count * 10,
            worst_input=3,
            max_error=error * 4.1,
            p999_error=error * 3.1,
            mean_error=error * 0.9,
            movement=4.1,
            relative_error=error,
            allowed_relative_error=1e-9 if outcome == "fail" else 1e-4,
            snr_db=98.7,
            predictions_differ=0,
            predictions_total=count,
            flip_interval=wilson(0, count),
            flip_margin=None,
            outcome=outcome,
            reason=REASONS[outcome],
        )

    def budget(self, inputs: str) -> Budget:
        sources = {"rounding": 2.1e-6, "accumulation order": 3.25e-6, "threads": 1.1e-6, "batch": 0.9e-6}
        return Budget(
            inputs=inputs, output="logits", precision="float32", noise=3.25e-6, noise_sources=sources,
            noise_share=2.6e-5, precision_share=6.4e-5, form_share=1e-5, allowed=1e-4,
        )  # fmt: skip

    def divergence(self, activation: str, first: int | None = 5) -> DivergenceRecord:
        rows = tuple(
            LayerRow(
                reference=f"features.{i}",
                candidate=f"node_{i}_out",
                operator="Conv" if i % 2 else "TanhExp",
                max_error=None if i == 9 else 4e-6 * (1 if first is None or i < first else 1e4),
                relative_error=None if i == 9 else 1e-6 * (1 if first is None or i < first else 1e4),
                allowed=None if i == 9 else 1e-5,
                outcome="not looked at" if i == 9 else "pass" if first is None or i < first else "fail",
            )
            for i in range(12)
        )
        return DivergenceRecord(
            reference="checkpoint.safetensors",
            reference_sha256=sha256(f"{self.model}-{activation}"),
            candidate=f"{self.model}-{activation}.onnx",
            candidate_sha256=sha256(f"portable {self.model}-{activation}"),
            runtime="onnxruntime",
            level="all",
            rows=rows,
            first=first,
            looks=7,
            observer_effect="",
            minimal_model="" if first is None else "minimal.onnx",
            minimal_input="" if first is None else "minimal.npz",
            summary="they agree" if first is None else f"they part at features.{first}",
            circumstances=circumstances("2026-01-05T10:07:00Z"),
        )

    def executed(self, activation: str) -> ExecutedGraph:
        """A fused activation, one of two layers, and one that was folded away."""
        layers = tuple(
            ExecutedLayer(f"layer_{i}", kind, f"jit_{kind.lower()}", "f32", (f"node_{i}",))
            for i, kind in enumerate(("Convolution", "Subgraph", "Eltwise", "FullyConnected"))
        )
        places = (
            ("node_0", "layer_0", ("layer_0",)),
            ("node_2", "", ("layer_1", "layer_2")),
            ("node_9", "", ()),
        )
        return ExecutedGraph(
            model=f"{self.model}-{activation}.onnx",
            model_sha256=sha256(f"portable {self.model}-{activation}"),
            runtime="openvino",
            runtime_version="2026.4.1",
            precision_asked="f32",
            precision="f32",
            layers=layers,
            activations=tuple(
                ExecutedActivation(
                    name,
                    "TanhExp",
                    "gate",
                    1e-5,
                    fused,
                    inside,
                    "jit_avx2" if inside else "",
                    "f32" if inside else "",
                )
                for name, fused, inside in places
            ),
            circumstances=circumstances("2026-01-05T10:09:00Z"),
        )

    def conformance(
        self, runtime: str = "onnxruntime", names: tuple[str, ...] = tuple(CORRECT)
    ) -> ConformanceRecord:
        ways = (("form", "exact"), ("form", "ratio"), ("kernel", "table"), ("native", "native Op"))
        rows = tuple(
            self.conformance_row(name, kind, form, dtype)
            for name in names
            for dtype in ("float32", "float16", "bfloat16")
            for kind, form in ways
        )
        return ConformanceRecord(
            runtime=runtime, runtime_version="1.31.1", rows=rows, skipped={}, seconds=40.0,
            circumstances=circumstances("2026-01-05T10:08:00Z"),
        )  # fmt: skip

    def conformance_row(self, name: str, kind: str, form: str, dtype: str) -> ConformanceRow:
        ulp = round(10 ** self.rng.uniform(-0.3, 4.5), 3)
        return ConformanceRow(
            activation=name, kind=kind, form=form, dtype=dtype, executed_precision="float32", value_count=63488,
            max_ulp=ulp, p999_ulp=ulp / 2, mean_ulp=ulp / 20, worst_x=-12.34375, worst_got=-5.4e-5,
            worst_expected=-5.5e-5, scaled_error=3.1e-7, allowed=None if kind == "native" else 5e-7, not_finite=0,
            specials={"nan": "nan", "+inf": "+inf", "-inf": "-0", "+0": "+0", "-0": "-0"},
            outcome="reported" if kind == "native" else "pass", reason="",
        )  # fmt: skip

    def models(self, activations: tuple[str, ...] = tuple(CORRECT)) -> list[timed.Model]:
        found = []
        for runtime, base in (("onnxruntime", 1_870_000), ("openvino", 1_710_000)):
            kind = "portable" if runtime == "onnxruntime" else "inlined"
            for activation in activations:
                label = f"{self.model}-{activation}"
                found.append((label, sha256(f"{kind} {label}"), runtime, base * COST[runtime][activation]))
        return found

    def series(
        self,
        label: str,
        runtime: str,
        base_ns: float,
        model_sha256: str,
        baseline_ns: float = 0.0,
        **changes: Any,
    ) -> LatencySeries:
        return timed.series(self.rng, (label, model_sha256, runtime, base_ns), baseline_ns, **changes)

    def latency(
        self, activations: tuple[str, ...] = tuple(CORRECT), threads: int = 1, **changes: Any
    ) -> LatencyRecord:
        taken = circumstances("2026-01-05T10:10:00Z")
        return timed.latency(self.rng, self.models(activations), taken, threads, **changes)

    def mode(self, kind: str, activations: tuple[str, ...] = tuple(CORRECT)) -> Any:
        return timed.mode(kind, self.rng, self.models(activations), circumstances("2026-01-05T10:12:00Z"))

    def write_measurements(self, folder: Path, activations: tuple[str, ...] = tuple(CORRECT)) -> Path:
        """What `run` does not write by itself: the other modes, conformance, a search for the divergence."""
        for kind in timed.MAKERS:
            self.mode(kind, activations).write(folder / "bench" / f"{kind}.json")
        for runtime in ("onnxruntime", "openvino"):
            self.conformance(runtime, activations).write(folder / "conformance" / f"{runtime}.json")
        self.divergence(activations[0], first=None).write(folder / "locate" / "divergence.json")
        self.executed(activations[0]).write(folder / "executed-openvino.json")
        return self.write_int8(folder, activations[:2])

    def int8(self, activation: str, **changes: Any) -> dict[str, Any]:
        """The records of one 8-bit file by kind; `changes` are of the gate."""
        label, taken = f"{self.model}-{activation}", circumstances("2026-01-05T10:20:00Z")
        portable, eight = sha256(f"portable {label}"), sha256(f"int8 {label}")
        names = {"Mish": 35} if activation == "mish" else {}
        return {
            "quantization": quantized.quantization(portable, eight, taken, names),
            "gate": quantized.gate(eight, taken, quantized.drop(3, 1), **changes),
            "saturation": quantized.saturation(eight, taken),
            "qat": quantized.qat(taken, after_sha256=sha256(f"tuned {label}")),
            "openvino-quantization": quantized.openvino(portable, sha256(f"xml {label}"), taken),
        }

    def int8_latency(self, activations: tuple[str, ...], runtime: str = "onnxruntime") -> LatencyRecord:
        """Float and INT8 files in turn; INT8 takes 0.6 of the time."""
        models = []
        for kind, share in (("portable", 1.0), ("int8", 0.6)):
            for activation in activations:
                label, base_ns = f"{self.model}-{activation}", 1e6 * COST["onnxruntime"][activation]
                suffix = "" if kind == "portable" else "-int8"
                models.append((f"{label}{suffix}", sha256(f"{kind} {label}"), runtime, share * base_ns))
        record = timed.latency(self.rng, models, circumstances("2026-01-05T10:30:00Z"))
        eight = {"precision": "int8"}
        series = (
            msgspec.structs.replace(s, executed={**s.executed, **eight}) if "int8" in s.label else s
            for s in record.series
        )
        return msgspec.structs.replace(record, series=tuple(series))

    def write_int8(self, folder: Path, activations: tuple[str, ...]) -> Path:
        """What `run --int8` and `quantize --qat`, `quantize --runtime openvino` add."""
        for activation in activations:
            for kind, record in self.int8(activation).items():
                record.write(folder / f"{self.model}-{activation}" / "quantize" / f"{kind}.json")
        self.int8_latency(activations).write(folder / "bench" / "latency-int8.json")
        return folder

    def write_run(self, folder: Path, activations: tuple[str, ...] = tuple(CORRECT)) -> Path:
        for activation in activations:
            variant = folder / f"{self.model}-{activation}"
            self.training(activation).write(variant / "train" / "training.json")
            self.export(activation).write(variant / "export" / "export.json")
            self.verdict(activation).write(variant / "export" / "verdict.json")
            self.verdict(activation).write(variant / "verify" / "verdict.json")
        self.latency(activations).write(folder / "bench" / "latency.json")
        return folder


def known(folder: Path) -> dict[str, Variant]:
    """Label -> variant, of all that a folder holds."""
    return {variant.label: variant for variant in join(collect([folder]))}
