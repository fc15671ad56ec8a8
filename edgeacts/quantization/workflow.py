"""`quantize(path, images, out)`: calibrate, choose by measurement, write the 8-bit model, its inlined twin and the record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from msgspec.structs import replace
from numpy.typing import NDArray

from edgeacts.preprocessing import Preprocessing
from edgeacts.quantization.bias import measure_shifts
from edgeacts.quantization.calibrating import Calibration, calibrate
from edgeacts.quantization.checking import check_images, load_model
from edgeacts.quantization.choosing import FloatLayers, choose_float, decibels, try_ranges
from edgeacts.quantization.layers import layers_of
from edgeacts.quantization.measuring import Judge
from edgeacts.quantization.progress import stage
from edgeacts.quantization.ranges import METHODS, Range
from edgeacts.quantization.sensitivity import measure_sensitivity
from edgeacts.quantization.sessions import fixed_batch, input_of
from edgeacts.quantization.settings import QuantizeSettings
from edgeacts.quantization.static import quantize_static_units
from edgeacts.quantization.tuned_bodies import with_bodies_for
from edgeacts.quantization.writing import Findings, QuantizeResult, write_model
from edgeacts.records.quantization import LayerNoise, OutputError, RangeTrial

# Multiply-adds that one trial may take: of a small network more images are looked at, of a large one fewer.
_JUDGE_MACS, _LAYER_MACS = 1e10, 2.5e9
_JUDGE_IMAGES, _LAYER_IMAGES = (16, 128), (8, 64)  # at least, at most


@dataclass(frozen=True)
class Quantized:
    """An 8-bit model and how it came about: what a gate goes on from. `settings.ranges` is the method that was chosen."""

    source: onnx.ModelProto
    model: onnx.ModelProto
    calibration: Calibration
    settings: QuantizeSettings
    keep_float: frozenset[str]
    judge: Judge
    trials: tuple[RangeTrial, ...]
    layers: tuple[LayerNoise, ...]
    exact: OutputError
    images: int
    seconds: float


def quantize(
    model_path: str | Path,
    images: NDArray[np.float32],
    out: str | Path,
    *,
    settings: QuantizeSettings | None = None,
    labels: Sequence[int] | NDArray[Any] | None = None,
    body_for: str | None = None,
    tuning: str | Path | None = None,
    progress: bool = False,
) -> QuantizeResult:
    """OUT/model.int8.onnx, its inlined twin and OUT/quantization.json of a float32 ONNX file, ours or not.

    `images` float32 [N, ...] as the model takes them calibrate and judge; a quarter of them (`settings.held_out`) only judges.
    ONNX Runtime at its default level and accelerated sessions give the same 8-bit values. Without its optimizations up to four in
    a million of a layer's come out a step apart (`acceleration.int8_agreement`), and more where 8-bit weights saturate.
    `body_for` = "onnxruntime": activations are computed in the form that it runs fastest without kernels, by `tuning`.
    Raises UsageError for a model or images that cannot be used, EdgeactsError for what the runtime refuses.
    """
    path = Path(model_path)
    model = with_bodies_for(load_model(path), body_for, tuning)
    done = post_training(model, images, settings=settings, labels=labels, progress=progress)
    return write_quantized(done, path, Path(out))


def post_training(
    model: onnx.ModelProto,
    images: NDArray[np.float32],
    *,
    settings: QuantizeSettings | None = None,
    labels: Sequence[int] | NDArray[Any] | None = None,
    progress: bool = False,
) -> Quantized:
    """The 8-bit model of a float model that `checking.check_model` accepts, everything chosen by measurement."""
    begin = time.perf_counter()
    chosen = settings or QuantizeSettings()
    images = check_images(model, images, labels)
    learn, judge_images = _split(model, images, chosen)
    with stage(progress, "calibration", len(learn)) as step:
        calibration = calibrate(model, learn, fixed=input_range(model), step=step)
    judge_images = judge_images[: _affordable(calibration, _JUDGE_MACS, _JUDGE_IMAGES)]
    judge = Judge(calibration.prepared, judge_images)
    with stage(progress, "ranges", len(METHODS)) as step:
        method, trials = try_ranges(model, calibration, chosen, judge, step)
    chosen = replace(chosen, ranges=method)
    calibration, chosen, trials = _correct(model, calibration, chosen, judge, learn, trials, progress)
    result = quantize_static_units(model, calibration, chosen)
    error = judge.error(result)
    found = FloatLayers(frozenset(), (), result, error)
    if chosen.sensitivity and decibels(error) < chosen.enough_db:
        found = _float_layers(model, calibration, chosen, judge, (result, error), progress)
    return Quantized(
        source=model,
        model=found.model,
        calibration=calibration,
        settings=chosen,
        keep_float=found.nodes,
        judge=judge,
        trials=trials,
        layers=found.rows,
        exact=found.error,
        images=len(images),
        seconds=time.perf_counter() - begin,
    )


def _float_layers(
    model: onnx.ModelProto,
    calibration: Calibration,
    settings: QuantizeSettings,
    judge: Judge,
    begun: tuple[onnx.ModelProto, OutputError],
    progress: bool,
) -> FloatLayers:
    """Every layer's noise measured, and the noisiest left in float where that pays."""
    count = _affordable(calibration, _LAYER_MACS, _LAYER_IMAGES)
    few = Judge(calibration.prepared, judge.images[:count])
    with stage(progress, "sensitivity", len(layers_of(calibration.prepared))) as step:
        sensitivities = measure_sensitivity(calibration, settings, few, step=step)
    with stage(progress, "float layers", settings.max_float_layers) as step:
        return choose_float(model, calibration, settings, judge, begun, sensitivities, step)


def _correct(
    model: onnx.ModelProto,
    calibration: Calibration,
    settings: QuantizeSettings,
    judge: Judge,
    images: NDArray[np.float32],
    trials: tuple[RangeTrial, ...],
    progress: bool,
) -> tuple[Calibration, QuantizeSettings, tuple[RangeTrial, ...]]:
    """With corrected biases where they lower the error."""
    if not settings.bias_correction:
        return calibration, settings, trials
    some = images[: _affordable(calibration, _JUDGE_MACS, _JUDGE_IMAGES)]
    with stage(progress, "bias correction", 2) as step:
        corrected = calibration.with_shifts(measure_shifts(calibration, settings, some))
        step()
        error = judge.error(quantize_static_units(model, corrected, settings))
        step()
    trials = (*trials, RangeTrial(method=settings.ranges, bias_correction=True, error=error))
    before = next(t.error for t in trials if t.method == settings.ranges)
    if decibels(error) < decibels(before):
        return calibration, replace(settings, bias_correction=False), trials
    return corrected, settings, trials


def _split(
    model: onnx.ModelProto, images: NDArray[np.float32], settings: QuantizeSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(calibrate, judge), in seeded order: data are often sorted by class."""
    order = np.random.default_rng(settings.seed).permutation(len(images))
    unit = max(1, fixed_batch(model))
    judging = max(unit, round(settings.held_out * len(images)) // unit * unit)
    return images[np.sort(order[judging:])], images[np.sort(order[:judging])]


def _affordable(calibration: Calibration, macs: float, allowed: tuple[int, int]) -> int:
    """How many images a trial takes; a whole number of batches where the model has a size of its own."""
    each = sum(layer.multiply_adds for layer in layers_of(calibration.prepared))
    unit = max(1, fixed_batch(calibration.prepared))
    wanted = int(min(allowed[1], max(allowed[0], macs // max(1, each))))
    return max(unit, wanted // unit * unit)


def input_range(model: onnx.ModelProto) -> dict[str, Range]:
    """The input's range from the preprocessing that the file states: what black and white become; nothing where there is none."""
    stated = {p.key: p.value for p in model.metadata_props}.get("edgeacts.preprocessing")
    if stated is None:
        return {}
    preprocessing = Preprocessing.from_json(stated)
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    low, high = min(-m / s for m, s in pairs), max((1 - m) / s for m, s in pairs)
    return {input_of(model).name: (low, high)}


def write_quantized(done: Quantized, source: Path, out: Path) -> QuantizeResult:
    """The two files and the record in the folder `out`; `source` is the float file."""
    found = Findings(
        images=done.images,
        held_out=len(done.judge.images),
        settings=msgspec.to_builtins(done.settings),
        chosen=done.settings.ranges,
        trials=done.trials,
        layers=done.layers,
        float_layers=tuple(sorted(done.keep_float)),
        exact=done.exact,
        deployed=done.judge.error(done.model, exact=False),
        seconds=done.seconds,
    )
    return write_model(done.model, source, out, found)
