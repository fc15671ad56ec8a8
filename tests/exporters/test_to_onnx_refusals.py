"""What cannot be exported is refused in one line, and nothing is written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeacts.definition import Activation, X
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.exporters import to_onnx
from edgeacts.exporters.to_onnx import export_paths
from edgeacts.forms import OPSETS
from edgeacts.modules import ActivationModule

pytestmark = pytest.mark.usefixtures("one_thread")


def _small(*activations: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 3), *activations).eval()


EXAMPLE = torch.zeros(2, 3)


def test_training_mode_is_refused_with_the_cure(tmp_path: Path) -> None:
    model = _small(nn.BatchNorm1d(3), ActivationModule("mish"))
    model[1].train()
    with pytest.raises(
        UsageError, match=r"^1 is in training mode \(1 modules are\): call model.eval\(\) before"
    ):
        to_onnx(model, EXAMPLE, tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="^the model is in training mode"):
        to_onnx(model.train(), EXAMPLE, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [OPSETS[0] - 1, OPSETS[1] + 1, 20.0, True])
def test_other_opsets_are_refused(opset: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"opset {opset} is not supported: give one from 18 to 23"):
        to_onnx(_small(nn.ReLU()), EXAMPLE, tmp_path / "m.onnx", opset=opset)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    text = rf"model and example must be float32 for the export, found {dtype}: call \.float\(\)"
    with pytest.raises(UsageError, match=text):
        to_onnx(_small(ActivationModule("mish")).to(dtype), EXAMPLE.to(dtype), tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=text):
        to_onnx(ActivationModule("mish").eval(), EXAMPLE.to(dtype), tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"path": "m.pb"}, r"export path .*m\.pb must end in \.onnx"),
        ({"example": (1, 2)}, "example must be a tensor, or a tuple of tensors"),
        ({"example": ()}, "example must be a tensor, or a tuple of tensors"),
        ({"form": "fast"}, "activation mish has no form 'fast'; it has: ratio, native, exact"),
        (
            {"example": torch.tensor(0.5)},
            "an input without dimensions has no batch: give dynamic_batch=False",
        ),
        ({"tolerance": -1.0}, "tolerance -1.0 must be 0 or more"),
        (
            {"input_names": ["a", "b"]},
            r"input_names \['a', 'b'\]: give 1 different names, one for each input",
        ),
        (
            {"model": _small(ActivationModule("silu", 3, trainable={"beta": "channel"})), "form": "leaky"},
            "activation silu has no form 'leaky'; it has: exact",
        ),
        (
            {"opset": 18, "model": _small(ActivationModule("gelu")), "form": "native"},
            "form 'native' of gelu needs opset 20",
        ),
    ],
    ids=str,
)
def test_other_requests_are_refused(change: dict[str, Any], text: str, tmp_path: Path) -> None:
    given = {"model": _small(ActivationModule("mish")), "example": EXAMPLE, "path": "m.onnx", **change}
    given["path"] = tmp_path / given["path"]
    with pytest.raises(UsageError, match=text) as caught:
        to_onnx(**given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_two_definitions_of_one_operator_are_refused(tmp_path: Path) -> None:
    twin = Activation("twin", X, "here", operator="Silu")
    with pytest.raises(UsageError, match="two different definitions, silu and twin, both have operator Silu"):
        to_onnx(_small(ActivationModule("silu"), ActivationModule(twin)), EXAMPLE, tmp_path / "m.onnx")


class Branching(nn.Module):
    """Takes a way that depends on the values, which torch.export cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1


class Double(nn.Module):
    """Computes in float64 inside."""

    def __init__(self) -> None:
        super().__init__()
        self.act = ActivationModule("mish")

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x.double()).float()


class Uncopyable(nn.Module):
    """Holds a tensor that was computed from its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.scaled = self.linear.weight * 2

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.scaled


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Branching(), "torch cannot export this model: "),
        (
            Double(),
            "edgeacts::Mish gets torch.float64 inside the model: only float32 and half types are exported",
        ),
        (
            Uncopyable(),
            "the model cannot be copied for the export: RuntimeError: Only Tensors created explicitly",
        ),
    ],
    ids=["branching", "double", "uncopyable"],
)
def test_what_cannot_be_exported_is_one_line(model: nn.Module, text: str, tmp_path: Path) -> None:
    with pytest.raises(EdgeactsError, match=text) as caught:
        to_onnx(model.eval(), EXAMPLE, tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_paths() -> None:
    assert export_paths("a/b.onnx") == (Path("a/b.onnx"), Path("a/b.inlined.onnx"))
    with pytest.raises(UsageError, match=r"export path b must end in \.onnx"):
        export_paths("b")
