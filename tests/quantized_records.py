"""Records of quantization that fit each other: the file, the gate, the prediction for other CPUs, fine-tuning, OpenVINO."""

from typing import Any

from edgeacts.circumstances import Circumstances
from edgeacts.quantization.gate_verdict import needed_for, verdict_on
from edgeacts.quantization.paired import POINTS, tango_interval
from edgeacts.records import (
    Epoch,
    GateRecord,
    GateTry,
    Int8Candidate,
    LatencyRatio,
    LayerNoise,
    LayerSaturation,
    OpenVinoQuantizationRecord,
    OutputError,
    PairedDrop,
    QatRecord,
    QuantizationRecord,
    RangeTrial,
    SaturationRecord,
    Timed,
)

TOTAL = 1000


def drop(lost: int, gained: int, reference: int = 960, total: int = TOTAL) -> PairedDrop:
    low, high = tango_interval(lost, gained, total)
    return PairedDrop(
        total=total, reference_correct=reference, candidate_correct=reference - lost + gained, lost=lost, gained=gained,
        drop=POINTS * (lost - gained) / total, low=POINTS * low, high=POINTS * high,
    )  # fmt: skip


def quantization(
    float_sha256: str, sha256: str, taken: Circumstances, activations: dict[str, int], **changes: Any
) -> QuantizationRecord:
    error = OutputError(sqnr_db=31.5, kl=1.2e-4, agreement=0.984)
    fields: dict[str, Any] = {
        "model": "model.onnx", "model_sha256": float_sha256, "portable": "model.int8.onnx", "portable_sha256": sha256,
        "inlined": "model.int8.inlined.onnx", "inlined_sha256": sha256[::-1], "size_bytes": 2_500_000,
        "float_size_bytes": 9_012_345, "images": 256, "held_out": 64,
        "settings": {"activation_type": "uint8", "ranges": "mse", "reduce_range": "yes", "bias_correction": True},
        "chosen": "mse", "trials": tuple(RangeTrial(method=m, bias_correction=False, error=error) for m in ("mse", "minmax")),
        "layers": (LayerNoise(layer="node_stem", operator="Conv", sqnr_db=38.0, noise_share=0.4, multiply_adds_share=0.03,
                              weights_share=0.001, kept_float=True, why="40 % of the noise for 3 % of the work"),),
        "float_layers": ("node_stem",), "activations": activations, "exact": error,
        "deployed": OutputError(sqnr_db=29.25, kl=2e-4, agreement=0.9765), "seconds": 41.0, "circumstances": taken,
    }  # fmt: skip
    return QuantizationRecord(**{**fields, **changes})


def gate(sha256: str, taken: Circumstances, last: PairedDrop, **changes: Any) -> GateRecord:
    first = drop(19, 3)
    tries = tuple(
        GateTry(
            float_layers=("stem",)[:number], returned="stem" if number else "", drop=one, verdict=one.verdict(0.5),
            size_bytes=2_400_000 + 100_000 * number, float_macs_share=0.03 * number,
            latency=LatencyRatio(ratio=0.61 + 0.02 * number, low=0.6, high=0.65),
        )
        for number, one in enumerate((first, last))
    )  # fmt: skip
    fields: dict[str, Any] = {
        "model_sha256": sha256, "max_drop": 0.5, "strict": False, "passed": verdict_on(last, 0.5, strict=False) != "failed", "outcome": last.verdict(0.5),
        "tries": tries, "chosen": 1, "order": ("stem",), "sensitivities": {"stem": 0.4}, "costs": {"stem": 1e6},
        "float_size_bytes": 9_012_345, "images_needed": needed_for(last, 0.5), "timed_on": "stock ONNX Runtime 1.31.1, one thread, one image",
        "summary": f"it says: {last}", "seconds": 21.0, "circumstances": taken,
    }  # fmt: skip
    return GateRecord(**{**fields, **changes})


def saturation(sha256: str, taken: Circumstances, **changes: Any) -> SaturationRecord:
    loss = drop(14, 2, reference=958)
    fields: dict[str, Any] = {
        "model_sha256": sha256, "saturates_here": True, "total": loss.total, "saturating_correct": loss.candidate_correct,
        "exact_correct": loss.reference_correct, "loss": loss, "other": "32-bit option", "checked_outputs": 640,
        "differing_outputs": 0, "layers": (LayerSaturation(layer="node_wide", pairs=80_000, saturated=1_000),),
        "summary": "one layer saturates", "seconds": 3.0, "circumstances": taken,
    }  # fmt: skip
    return SaturationRecord(**{**fields, **changes})


def qat(taken: Circumstances, **changes: Any) -> QatRecord:
    epoch = Epoch(
        epoch=1, train_loss=0.2, train_accuracy=0.9, validation_loss=0.3, validation_accuracy=0.91, learning_rate=3e-4, seconds=9.0
    )  # fmt: skip
    fields: dict[str, Any] = {
        "data": "digits", "settings": {"epochs": 1}, "epochs": (epoch,), "before_sha256": "b" * 64, "after_sha256": "c" * 64,
        "before": drop(40, 2), "after": drop(6, 4), "kept": True, "weights": 53, "from_float": 53, "values": 10_000,
        "one_step": 7, "more": 0, "output_error": 1e-4, "summary": "better by 3.60 points", "seconds": 60.0, "circumstances": taken,
    }  # fmt: skip
    return QatRecord(**{**fields, **changes})


def openvino(
    float_sha256: str, xml_sha256: str, taken: Circumstances, **changes: Any
) -> OpenVinoQuantizationRecord:
    def candidate(name: str, ratio: float, acceptable: bool) -> Int8Candidate:
        comparison = "faster" if ratio < 1 else "slower"
        return Int8Candidate(
            name=name, placement="all", step_share=1.0, polynomials=35, form_error=0.2,
            error=OutputError(sqnr_db=28.0, kl=1e-3, agreement=0.97), accuracy=0.954,
            time=Timed(ratio=ratio, low=ratio - 0.02, high=ratio + 0.02, comparison=comparison, median_ms=1.2),
            layers="50 int8", activations="35 fused", size_bytes=2_600_000, acceptable=acceptable,
            why="" if acceptable else "slower than the float model",
        )  # fmt: skip

    fields: dict[str, Any] = {
        "model": "model.onnx", "model_sha256": float_sha256, "xml": "model.int8.xml", "xml_sha256": xml_sha256,
        "weights_sha256": "e" * 64, "images": 256, "held_out": 500, "half_range": True, "settings": {"max_drop": 0.5},
        "float_accuracy": 0.956, "candidates": (candidate("depthwise in float", 0.81, True), candidate("all in 8 bits", 1.12, False)),
        "chosen": "depthwise in float", "faster": True, "reason": "0.81 of the float model's time", "threads": 1, "seconds": 80.0,
        "circumstances": taken,
    }  # fmt: skip
    return OpenVinoQuantizationRecord(**{**fields, **changes})
