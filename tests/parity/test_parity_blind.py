"""Outputs that do not move, and noise that would excuse everything."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from small_networks import SIDE, Net, alive, rewrite, weights
from torch import Tensor, nn
from verdicts import reasons, sound

from edgeacts.exporters import to_onnx
from edgeacts.models import build_model
from edgeacts.parity import references as reference_runs
from edgeacts.parity import verify
from edgeacts.runtimes import levels

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.long  # its export; test_exporting.py has a blind network that takes less
def test_a_random_mobilenet_is_called_blind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("mobilenet_v2", width=0.1, num_classes=10, in_channels=1).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()  # torch's own weights, under which the signal dies on the way
    files = to_onnx(model, torch.zeros(1, 1, 32, 32), tmp_path / "random.onnx")
    verdict = verify(model, files.portable, runtimes=ORT)
    assert (verdict.outcome, verdict.passed) == ("blind", False)
    assert "blind: the output hardly moves with the input" in verdict.summary
    assert verdict.summary.endswith("verify trained weights on real inputs")


def deaf(pair: Any, bias: float = 0.0) -> Net:
    """The network with a classifier that does not listen: the output is its bias, whatever the input."""
    model = copy.deepcopy(pair.model)
    model[8].weight.data.zero_()
    model[8].bias.data += bias
    return model


def silent(model: onnx.ModelProto) -> None:
    rewrite(list(weights(model).values())[2], np.zeros_like)


def test_an_output_that_is_its_bias_is_blind_and_no_pass(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    verdict = verify(deaf(pair), changed(pair.path, silent), runtimes=ORT)
    assert verdict.outcome == "blind"
    assert {r.outcome for r in verdict.rows} == {"blind"}
    assert verdict.budgets == ()
    assert (
        "blind; (onnxruntime, all, batch 1, random, logits) blind: the output hardly moves" in verdict.summary
    )


def test_a_wrong_bias_shows_even_in_a_blind_network(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    verdict = verify(deaf(pair, bias=0.01), changed(pair.path, silent), runtimes=ORT)
    assert "of an output that hardly moves with the input" in reasons(verdict)


def test_one_blind_set_beside_a_judged_one_is_no_blind_verdict(exported: Exported) -> None:
    """Black images are all the same; random ones are not."""
    pair = exported("relu")
    black = np.zeros((8, 3, SIDE, SIDE), np.float32)
    verdict = sound(verify(pair.model, pair.path, inputs=black, runtimes=ORT, batches=(1,)))
    assert {r.outcome for r in verdict.rows if r.inputs == "given"} == {"blind"}
    assert {r.outcome for r in verdict.rows if r.inputs != "given"} == {"pass"}
    assert f"; {len(levels('onnxruntime'))} blind; " in verdict.summary


class TwoOutputs(nn.Module):
    def __init__(self, share: float) -> None:
        super().__init__()
        self.body, self.share = alive(Net()), share

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        y = self.body(image)
        return y, y * self.share + 3


@pytest.mark.parametrize(("share", "outcome"), [(1e-8, "blind"), (0.0, "pass")])
def test_a_second_output_that_hardly_moves_blinds_and_a_constant_does_not(
    tmp_path: Path, share: float, outcome: str
) -> None:
    model, names = TwoOutputs(share).eval(), {"input_names": ["image"], "output_names": ["y", "three"]}
    files = to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), tmp_path / "two.onnx", **names)
    verdict = verify(model, files.portable, runtimes=ORT)
    assert verdict.outcome == outcome
    assert {r.output for r in verdict.rows if r.outcome == "blind"} == {"three"}


def test_a_noisy_reference_does_not_excuse_everything(exported: Exported, changed: Changed,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Were the reference's own float32 error 10 % of the movement, a fault of 20 % must still be no pass."""
    pair = exported("relu")
    exact = reference_runs.ModuleReference.exact
    monkeypatch.setattr(
        reference_runs.ModuleReference,
        "rounded",
        lambda self, feeds: {n: v * 1.1 for n, v in exact(self, feeds).items()},
    )
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * 1.2))
    sound(verify(pair.model, pair.path, runtimes=ORT))
    verdict = verify(pair.model, path, runtimes=ORT)
    assert verdict.outcome == "blind"
    assert "above 0.05 nobody can tell; verify trained weights on real inputs" in verdict.summary
