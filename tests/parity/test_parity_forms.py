"""The error of activation forms: how far it reaches is measured, so that sound exports pass and worse forms do not."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgeacts.exporters import to_onnx
from edgeacts.modules import ActivationModule
from edgeacts.parity import verify
from edgeacts.parity.budgets import FORM_BOUND_AT_MOST, FORM_FACTOR
from edgeacts.parity.inputs import InputSet
from edgeacts.parity.noise import Measured, movement
from edgeacts.parity.references import ModuleReference, OnnxReference, Reference

pytestmark = pytest.mark.usefixtures("one_thread")
X = np.random.default_rng(3).uniform(-4.0, 4.0, (12, 3)).astype(np.float32)


class Narrow(nn.Module):
    """f at points that lie close together, so that an error of f is large beside what the output moves by."""

    def __init__(self, name: str, at: float, step: float) -> None:
        super().__init__()
        self.act, self.at, self.step = ActivationModule(name), at, step

    def forward(self, x: Tensor) -> Tensor:
        """f(at + step·x)."""
        result: Tensor = self.act(self.at + self.step * x)
        return result


def exported(model: nn.Module, folder: Path) -> Path:
    return Path(
        to_onnx(
            model.eval(), torch.zeros(1, 3), folder / "model.onnx", input_names=["x"], output_names=["y"]
        ).portable
    )


def growth(reference: Reference) -> dict[str, float] | None:
    return Measured(reference, InputSet("given", {"x": X}), None)._form_growth()


@pytest.mark.parametrize("at", [0.0, -30.0])
def test_the_growth_of_an_error_is_measured(at: float, tmp_path: Path) -> None:
    """By hand: an error of max(1, |x|) in the activation, doubled behind it, over what the output moves by."""
    model = nn.Sequential(
        Narrow("relu" if at == 0 else "leaky_relu", at, 1.0), nn.Linear(3, 3, bias=False)
    ).eval()
    with torch.no_grad():
        model[1].weight.copy_(2.0 * torch.eye(3))
        moved = movement(model(torch.from_numpy(X)).double().numpy())
    wanted = 2.0 * np.maximum(1.0, np.abs(X[:9] + at)).max() / moved
    module = ModuleReference(model, "model", "", ["x"], ["y"])
    found = growth(module)
    assert found is not None
    assert found["y"] == pytest.approx(wanted, rel=1e-6)
    of_file = growth(OnnxReference(exported(model, tmp_path), "", tmp_path))
    assert of_file is not None
    assert of_file["y"] == pytest.approx(wanted, rel=0.02)  # in float32
    again = module.exact({"x": X})["y"]
    np.testing.assert_array_equal(again, model.double()(torch.from_numpy(X).double()).detach().numpy())


def test_without_activations_of_ours_it_is_not(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Softplus()).eval()
    assert growth(ModuleReference(model, "model", "", ["x"], ["y"])) is None
    assert growth(OnnxReference(exported(model, tmp_path), "", tmp_path)) is None


def scaled_function(path: Path, target: Path, factor: float) -> Path:
    """The file with every function's result multiplied."""
    model: Any = onnx.load(path)
    for function in model.functions:
        if not function.name.startswith("TanhExp"):
            continue
        name = function.output[0]
        for node in function.node:
            node.output[:] = ["unscaled" if o == name else o for o in node.output]
        function.node.append(onnx.helper.make_node("Constant", [], ["factor"], value_float=factor))
        function.node.append(onnx.helper.make_node("Mul", ["unscaled", "factor"], [name]))
    onnx.save(model, target)
    return target


def test_a_sound_export_passes_where_errors_grow_and_a_worse_one_does_not(tmp_path: Path) -> None:
    """OpenVINO's fitted form is off by up to 1e-5, here a hundredth of the movement: a thousand times as much as elsewhere."""
    model = Narrow("tanhexp", 0.9, 2e-4).eval()
    path = exported(model, tmp_path)
    sound = verify(model, path, inputs=X, runtimes=["openvino"], batches=[1])
    given = [row for row in sound.rows if row.inputs == "given"]
    assert given
    assert {row.outcome for row in given} == {"pass"}
    shares = [b for b in sound.budgets if b.inputs == "given" and b.form_share > 0]
    assert shares
    assert all(b.form_share > 300 * FORM_FACTOR * 1e-6 for b in shares)
    moved = movement(model.double()(torch.from_numpy(X).double()).detach().numpy())
    factor = 1.0 + 10 * FORM_FACTOR * FORM_BOUND_AT_MOST
    assert factor - 1.0 < moved  # a fault that is smaller than what the output moves by
    worse = scaled_function(path, tmp_path / "worse.onnx", factor)
    found = verify(model.float(), worse, inputs=X, runtimes=["onnxruntime"], batches=[1])
    assert {row.outcome for row in found.rows if row.inputs == "given"} == {"fail"}
