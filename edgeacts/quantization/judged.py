"""An 8-bit model and labelled images -> one whose accuracy is known and allowed, here and on other CPUs.

In this order: 7-bit weights where saturation costs more; the drop on the test images; if it is too large, fine-tuning where that
was asked for, then layers back in float; and in the end what CPUs of the other kind make of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.data.dataset import ImageDataset, Split
from edgeacts.data.splits import limit
from edgeacts.errors import UsageError
from edgeacts.quantization.bias import measure_shifts
from edgeacts.quantization.gate import GateResult, GateSettings, candidates_of, gate
from edgeacts.quantization.gate_latency import TIMED_ON, against
from edgeacts.quantization.layers import layers_of
from edgeacts.quantization.metadata import say_also
from edgeacts.quantization.other_cpus import ReduceDecision, decide_reduce_range, predict
from edgeacts.quantization.product_nodes import NotEmulated
from edgeacts.quantization.progress import stage
from edgeacts.quantization.sensitivity import measure_sensitivity
from edgeacts.quantization.settings import AUTO
from edgeacts.quantization.static import quantize_static_units
from edgeacts.quantization.workflow import Quantized
from edgeacts.records import GateRecord, QatRecord, SaturationRecord

if TYPE_CHECKING:
    from edgeacts.quantization.qat import QatResult, QatSettings

QAT_WHEN = ("needed", "always")
# Test images where no number is given: as many as these multiply-adds pay for, within bounds.
_TEST_MACS, _FEWEST, _MOST = 6e11, 1000, 10_000
_BIAS_IMAGES = 64
_STATED = (
    "data",
    "epochs",
    "learning_rate",
    "batch_size",
    "augment",
    "seed",
)  # of a fine-tuning, in the file


@dataclass(frozen=True)
class JudgeSettings:
    """`test_images`: so many, None by the size of the network. `qat`: how to fine-tune, None not at all; `qat_when` it is done:

    "needed" (the drop is not allowed without it) or "always". `latency`: time each try against the float model, a second each.
    """

    gate: GateSettings = field(default_factory=GateSettings)
    test_images: int | None = None
    qat: QatSettings | None = None
    qat_when: str = QAT_WHEN[0]
    latency: bool = True


@dataclass(frozen=True)
class Judged:
    """The model as it is to be written, and what was found out on the way.

    `reduce` is None where the range was given. `saturation` is None where other CPUs cannot be emulated: `why_not` says why.
    """

    done: Quantized
    gate: GateRecord
    saturation: SaturationRecord | None
    why_not: str = ""
    reduce: ReduceDecision | None = None
    qat: QatRecord | None = None


def judge(
    done: Quantized,
    dataset: ImageDataset,
    settings: JudgeSettings | None = None,
    *,
    out: Path,
    progress: bool = False,
) -> Judged:
    """`done`, repaired until its drop is allowed or nothing is left to try (`gate.passed`).

    The validation split decides about 7-bit weights, the training split is fine-tuned on, the test split judges. OUT/resume.ckpt
    holds the state of a fine-tuning while it runs. Raises UsageError (settings, images) and what `fine_tune` raises.
    """
    settings = settings or JudgeSettings()
    reduce = None
    if done.settings.reduce_range == AUTO:
        done, reduce = _reduce(done, dataset, settings, progress)
    images, labels = _normalized(dataset, _test_split(done, dataset, settings))
    result, tuned = None, None
    if settings.qat is None or settings.qat_when != "always":
        only_first = settings.qat is not None
        result = _gate(done, images, labels, settings, progress, only_first=only_first)
    if settings.qat is not None and (result is None or not result.record.passed):
        done, tuned = _fine_tune(done, dataset, settings.qat, out, progress)
        result = _gate(done, images, labels, settings, progress, tuned=tuned)
    assert result is not None, "one of the two branches was taken"  # noqa: S101
    if result.model is not done.model:
        done = replace(done, exact=done.judge.error(result.model))
    done = replace(done, model=result.model, keep_float=result.float_nodes)
    if tuned is not None and tuned.record.kept:
        say_also(done.model, {"fine_tuned": {name: tuned.record.settings[name] for name in _STATED}})
    saturation, why_not = None, ""
    try:
        with stage(progress, "other CPUs", len(images)) as step:
            saturation = predict(done.model, images, labels, step=step)
    except NotEmulated as error:
        why_not = str(error)
    qat = None if tuned is None else tuned.record
    return Judged(done, result.record, saturation, why_not=why_not, reduce=reduce, qat=qat)


def _reduce(
    done: Quantized, dataset: ImageDataset, settings: JudgeSettings, progress: bool
) -> tuple[Quantized, ReduceDecision | None]:
    """The range resolved by what saturation costs on validation images; 8 bits where that cannot be computed."""
    count = _test_count(done, settings)
    split = limit(dataset, validation=max(count, len(dataset.classes))).validation
    images, labels = _normalized(dataset, split)
    narrow = msgspec.structs.replace(done.settings, reduce_range="yes")
    found = []

    def reduced() -> onnx.ModelProto:
        calibration = done.calibration
        if narrow.bias_correction:
            calibration = calibration.with_shifts(measure_shifts(calibration, narrow, images[:_BIAS_IMAGES]))
        model = quantize_static_units(done.source, calibration, narrow, keep_float=done.keep_float)
        found.append(replace(done, model=model, calibration=calibration, settings=narrow))
        return model

    full = replace(done, settings=msgspec.structs.replace(done.settings, reduce_range="no"))
    try:
        with stage(progress, "saturation", len(images)) as step:
            decision = decide_reduce_range(done.model, reduced, images, labels, step=step)
    except NotEmulated:
        return full, None
    if decision.reduce:
        changed = found[0]
        return replace(changed, exact=changed.judge.error(changed.model)), decision
    return full, decision


def _test_count(done: Quantized, settings: JudgeSettings) -> int:
    if settings.test_images is not None:
        if settings.test_images < 2:
            raise UsageError(
                f"--test-images {settings.test_images}: give at least 2, some thousand prove more"
            )
        return settings.test_images
    macs = sum(layer.multiply_adds for layer in layers_of(done.calibration.prepared))
    return int(min(_MOST, max(_FEWEST, _TEST_MACS / max(1, macs))))


def _test_split(done: Quantized, dataset: ImageDataset, settings: JudgeSettings) -> Split:
    return limit(dataset, test=max(_test_count(done, settings), len(dataset.classes))).test


def _normalized(dataset: ImageDataset, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return dataset.preprocessing.normalize(split.images), split.labels


def _gate(
    done: Quantized,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    settings: JudgeSettings,
    progress: bool,
    *,
    only_first: bool = False,
    tuned: QatResult | None = None,
) -> GateResult:
    """The gate over `done`; `only_first` looks at it as it is. A fine-tuned model's layers go back with their trained weights."""
    chosen = replace(settings.gate, max_layers=0) if only_first else settings.gate
    layers = layers_of(done.calibration.prepared)
    known = {row.layer: row.noise_share for row in done.layers}

    def measure() -> dict[str, float]:
        with stage(progress, "sensitivity", len(layers)) as step:
            rows = measure_sensitivity(done.calibration, done.settings, done.judge, step=step)
        return {row.layer.name: row.share for row in rows}

    candidates = candidates_of(known, layers, elements_of(done.calibration.prepared))
    latency = against(done.source, images[0], progress=progress) if settings.latency else None
    with stage(progress, "accuracy", len(layers) + 1) as step:
        return gate(
            _builder(done, tuned), done.source, images, labels, candidates, chosen, kept=done.keep_float,
            measure=None if known or only_first else measure, latency=latency, timed_on=TIMED_ON,
            step=lambda tried: step(),
        )  # fmt: skip


def _builder(done: Quantized, tuned: QatResult | None) -> Callable[[frozenset[str]], onnx.ModelProto]:
    source, settings = done.source, done.settings
    if tuned is not None and tuned.trained_float is not None:
        # What the shifts took back the training has learnt.
        source, settings = tuned.trained_float, msgspec.structs.replace(settings, bias_correction=False)

    def build(nodes: frozenset[str]) -> onnx.ModelProto:
        if nodes == done.keep_float:
            return done.model
        return quantize_static_units(source, done.calibration, settings, keep_float=nodes)

    return build


def _fine_tune(
    done: Quantized, dataset: ImageDataset, settings: QatSettings, out: Path, progress: bool
) -> tuple[Quantized, QatResult]:
    from edgeacts.quantization.qat import fine_tune  # torch and Lightning take seconds to import

    tuned = fine_tune(
        done.model, dataset, out, settings, reference=done.source, prepared=done.calibration.prepared,
        progress=True if progress else None,
    )  # fmt: skip
    return replace(done, model=tuned.model, exact=done.judge.error(tuned.model)), tuned


def elements_of(prepared: onnx.ModelProto) -> dict[str, int]:
    """Layer -> elements of one image that enter and leave it, as far as shapes are known."""
    infos = (*prepared.graph.value_info, *prepared.graph.input, *prepared.graph.output)
    sizes = {
        v.name: int(np.prod([d.dim_value for d in v.type.tensor_type.shape.dim][1:], dtype=np.int64))
        for v in infos
    }
    return {
        layer.name: sizes.get(layer.input, 0) + sizes.get(layer.output, 0) for layer in layers_of(prepared)
    }
