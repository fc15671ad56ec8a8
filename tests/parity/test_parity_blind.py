"""Outputs that do not move, and noise that would excuse everything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from small_networks import rewrite, weights
from torch import nn
from verdicts import reasons

from edgeacts.models import build_model
from edgeacts.parity import references as reference_runs
from edgeacts.parity import verify

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.long  # its export; test_exporting.py has a blind network that takes less
def test_a_random_mobilenet_is_called_blind(tmp_path: Path) -> None:
    from edgeacts.exporters import to_onnx

    torch.manual_seed(0)
    model = build_model("mobilenet_v2", width=0.1, num_classes=10, in_channels=1).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()  # torch's own weights, under which the signal dies on the way
    files = to_onnx(model, torch.zeros(1, 1, 32, 32), tmp_path / "random.onnx")
    told = reasons(verify(model, files.portable, runtimes=ORT))
    assert "blind: the output hardly moves with the input" in told


def test_a_noisy_reference_does_not_excuse_everything(exported: Exported, changed: Changed,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Were the reference's own float32 error 10 % of the movement, a fault of 5 % must still be seen."""
    pair = exported("relu")
    exact = reference_runs.ModuleReference.exact
    monkeypatch.setattr(
        reference_runs.ModuleReference,
        "rounded",
        lambda self, feeds: {n: v * 1.1 for n, v in exact(self, feeds).items()},
    )
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * 1.05))
    assert verify(pair.model, pair.path, runtimes=ORT).passed
    assert not verify(pair.model, path, runtimes=ORT).passed
