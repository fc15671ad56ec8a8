"""Fewer bits than asked for are seen, whether the runtime admits them or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from small_networks import rewrite
from verdicts import reasons, sound

from edgeacts.errors import EdgeactsError
from edgeacts.parity import candidates, verify
from edgeacts.runtimes import openvino_precision
from edgeacts.runtimes.onnxruntime import OnnxRuntimeSession
from edgeacts.runtimes.openvino_compiling import Compiler

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_wrong_file_in_bf16_is_not_excused_by_what_was_asked_for(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter that believes f32 while bf16 runs: its own check is taken away, the numbers still tell."""
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16: OpenVINO cannot run it")
    pair = exported("tanhexp")
    config = Compiler._config

    def forced(self: Compiler, device: str) -> Any:
        return {**config(self, device), "INFERENCE_PRECISION_HINT": openvino.Type.bf16}

    monkeypatch.setattr(Compiler, "_config", forced)
    with pytest.raises(EdgeactsError, match=r"f32 was asked for, but openvino would run .*bf16"):
        verify(pair.model, pair.path, runtimes=("openvino",))
    monkeypatch.setattr(openvino_precision, "confirm_precision", lambda *_: None)
    verdict = verify(pair.model, pair.path, runtimes=("openvino",))
    assert "f32 was asked for, bf16 was executed; error " in reasons(verdict)
    assert "bf16" in verdict.rows[0].precision


def in_bf16(model: onnx.ModelProto) -> None:
    """Factors and results of every product rounded to bf16 and back: what a runtime does that executes them so."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type not in ("Conv", "Gemm"):
            model.graph.node.append(node)
            continue
        result = node.output[0]
        for i, name in enumerate(node.input[:2]):
            node.input[i] = f"{result}_{i}_rounded"
            model.graph.node.extend(rounding(name, node.input[i]))
        node.output[0] = f"{result}_exact"
        model.graph.node.append(node)
        model.graph.node.extend(rounding(node.output[0], result))


def rounding(source: str, target: str) -> list[onnx.NodeProto]:
    """source -> bf16 -> target in float32."""
    return [
        helper.make_node("Cast", [source], [f"{target}_bf16"], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", [f"{target}_bf16"], [target], to=TensorProto.FLOAT),
    ]


def test_bf16_in_the_place_of_f32_is_seen_by_its_numbers(
    learned: Exported, digits: np.ndarray, changed: Changed
) -> None:
    """The runtime says f32. As bf16, which is what it is, the same error passes."""
    pair = learned("tanhexp")
    sound(verify(pair.model, pair.path, images=digits, runtimes=ORT))
    path = changed(pair.path, in_bf16)
    verdict = verify(pair.model, path, images=digits, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    assert {r.precision for r in verdict.rows} == {"f32"}
    errors = [r.relative_error / r.allowed_relative_error for r in verdict.rows]
    assert min(errors) > 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "file_precisions", lambda path: frozenset({"bf16"}))
        sound(verify(pair.model, path, images=digits, runtimes=ORT))


def test_bf16_in_the_place_of_f32_is_seen_by_what_the_runtime_says(
    learned: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right numbers do not help: what was executed is not what was asked for."""
    pair = learned("tanhexp")
    executed = OnnxRuntimeSession.executed
    monkeypatch.setattr(
        OnnxRuntimeSession, "executed", lambda self: {**executed(self), "precision": "bf16+f32"}
    )
    verdict = verify(pair.model, pair.path, runtimes=ORT)
    assert set(reasons(verdict).split(" | ")) == {"f32 was asked for, bf16 was executed"}
    assert not any(row.passed for row in verdict.rows)
    assert {b.precision for b in verdict.budgets} == {"f32"}


def test_a_quantized_file_is_judged_as_eight_bits_on_real_inputs(
    learned: Exported, digits: np.ndarray, tmp_path: Path
) -> None:
    pair = learned("relu")
    path = tmp_path / "int8.onnx"
    quantize_static(
        pair.inlined, path, Calibration(digits[:32]), quant_format=QuantFormat.QDQ, per_channel=True
    )
    verdict = sound(verify(pair.model, path, images=digits, runtimes=ORT))
    assert {b.precision for b in verdict.budgets} == {"int8"}
    assert {r.inputs for r in verdict.rows} == {"validation"}
    assert all(r.relative_error > 1e-3 for r in verdict.rows)  # f32 would never be allowed that
    assert "int8" in next(r.precision for r in verdict.rows if r.level == "all")
    model = onnx.load(path)
    scale = next(t for t in model.graph.initializer if t.name.startswith("logits") and "scale" in t.name)
    rewrite(scale, lambda s: s * 0.2)  # most of the logits' range is cut off
    onnx.save(model, path)
    assert "of the movement" in reasons(verify(pair.model, path, images=digits, runtimes=ORT))


class Calibration(CalibrationDataReader):
    """Images one at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self._feeds = iter({"image": image[None]} for image in images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)
