"""`run`: train, export, verify, benchmark and report, for one or several networks and activations, in one folder."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import onnx

from edgeacts.activations import activation as find_activation
from edgeacts.checkpoint import load_checkpoint
from edgeacts.data import load_dataset
from edgeacts.data.dataset import ImageDataset
from edgeacts.errors import CheckFailed, NotAvailable, UsageError
from edgeacts.exporting import checkpoint_metadata, export_checkpoint
from edgeacts.files import LOCK, folder_lock
from edgeacts.forms import OPSETS, TOLERANCE
from edgeacts.latency import benchmark
from edgeacts.latency.arguments import check_arguments
from edgeacts.models import network
from edgeacts.parity import verify
from edgeacts.pipeline_int8 import int8_label, int8_model, int8_parents, int8_results, int8_stages
from edgeacts.records import ExecutedGraph, GateRecord, LatencyRecord, Record, TrainingRecord, Verdict
from edgeacts.report import build_report
from edgeacts.runtimes import levels, open_runtime, runtime_names
from edgeacts.stages import Stage, carry_out
from edgeacts.training import TrainSettings, train

SETTINGS_FILE = "run.json"


class RunSettings(Record, frozen=True, kw_only=True, tag_field="kind", tag="run"):
    """What a run does: every model with every activation; `training` is the template of their settings."""

    models: tuple[str, ...] = ("mobilenet_v2",)
    activations: tuple[str, ...] = ("relu", "hardswish", "tanhexp", "mish", "nish", "sau")
    training: TrainSettings
    opset: int = 20
    tolerance: float = TOLERANCE
    int8: bool = False
    runtimes: tuple[str, ...] = runtime_names()
    provider: str = "cpu"
    bench_threads: int = 1
    bench_precision: float = 0.02
    bench_budget_s: float = 120.0
    bench_rounds: int | None = None
    version: int = 1

    def __post_init__(self) -> None:
        for name, values, check in (
            ("model", self.models, network),
            ("activation", self.activations, find_activation),
            ("runtime", self.runtimes, levels),
        ):
            if not values:
                raise UsageError(f"no {name} to run: give at least one")
            if len(set(values)) != len(values):
                raise UsageError(f"{name} {', '.join(values)}: each may be given once")
            for value in values:
                check(value)
        low, high = OPSETS
        if not low <= self.opset <= high:
            raise UsageError(f"opset {self.opset} is not supported: give one from {low} to {high}")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise UsageError(
                f"tolerance {self.tolerance}: give a number of at least 0, such as {TOLERANCE:g}"
            )


@dataclass(frozen=True)
class RunResult:
    """Where the report is, and whether every check passed."""

    report: Path
    verdicts: dict[str, Verdict]
    trainings: dict[str, TrainingRecord]
    latency: LatencyRecord
    gates: dict[str, GateRecord]

    @property
    def passed(self) -> bool:
        """Every export and verification passed, and every 8-bit model's accuracy."""
        return all(v.passed for v in self.verdicts.values()) and all(g.passed for g in self.gates.values())


def run(settings: RunSettings | None, out: Path, *, progress: bool | None = None) -> RunResult:
    """Do the run in the folder `out`, or go on with the one that was begun there; finished stages are kept.

    `settings` None: those of the run in `out`. Raises UsageError when `out` holds a run with other settings, EdgeactsError
    when another process works there, and what the stages raise. A failed check is in the result, and in the report.
    """
    agree(settings, out)  # before the lock's file is put into a folder that is not ours
    with folder_lock(out):
        settings = agree(settings, out)
        dataset = _load(settings.training)
        _check_bench(settings)
        if not (out / SETTINGS_FILE).exists():  # only what can be run is begun
            settings.write(out / SETTINGS_FILE)
        say = _say if progress is not False else _silent
        variants = {f"{m}-{a}": (m, a) for m in settings.models for a in settings.activations}
        for label, (model, activation) in variants.items():
            for stage in _variant_stages(settings, out / label, model, activation, dataset, progress):
                carry_out(stage, partial(_prefixed, say, label))
        carry_out(_bench_stage(settings, out, tuple(variants), bool(progress or sys.stderr.isatty())), say)
        carry_out(_report_stage(settings, out, tuple(variants)), say)
        return _result(settings, out, tuple(variants))


def agree(settings: RunSettings | None, out: Path) -> RunSettings:
    """The settings of the run in `out`: the given ones when it is new, otherwise they must be the same."""
    path = out / SETTINGS_FILE
    if not path.exists():
        if settings is None:
            raise UsageError(f"{out} holds no run to go on with ({path.name} is missing)")
        foreign = (
            [p.name for p in out.iterdir() if p.name != LOCK and not p.name.startswith(".run.")]
            if out.is_dir()
            else []
        )
        if foreign:
            raise UsageError(
                f"{out} is not empty and not a run folder (it holds {foreign[0]}): give another --out"
            )
        return settings
    known = RunSettings.read(path)
    if settings is not None and settings != known:
        raise UsageError(
            f"{out} holds a run with other settings ({_differences(known, settings)}): give another --out"
        )
    return known


def _differences(a: RunSettings, b: RunSettings) -> str:
    def flat(s: RunSettings) -> dict[str, object]:
        return {**msgspec.structs.asdict(s), **msgspec.structs.asdict(s.training)}

    first, second = flat(a), flat(b)
    names = [n for n in first if n != "training" and first[n] != second[n]]
    return "; ".join(f"{n} {first[n]!r}, not {second[n]!r}" for n in names[:4])


def _check_bench(settings: RunSettings) -> None:
    """Try what the benchmark will ask for on a network of one node: better now than after the training."""
    check_arguments(
        [Path(__file__)], settings.runtimes, within=settings.bench_precision, budget_s=settings.bench_budget_s,
        rounds=settings.bench_rounds, batch=1, sizes={},
    )  # fmt: skip
    value = partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=[1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "probe", [value("x")], [value("y")]
    )
    opsets = [onnx.helper.make_opsetid("", settings.opset)]
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), probe)
        for runtime in settings.runtimes:
            try:
                open_runtime(
                    probe, runtime, threads=settings.bench_threads, provider=settings.provider
                ).close()
            except NotAvailable as error:
                failures.append(error)
    if len(failures) == len(settings.runtimes):
        raise failures[0]


def _load(training: TrainSettings) -> ImageDataset:
    root = Path(training.data_root) if training.data_root else None
    return load_dataset(training.data, root, image_size=training.image_size)


def _variant_stages(
    settings: RunSettings,
    folder: Path,
    model: str,
    activation: str,
    dataset: ImageDataset,
    progress: bool | None,
) -> list[Stage]:
    chosen = msgspec.structs.replace(settings.training, model=model, activation=activation)
    images = dataset.preprocessing.normalize(dataset.validation.images[:128])
    train_folder, export_folder, verify_folder = folder / "train", folder / "export", folder / "verify"
    checkpoint = train_folder / "checkpoint.safetensors"
    portable, inlined = export_folder / "model.onnx", export_folder / "model.inlined.onnx"

    def do_export() -> None:
        export_checkpoint(
            checkpoint, export_folder, opset=settings.opset, tolerance=settings.tolerance, images=images,
            runtimes=settings.runtimes[:1],
        )  # fmt: skip

    def do_verify() -> None:
        loaded = load_checkpoint(checkpoint)
        for name, path in (("verdict", portable), ("verdict-inlined", inlined)):
            verdict = verify(
                loaded.model, path, images=images, runtimes=settings.runtimes, label=checkpoint.name,
                reference_sha256=loaded.sha256, expected_metadata=checkpoint_metadata(loaded),
                tolerance=settings.tolerance,
            )  # fmt: skip
            verdict.write(verify_folder / f"{name}.json")
        if "openvino" in settings.runtimes:
            _write_executed(portable, verify_folder / "executed-openvino.json")

    extra = settings.training.seed, progress
    eight = int8_stages(folder, dataset, images, settings.runtimes, *extra) if settings.int8 else []
    return [
        Stage(
            "train",
            train_folder,
            (),
            lambda: _train(chosen, train_folder, dataset, progress),
            keep=("resume.ckpt",),
        ),
        Stage("export", export_folder, (checkpoint,), do_export),
        Stage("verify", verify_folder, (checkpoint, portable, inlined), do_verify),
        *eight,
    ]


def _write_executed(model: Path, target: Path) -> None:
    """What OpenVINO executes for the model, where it is installed."""
    try:
        with open_runtime(model, "openvino") as session:
            session.made(ExecutedGraph).write(target)
    except NotAvailable:
        return  # the verdict says so


def _train(settings: TrainSettings, folder: Path, dataset: ImageDataset, progress: bool | None) -> None:
    train(settings, folder, dataset=dataset, progress=progress)


def _bench_stage(settings: RunSettings, out: Path, labels: tuple[str, ...], progress: bool) -> Stage:
    models = tuple(out / label / "export" / "model.onnx" for label in labels)
    names = labels
    if settings.int8:
        models += tuple(int8_model(out / label) for label in labels)
        names += tuple(map(int8_label, labels))

    def work() -> None:
        record = benchmark(
            models, runtimes=settings.runtimes, threads=settings.bench_threads, provider=settings.provider,
            within=settings.bench_precision, budget_s=settings.bench_budget_s, rounds=settings.bench_rounds,
            labels=names, seed=settings.training.seed, progress=progress,
        )  # fmt: skip
        record.write(out / "bench" / "latency.json")

    return Stage("bench", out / "bench", models, work)


def _report_stage(settings: RunSettings, out: Path, labels: tuple[str, ...]) -> Stage:
    parents = [out / "bench" / "latency.json"]
    for label in labels:
        folder = out / label
        parents += [
            folder / "train" / "training.json",
            folder / "export" / "export.json",
            folder / "verify" / "verdict.json",
        ]
        parents += int8_parents(folder) if settings.int8 else []
    return Stage("report", out / "report", tuple(parents), lambda: _report(out))


def _report(out: Path) -> None:
    build_report(out)


def _result(settings: RunSettings, out: Path, labels: tuple[str, ...]) -> RunResult:
    verdicts, gates = {}, {}
    for label in labels:
        verdicts[f"{label} export"] = Verdict.read(out / label / "export" / "verdict.json")
        verdicts[label] = Verdict.read(out / label / "verify" / "verdict.json")
        verdicts[f"{label} inlined"] = Verdict.read(out / label / "verify" / "verdict-inlined.json")
        if settings.int8:
            gates[label], verdicts[f"{label} int8"] = int8_results(out / label)
    trainings = {label: TrainingRecord.read(out / label / "train" / "training.json") for label in labels}
    latency = LatencyRecord.read(out / "bench" / "latency.json")
    return RunResult(out / "report" / "report.html", verdicts, trainings, latency, gates)


def check(result: RunResult) -> None:
    """Raise CheckFailed that names the first verdict that did not pass."""
    failed = {name: v for name, v in result.verdicts.items() if not v.passed}
    if failed:
        name, verdict = next(iter(failed.items()))
        raise CheckFailed(
            f"{len(failed)} of {len(result.verdicts)} parity checks failed; {name}: {verdict.summary}; see {result.report}"
        )
    poor = {name: gate for name, gate in result.gates.items() if not gate.passed}
    if poor:
        name, gate = next(iter(poor.items()))
        raise CheckFailed(f"{name} in 8 bits: {gate.summary}; see {result.report}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """Say nothing."""


def _prefixed(say: Callable[[str], None], label: str, text: str) -> None:
    say(f"{label} {text}")
