"""Fewer bits than asked for are seen, whether the runtime admits them or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from verdicts import reasons

from edgeacts.errors import EdgeactsError
from edgeacts.parity import verify
from edgeacts.runtimes import openvino as openvino_adapter
from edgeacts.runtimes import openvino_precision

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
    config = openvino_adapter._config

    def forced(device: str, threads: int, precision: str) -> Any:
        return {**config(device, threads, precision), "INFERENCE_PRECISION_HINT": openvino.Type.bf16}

    monkeypatch.setattr(openvino_adapter, "_config", forced)
    with pytest.raises(EdgeactsError, match=r"f32 was asked for, but openvino would run .*bf16"):
        verify(pair.model, pair.path, runtimes=("openvino",))
    monkeypatch.setattr(openvino_precision, "confirm_precision", lambda *_: None)
    verdict = verify(pair.model, pair.path, runtimes=("openvino",))
    assert "of the movement" in reasons(verdict)
    assert "bf16" in verdict.rows[0].precision
