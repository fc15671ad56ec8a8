"""Ranges, corrected biases and float layers, each chosen by the output's error on images that did not calibrate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
from msgspec.structs import replace

from edgeacts.quantization.calibrating import Calibration
from edgeacts.quantization.layers import layers_of
from edgeacts.quantization.measuring import Judge
from edgeacts.quantization.ranges import METHODS
from edgeacts.quantization.sensitivity import Sensitivity
from edgeacts.quantization.settings import AUTO, QuantizeSettings
from edgeacts.quantization.static import quantize_static_units
from edgeacts.records.quantization import LayerNoise, OutputError, RangeTrial

_HOPELESS = 0.5  # of the wanted gain: a layer whose own share promises less is not tried


@dataclass(frozen=True)
class FloatLayers:
    """`nodes` stay in float; `rows` say for each layer why; `model` and its `error` are what comes out."""

    nodes: frozenset[str]
    rows: tuple[LayerNoise, ...]
    model: onnx.ModelProto
    error: OutputError


def try_ranges(
    model: onnx.ModelProto,
    calibration: Calibration,
    settings: QuantizeSettings,
    judge: Judge,
    step: Callable[[], None],
) -> tuple[str, tuple[RangeTrial, ...]]:
    """The method whose ranges leave the smallest error, and the error of each; of equals the first."""
    methods = tuple(METHODS) if settings.ranges == AUTO else (settings.ranges,)
    trials = []
    for method in methods:
        chosen = replace(settings, ranges=method, bias_correction=False)
        error = judge.error(quantize_static_units(model, calibration, chosen))
        trials.append(RangeTrial(method=method, bias_correction=False, error=error))
        step()
    best = max(trials, key=lambda trial: decibels(trial.error))
    return best.method, tuple(trials)


def decibels(error: OutputError) -> float:
    """The SQNR, the lowest there is where it is not known."""
    return -1e9 if error.sqnr_db is None else error.sqnr_db


def choose_float(
    model: onnx.ModelProto,
    calibration: Calibration,
    settings: QuantizeSettings,
    judge: Judge,
    begun: tuple[onnx.ModelProto, OutputError],
    sensitivities: Sequence[Sensitivity],
    step: Callable[[], None],
) -> FloatLayers:
    """Noisiest first, leave layers in float while the error matters, where it falls by `float_gain_db` at an allowed cost."""
    best, error = begun
    macs = max(1, sum(layer.multiply_adds for layer in layers_of(calibration.prepared)))
    weights = max(1, sum(layer.weights for layer in layers_of(calibration.prepared)))
    spent, left = 0.0, 1.0
    nodes: frozenset[str] = frozenset()
    rows, kept_count = [], 0
    for row in sensitivities:
        cost = row.layer.multiply_adds / macs
        size = row.layer.weights / weights
        promised = _gain(row.share / max(left, 1e-12))
        kept = False
        if decibels(error) >= settings.enough_db:
            why = f"the output's SQNR is {decibels(error):.1f} dB, which is enough"
        elif promised < _HOPELESS * settings.float_gain_db:
            why = "its share of the noise is small"
        elif kept_count >= settings.max_float_layers:
            why = f"{kept_count} layers are in float already"
        elif max(spent + cost, size) > settings.float_macs:
            why = f"too much of the network: {cost:.1%} of the multiply-adds, {size:.1%} of the weights"
        else:
            tried = nodes | frozenset(row.layer.nodes)
            candidate = quantize_static_units(model, calibration, settings, keep_float=tried)
            measured = judge.error(candidate)
            gain = decibels(measured) - decibels(error)
            kept = gain >= settings.float_gain_db
            why = f"the output's SQNR {'rises' if gain >= 0 else 'falls'} by {abs(gain):.2f} dB in float"
            if kept:
                nodes, best, error, spent, kept_count = (
                    tried,
                    candidate,
                    measured,
                    spent + cost,
                    kept_count + 1,
                )
                left -= row.share
            step()
        rows.append(
            LayerNoise(
                layer=row.layer.name,
                operator=row.layer.operator,
                sqnr_db=row.sqnr_db,
                noise_share=row.share,
                multiply_adds_share=cost,
                weights_share=size,
                kept_float=kept,
                why=why,
            )
        )
    return FloatLayers(nodes, tuple(rows), best, error)


def _gain(share: float) -> float:
    """Decibels that the noise falls by when that share of it goes."""
    from math import log10

    return -10.0 * log10(max(1.0 - share, 1e-9))
