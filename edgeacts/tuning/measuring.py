"""`tune`: every candidate of an activation inside one network, measured in turn with the same network with ReLU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import onnx
from tqdm import tqdm

from edgeacts.circumstances import circumstances
from edgeacts.definition import Activation
from edgeacts.errors import UsageError
from edgeacts.latency import benchmark
from edgeacts.records import LatencyRecord, TunedActivation, TunedForm, TunedSetting, TuningEntry
from edgeacts.tuning.candidates import BASELINE, FLOATS, INT8, Bench, FloatBench, Measured, TuneSettings
from edgeacts.tuning.networks import CHANNELS, network_with_relu

Keep = Callable[[TuningEntry], object]


def _qdq(portable: onnx.ModelProto, settings: TuneSettings) -> Bench:
    from edgeacts.tuning.int8_onnxruntime import QdqBench

    return QdqBench(portable, settings)


def _openvino_int8(portable: onnx.ModelProto, settings: TuneSettings) -> Bench:
    from edgeacts.tuning.int8_openvino import OpenVinoInt8Bench

    return OpenVinoInt8Bench(portable, settings)


# Where the files of a runtime and precision are made; float networks are the same for every runtime.
BENCHES: Mapping[tuple[str, str], Callable[[onnx.ModelProto, TuneSettings], Bench]] = MappingProxyType(
    {("onnxruntime", INT8): _qdq, ("openvino", INT8): _openvino_int8}
    | {(runtime, precision): FloatBench for runtime in ("onnxruntime", "openvino") for precision in FLOATS}
)


def tune(
    activations: Sequence[Activation],
    settings: TuneSettings | None = None,
    *,
    keep: Keep = lambda entry: None,
    progress: bool = False,
) -> TuningEntry:
    """What each form within the tolerances costs on this machine, for the default values of the parameters.

    With "int8" on OpenVINO: what each way to quantize costs. `keep` is given the entry after each activation, so that an
    interruption loses one at most. Raises UsageError (network, no activation), NotAvailable (the runtime, what it cannot
    compute in, nncf).
    """
    if not activations:
        raise UsageError("nothing to tune: give at least one activation")
    settings = settings or TuneSettings()
    taken_in, portable = circumstances(), network_with_relu(settings.model, settings.size)
    bench = BENCHES[settings.runtime, settings.precision](portable, settings)
    measured: list[tuple[TunedActivation, LatencyRecord]] = []
    with tempfile.TemporaryDirectory(prefix="edgeacts-tune-") as folder:
        baseline = bench.baseline(Path(folder))
        for definition in tqdm(activations, desc="tuning", disable=None if progress else True):
            with tempfile.TemporaryDirectory(dir=folder) as own:
                measured.append(_tune_one(definition, bench, baseline, settings, Path(own)))
            first = measured[0][1].series[0]
            entry = TuningEntry(
                runtime=settings.runtime,
                runtime_version=str(first.executed.get("runtime_version", "")),
                precision=settings.precision,
                model=settings.model,
                input_shape=(1, CHANNELS, settings.size, settings.size),
                threads=settings.threads,
                rounds=min(len(record.series[0].samples_ns) for _, record in measured),
                baseline_ms=min(record.series[0].median_ns for _, record in measured) / 1e6,
                activations=tuple(tuned for tuned, _ in measured),
                circumstances=taken_in,
            )
            keep(entry)
    return entry


def _tune_one(
    definition: Activation, bench: Bench, baseline: Path, settings: TuneSettings, folder: Path
) -> tuple[TunedActivation, LatencyRecord]:
    candidates = bench.candidates(definition, folder)
    record = benchmark(
        [baseline, *(one.path for one in candidates)], runtimes=(settings.runtime,), threads=settings.threads,
        precision=bench.executed, within=settings.within, budget_s=settings.budget_s, seed=settings.seed,
        labels=[f"{BASELINE} (baseline)", *(one.label for one in candidates)],
    )  # fmt: skip
    by_label = {series.label: series for series in record.series}
    found: list[Measured] = [one.record(by_label[one.label]) for one in candidates if one.label in by_label]
    found.sort(key=lambda one: one.ratio)
    return TunedActivation(
        activation=definition.name,
        formula=str(definition.formula),
        parameters=definition.values(),
        forms=tuple(one for one in found if isinstance(one, TunedForm)),
        settings=tuple(one for one in found if isinstance(one, TunedSetting)),
    ), record
