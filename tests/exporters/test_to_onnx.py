"""Export of modules: one node per activation, values, names, opsets, and what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeacts.activations import names
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.exporters import to_onnx
from edgeacts.exporters.to_onnx import export_paths
from edgeacts.forms import OPSETS
from edgeacts.modules import ActivationModule

pytestmark = pytest.mark.usefixtures("one_thread")
EXAMPLE = torch.zeros(1, 2, 6, 6)


def _net(*activations: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(2, 4, 3)]
    for activation in activations:
        layers += [activation, nn.Conv2d(4, 4, 1)]
    return nn.Sequential(*layers).eval()


def _run(path: Path, *inputs: Tensor) -> list[NDArray[np.float32]]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {spec.name: x.numpy() for spec, x in zip(session.get_inputs(), inputs, strict=True)}
    results: list[NDArray[np.float32]] = session.run(None, feeds)
    return results


def _agree(model: nn.Module, path: Path, within: float = 2e-6) -> None:
    for batch in (1, 2, 7):
        x = torch.randn(batch, 2, 6, 6, generator=torch.Generator().manual_seed(batch)) * 3
        with torch.no_grad():
            expected = model(x).numpy()
        np.testing.assert_allclose(_run(path, x)[0], expected, rtol=0, atol=within)


@pytest.mark.parametrize("name", names())
def test_each_activation_is_one_node_and_equals_the_module(name: str, tmp_path: Path) -> None:
    model = _net(ActivationModule(name, 4), ActivationModule(name, 4))
    exported = to_onnx(model, EXAMPLE, tmp_path / "m.onnx", tolerance=0)
    operator = ActivationModule(name, 4).activation.operator
    assert exported.operators == {"Conv": 3, f"edgeacts::{operator}": 2}
    assert exported.activation_nodes == 2
    assert [f.name for f in onnx.load(exported.portable).functions] == [operator]
    twin = onnx.load(exported.inlined)
    assert not twin.functions
    assert not [n for n in twin.graph.node if n.domain == "edgeacts"]
    _agree(model, exported.portable)
    _agree(model, exported.inlined)


@pytest.mark.parametrize("opset", range(OPSETS[0], OPSETS[1] + 1))
def test_the_opset_asked_for_is_written(opset: int, tmp_path: Path) -> None:
    model = _net(ActivationModule("nish"))
    exported = to_onnx(model, EXAMPLE, tmp_path / "m.onnx", opset=opset)
    for path in (exported.portable, exported.inlined):
        assert {o.domain: o.version for o in onnx.load(path).opset_import}[""] == opset
    _agree(model, exported.portable)


def test_torchs_own_activations_stay_what_they_are(tmp_path: Path) -> None:
    exported = to_onnx(_net(nn.ReLU(), nn.Hardswish(), nn.Mish()), EXAMPLE, tmp_path / "m.onnx")
    assert exported.operators == {"Conv": 4, "HardSwish": 1, "Mish": 1, "Relu": 1}
    assert {o.domain for o in onnx.load(exported.portable).opset_import} == {""}
    assert not exported.choices


def test_trained_values_are_frozen_place_by_place(tmp_path: Path) -> None:
    first, second = ActivationModule("sau", 4), ActivationModule("sau", 4)
    with torch.no_grad():
        first.alpha.fill_(0.6)
        second.alpha.fill_(-0.1)
    model = _net(first, second)
    exported = to_onnx(model, EXAMPLE, tmp_path / "m.onnx")
    nodes = [n for n in onnx.load(exported.portable).graph.node if n.op_type == "SAU"]
    alphas = [next(a.f for a in n.attribute if a.name == "alpha") for n in nodes]
    assert alphas == pytest.approx([0.6, -0.1])
    assert exported.choices["SAU"].form.name == "leaky"
    _agree(model, exported.portable, within=5e-5)
    assert "LeakyRelu" in {n.op_type for n in onnx.load(exported.inlined).graph.node}


@pytest.mark.parametrize("tolerance", [0.0, 1e-5])
def test_values_per_channel_are_inputs_of_their_own_function(tolerance: float, tmp_path: Path) -> None:
    per_channel = ActivationModule("sau", 4, trainable={"alpha": "channel"})
    with torch.no_grad():
        per_channel.alpha.copy_(torch.tensor([0.1, -0.5, 0.9, 0.0]))
    model = _net(per_channel, ActivationModule("sau", 4))
    exported = to_onnx(model, EXAMPLE, tmp_path / "m.onnx", tolerance=tolerance)
    assert exported.operators == {"Conv": 3, "edgeacts::SAU": 1, "edgeacts::SAUPerChannel": 1}
    _agree(model, exported.portable, within=5e-5 if tolerance else 2e-6)
    _agree(model, exported.inlined, within=5e-5 if tolerance else 2e-6)


def test_a_shared_module_becomes_a_node_at_each_use(tmp_path: Path) -> None:
    shared = ActivationModule("tanhexp")
    model = _net(shared, shared)
    exported = to_onnx(model, EXAMPLE, tmp_path / "m.onnx")
    assert exported.activation_nodes == 2
    _agree(model, exported.portable)


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = _net(ActivationModule("sau", 4))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    kinds = [type(m) for m in model.modules()]
    to_onnx(model, EXAMPLE, tmp_path / "m.onnx")
    assert [type(m) for m in model.modules()] == kinds
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


class TwoAndTwo(nn.Module):
    """Two inputs, two outputs, one activation."""

    def __init__(self) -> None:
        super().__init__()
        self.act = ActivationModule("mish")

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return self.act(left + right), left * right


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    model = TwoAndTwo().eval()
    exported = to_onnx(
        model, (torch.zeros(1, 3), torch.zeros(1, 3)), tmp_path / "m.onnx", output_names=["sum", "product"]
    )
    proto = onnx.load(exported.portable)
    assert [i.name for i in proto.graph.input] == ["left", "right"]
    assert [o.name for o in proto.graph.output] == ["sum", "product"]
    a, b = torch.randn(5, 3), torch.randn(5, 3)
    for got, expected in zip(_run(exported.portable, a, b), model(a, b), strict=True):
        np.testing.assert_allclose(got, expected.detach().numpy(), atol=1e-6)


def test_names_metadata_and_nothing_of_this_machine(tmp_path: Path) -> None:
    exported = to_onnx(
        _net(ActivationModule("nish")), EXAMPLE, tmp_path / "m.onnx", input_names=["image"], output_names=["logits"],
        metadata={"edgeacts.classes": '["a"]'},
    )  # fmt: skip
    proto = onnx.load(exported.portable)
    assert [i.name for i in proto.graph.input] == ["image"]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    metadata = {p.key: p.value for p in proto.metadata_props}
    assert metadata["edgeacts.classes"] == '["a"]'
    assert '"form": "exact"' in metadata["edgeacts.forms"]
    for path in (exported.portable, exported.inlined):
        data = path.read_bytes()
        assert str(Path(__file__).parent.parent.parent).encode() not in data
        assert b"site-packages" not in data


def test_same_model_same_bytes(tmp_path: Path) -> None:
    first = to_onnx(_net(ActivationModule("gelu")), EXAMPLE, tmp_path / "a.onnx")
    second = to_onnx(_net(ActivationModule("gelu")), EXAMPLE, tmp_path / "b.onnx")
    assert first.portable.read_bytes() == second.portable.read_bytes()
    assert first.inlined.read_bytes() == second.inlined.read_bytes()


def test_training_mode_is_refused_with_the_cure(tmp_path: Path) -> None:
    model = _net(nn.BatchNorm2d(4), ActivationModule("mish"))
    model[1].train()
    with pytest.raises(UsageError, match=r"1 is in training mode \(1 modules are\): call model.eval\(\)"):
        to_onnx(model, EXAMPLE, tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="the model is in training mode"):
        to_onnx(model.train(), EXAMPLE, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [OPSETS[0] - 1, OPSETS[1] + 1, 20.0, True])
def test_other_opsets_are_refused(opset: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"opset {opset} is not supported: give one from 18 to 23"):
        to_onnx(_net(nn.ReLU()), EXAMPLE, tmp_path / "m.onnx", opset=opset)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"must be float32 for the export, found torch.float\d\d: call .float\(\)"
    ):
        to_onnx(_net(ActivationModule("mish")).to(dtype), EXAMPLE.to(dtype), tmp_path / "m.onnx")


def test_other_requests_are_refused(tmp_path: Path) -> None:
    model = _net(ActivationModule("mish"))
    with pytest.raises(UsageError, match=r"must end in \.onnx"):
        to_onnx(model, EXAMPLE, tmp_path / "m.pb")
    with pytest.raises(UsageError, match="example must be a tensor, or a tuple of tensors"):
        to_onnx(model, (1, 2), tmp_path / "m.onnx")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="has no form 'fast'"):
        to_onnx(model, EXAMPLE, tmp_path / "m.onnx", form="fast")
    assert export_paths("a/b.onnx") == (Path("a/b.onnx"), Path("a/b.inlined.onnx"))


class Branching(nn.Module):
    """Takes a way that depends on the values, which torch.export cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1


def test_what_torch_cannot_export_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EdgeactsError, match="torch cannot export this model: ") as caught:
        to_onnx(Branching().eval(), EXAMPLE, tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_operators_are_counted_as_the_file_holds_them(tmp_path: Path) -> None:
    exported = to_onnx(_net(ActivationModule("tanhexp"), nn.ReLU()), EXAMPLE, tmp_path / "m.onnx")
    counted = Counter(
        f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in onnx.load(exported.portable).graph.node
    )
    assert exported.operators == dict(counted)
