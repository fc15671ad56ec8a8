"""`tune`: every form of an activation inside one network, measured in turn with the same network with ReLU."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from tqdm import tqdm

from edgeacts.circumstances import circumstances
from edgeacts.definition import Activation, Form
from edgeacts.errors import UsageError
from edgeacts.forms import TOLERANCE, Choice
from edgeacts.forms.choosing import sound_forms
from edgeacts.forms.costs import COSTS
from edgeacts.forms.tuned import steps_of
from edgeacts.latency import benchmark
from edgeacts.names import check_name
from edgeacts.records import LatencyRecord, LatencySeries, TunedActivation, TunedForm, TuningEntry
from edgeacts.tuning.networks import CHANNELS, PRECISIONS, network_with_relu, prepared, with_form

BASELINE = "relu"


@dataclass(frozen=True)
class TuneSettings:
    """Where and how forms are measured; `budget_s` and `within` (half width of the ratios' intervals) are per activation."""

    runtime: str = "openvino"
    precision: str = "f32"
    model: str = "mobilenet_v2"
    size: int = 224
    threads: int = 1
    tolerances: tuple[float, ...] = (TOLERANCE,)
    budget_s: float = 30.0
    within: float = 0.01
    seed: int = 0


def tune(
    activations: Sequence[Activation], settings: TuneSettings = TuneSettings(), *, progress: bool = False
) -> TuningEntry:
    """What each form within the tolerances costs on this machine, for the default values of the parameters.

    Raises UsageError (runtime, precision, network, tolerance), NotAvailable (the runtime, or what it cannot compute in).
    """
    check_name(settings.runtime, COSTS, "runtime to tune")
    check_name(settings.precision, PRECISIONS, "precision to tune")
    if not activations:
        raise UsageError("nothing to tune: give at least one activation")
    if not settings.tolerances or not all(t >= 0 for t in settings.tolerances):
        raise UsageError(f"tolerances {settings.tolerances}: give numbers of at least 0")
    taken_in, portable = (
        circumstances(),
        prepared(network_with_relu(settings.model, settings.size), settings.precision),
    )
    with tempfile.TemporaryDirectory(prefix="edgeacts-tune-") as folder:
        bar = tqdm(activations, desc="tuning", disable=None if progress else True)
        measured = [_tune_one(definition, portable, settings, Path(folder)) for definition in bar]
    first = measured[0][1]
    return TuningEntry(
        runtime=settings.runtime,
        runtime_version=str(first.series[0].executed.get("runtime_version", "")),
        precision=settings.precision,
        model=settings.model,
        input_shape=(1, CHANNELS, settings.size, settings.size),
        threads=settings.threads,
        rounds=min(len(record.series[0].samples_ns) for _, record in measured),
        baseline_ms=min(record.series[0].median_ns for _, record in measured) / 1e6,
        activations=tuple(tuned for tuned, _ in measured),
        circumstances=taken_in,
    )


def _tune_one(
    definition: Activation, portable: onnx.ModelProto, settings: TuneSettings, folder: Path
) -> tuple[TunedActivation, LatencyRecord]:
    from edgeacts.activations import activation

    values = definition.values()
    forms = sound_forms(definition, values, settings.tolerances, precision=settings.precision)
    relu = activation(BASELINE)
    paths = [folder / f"{BASELINE}.onnx", *(folder / f"{place}.onnx" for place, _ in enumerate(forms))]
    onnx.save(with_form(portable, Choice(relu, relu.form("native"), 0.0, {}), {}), paths[0])
    for path, form in zip(paths[1:], forms, strict=True):
        onnx.save(with_form(portable, Choice(definition, form, form.bound_at(values), values), values), path)
    record = benchmark(
        paths, runtimes=(settings.runtime,), threads=settings.threads, precision=settings.precision,
        within=settings.within, budget_s=settings.budget_s, seed=settings.seed,
        labels=[f"{BASELINE} (baseline)", *(form.name for form in forms)],
    )  # fmt: skip
    by_label = {series.label: series for series in record.series}
    tuned = [_tuned(form, values, by_label[form.name]) for form in forms if form.name in by_label]
    return TunedActivation(
        activation=definition.name,
        formula=str(definition.formula),
        parameters=values,
        forms=tuple(sorted(tuned, key=lambda one: one.ratio)),
    ), record


def _tuned(form: Form, values: dict[str, float], series: LatencySeries) -> TunedForm:
    return TunedForm(
        name=form.name,
        why=form.why,
        bound=form.bound_at(values),
        ratio=series.ratio,
        ratio_low=series.ratio_low,
        ratio_high=series.ratio_high,
        steps=None if form.program is None else steps_of(form.program),
    )
