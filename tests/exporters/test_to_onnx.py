"""Export of modules: one node per activation, values, names, opsets, and what is refused.

An export takes torch two seconds: a few models that hold many things are each exported once.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeacts.activations import activation, names
from edgeacts.definition import Activation, X, sigmoid
from edgeacts.exporters import Exported, to_onnx
from edgeacts.forms import DOMAIN, DOMAIN_VERSION, OPSETS
from edgeacts.modules import ActivationModule

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parent.parent.parent


def _run(path: Path, *inputs: Tensor) -> list[NDArray[np.float32]]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {spec.name: x.numpy() for spec, x in zip(session.get_inputs(), inputs, strict=True)}
    results: list[NDArray[np.float32]] = session.run(None, feeds)
    return results


def _agree(model: nn.Module, exported: Exported, shape: tuple[int, ...], within: float = 2e-6) -> None:
    """Portable model and inlined twin against torch, output by output, with batches of 1, 2 and 7."""
    for batch in (1, 2, 7):
        x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch)) * 3
        with torch.no_grad():
            expected = model(x)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for path in (exported.portable, exported.inlined):
            got = _run(path, x)
            assert len(got) == len(expected)
            for mine, theirs in zip(got, expected, strict=True):
                assert mine.shape == theirs.shape
                assert float(theirs.std()) > 0.1, "blind to its input"
                np.testing.assert_allclose(mine, theirs.numpy(), rtol=2e-6, atol=within)


def _opsets(path: Path) -> dict[str, int]:
    return {o.domain: o.version for o in onnx.load(path).opset_import}


def _attribute(node: onnx.NodeProto, name: str) -> float:
    return next(a.f for a in node.attribute if a.name == name)


# ---- every activation, at every opset


class Branches(nn.Module):
    """One output for each activation of the catalogue, behind a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 5)
        self.activations = nn.ModuleList(ActivationModule(n, 5) for n in names())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        hidden = 2 * self.linear(x)
        return tuple(a(hidden) for a in self.activations)


@pytest.mark.parametrize("opset", range(OPSETS[0], OPSETS[1] + 1))
def test_every_activation_at_every_opset(opset: int, tmp_path: Path) -> None:
    """One node each, the values are the module's, the opset is the one asked for; exact forms and chosen ones in turn."""
    model = Branches().eval()
    tolerance = 0.0 if opset % 2 else 1e-5
    exported = to_onnx(
        model,
        torch.zeros(1, 3),
        tmp_path / "m.onnx",
        opset=opset,
        tolerance=tolerance,
        output_names=list(names()),
    )
    operators = {f"{DOMAIN}::{activation(n).operator}": 1 for n in names()}
    assert {k: v for k, v in exported.operators.items() if "::" in k} == operators
    assert exported.activation_nodes == len(names())
    assert exported.opset == opset
    assert _opsets(exported.portable) == {"": opset, DOMAIN: DOMAIN_VERSION}
    assert _opsets(exported.inlined)[""] == opset
    portable, twin = onnx.load(exported.portable), onnx.load(exported.inlined)
    assert {f.name for f in portable.functions} == {activation(n).operator for n in names()}
    assert [o.name for o in portable.graph.output] == list(names())
    assert not twin.functions
    assert {n.domain for n in twin.graph.node} == {""}
    assert exported.choices["SAU"].form.name == ("exact" if tolerance == 0 else "leaky")
    _agree(model, exported, (3,), within=3e-6 if tolerance == 0 else 2e-5)


# ---- one model with everything else


class Everything(nn.Module):
    """Trained values per layer and per channel, a shared activation, stock activations, batch norm, a half-precision part."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), ActivationModule("sau", 4))
        self.second = nn.Sequential(nn.Conv2d(4, 4, 1), ActivationModule("sau", 4))
        self.channel = ActivationModule("sau", 4, trainable={"alpha": "channel"})
        self.beta = ActivationModule("silu", 4, trainable={"beta": "channel"})
        self.shared = ActivationModule("tanhexp")
        self.stock = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Hardswish())
        self.own = ActivationModule(Activation("own_one", X * sigmoid(X) / (1 + X**2), "this test"))
        with torch.no_grad():
            self.first[2].alpha.fill_(0.6)
            self.second[1].alpha.fill_(-0.1)
            self.channel.alpha.copy_(torch.tensor([0.1, -0.5, 0.9, 0.0]))
            self.beta.beta.copy_(torch.tensor([1.0, 0.0, -0.5, 3.0]))

    def forward(self, image: Tensor) -> Tensor:
        x = self.channel(self.second(self.first(image)))
        x = self.stock(self.shared(self.shared(x) - 1)) + self.beta(x)
        return x + 9 * self.own(x.half()).float()


@pytest.fixture(scope="module")
def everything() -> nn.Module:
    return Everything().eval()


@pytest.fixture(scope="module", params=[0.0, 1e-5], ids=["exact", "chosen"])
def exported(request: pytest.FixtureRequest, everything: nn.Module, tmp_path_factory: Any) -> Exported:
    return to_onnx(
        everything,
        torch.zeros(1, 2, 6, 6),
        tmp_path_factory.mktemp("everything") / "m.onnx",
        tolerance=request.param,
        output_names=["logits"],
        metadata={"edgeacts.classes": '["a", "ß"]'},
    )


def test_operators_of_everything(exported: Exported) -> None:
    """A shared module is a node at each use; stock activations stay theirs; parameters per channel are a function of their own."""
    assert {
        k: v for k, v in exported.operators.items() if "::" in k or k in ("Relu", "HardSwish", "Sigmoid")
    } == {
        "Relu": 1,
        "HardSwish": 1,
        f"{DOMAIN}::SAU": 2,
        f"{DOMAIN}::SAUPerChannel": 1,
        f"{DOMAIN}::SiluPerChannel": 1,
        f"{DOMAIN}::TanhExp": 2,
        f"{DOMAIN}::OwnOne": 1,
    }
    counted = Counter(
        f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in onnx.load(exported.portable).graph.node
    )
    assert exported.operators == dict(counted)
    assert exported.activation_nodes == 7


def test_values_of_everything(everything: nn.Module, exported: Exported) -> None:
    exact = exported.choices["SAU"].form.name == "exact"
    _agree(
        everything, exported, (2, 6, 6), within=5e-5 if exact else 2e-4
    )  # a part of it is in half precision
    assert exact == (exported.choices["SAU"].bound == 0)
    twin = {n.op_type for n in onnx.load(exported.inlined).graph.node}
    assert ("LeakyRelu" in twin, "PRelu" in twin, "Erf" in twin) == (not exact, not exact, exact)


def test_trained_values_are_frozen_place_by_place(exported: Exported) -> None:
    nodes = [n for n in onnx.load(exported.portable).graph.node if n.op_type == "SAU"]
    assert [_attribute(n, "alpha") for n in nodes] == pytest.approx([0.6, -0.1])
    assert [_attribute(n, "n") for n in nodes] == [20000.0, 20000.0]


def test_names_and_metadata(exported: Exported) -> None:
    proto = onnx.load(exported.portable)
    assert [i.name for i in proto.graph.input] == ["image"]
    assert [o.name for o in proto.graph.output] == ["logits"]
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    metadata = {p.key: p.value for p in proto.metadata_props}
    assert metadata["edgeacts.classes"] == '["a", "ß"]'
    carried = set(metadata) - {"edgeacts.bodies"}  # which there are where OpenVINO gets another form
    assert sorted(carried) == ["edgeacts.classes", "edgeacts.forms", "edgeacts.tables"]
    assert '"name": "tanhexp"' in metadata["edgeacts.forms"]
    assert '"source": "this test"' in metadata["edgeacts.forms"]
    assert proto.producer_name == "edgeacts"
    assert {p.key: p.value for p in onnx.load(exported.inlined).metadata_props} == metadata


def test_nothing_of_this_machine_is_in_the_file(exported: Exported) -> None:
    for path in (exported.portable, exported.inlined):
        data = path.read_bytes()
        for text in (str(ROOT), str(path.parent), "site-packages", ".py", "Traceback", "stack_trace"):
            assert text.encode() not in data, text


def test_the_model_is_left_as_it_was(everything: nn.Module, exported: Exported) -> None:
    fresh = Everything()
    assert [type(m) for m in everything.modules()] == [type(m) for m in fresh.modules()]
    assert list(everything.state_dict()) == list(fresh.state_dict())
    assert all(torch.equal(v, fresh.state_dict()[k]) for k, v in everything.state_dict().items())
    assert not any(m.training for m in everything.modules())


def test_only_the_two_files_are_written(exported: Exported) -> None:
    assert sorted(p.name for p in exported.portable.parent.iterdir()) == ["m.inlined.onnx", "m.onnx"]


# ---- small models


def test_torchs_own_activations_stay_what_they_are(tmp_path: Path) -> None:
    """No function, no domain, no metadata of ours in a model that has none of our activations."""
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 3), nn.Hardswish(), nn.Linear(3, 3), nn.Mish()).eval()
    exported = to_onnx(model, torch.zeros(2, 3), tmp_path / "m.onnx")
    assert exported.operators == {"Gemm": 2, "HardSwish": 1, "Mish": 1, "Relu": 1}
    assert _opsets(exported.portable) == {"": 20}
    assert not onnx.load(exported.portable).metadata_props
    assert not exported.choices


class TwoAndThree(nn.Module):
    """Two inputs; three outputs, one of them an input as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.act = ActivationModule("mish")

    def forward(
        self, left: Tensor, right: Tensor, scale: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.act(left + right), left * right, left


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    model = TwoAndThree().eval()
    exported = to_onnx(model, (torch.zeros(1, 3), torch.zeros(1, 3)), tmp_path / "m.onnx")
    proto = onnx.load(exported.portable)
    assert [i.name for i in proto.graph.input] == ["left", "right"]
    assert len({o.name for o in proto.graph.output} | {"left", "right"}) == 5
    a, b = torch.randn(5, 3), torch.randn(5, 3)
    for got, expected in zip(_run(exported.portable, a, b), model(a, b), strict=True):
        np.testing.assert_allclose(got, expected.detach().numpy(), atol=1e-6)


def test_same_model_same_bytes(tmp_path: Path) -> None:
    """The second time wrapped by torch.compile: what is exported is the model in it. The activation is the whole model."""
    model, x = ActivationModule("gelu").eval(), torch.tensor(0.3)
    first = to_onnx(model, x, tmp_path / "a.onnx", dynamic_batch=False)
    second = to_onnx(torch.compile(model, backend="eager"), x, tmp_path / "b.onnx", dynamic_batch=False)
    assert first.portable.read_bytes() == second.portable.read_bytes()
    assert first.inlined.read_bytes() == second.inlined.read_bytes()
    assert first.operators == {f"{DOMAIN}::Gelu": 1}
    np.testing.assert_allclose(_run(first.portable, x)[0], model(x).numpy(), rtol=1e-6)
