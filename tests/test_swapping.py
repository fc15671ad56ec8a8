"""swap: what it replaces, what it reports, what it refuses."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeacts.activations import activation
from edgeacts.definition import Activation, X
from edgeacts.errors import UsageError
from edgeacts.models import build_model
from edgeacts.modules import ActivationModule
from edgeacts.swapping import swap


class Mixed(nn.Module):
    """A module used twice, a shared module, a nested one, and two calls that are not modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.twice = nn.ReLU()
        self.shared_a = nn.ReLU(inplace=True)
        self.shared_b = self.shared_a
        self.nested = nn.Sequential(nn.Conv2d(5, 7, 1), nn.BatchNorm2d(7), nn.ReLU(), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared_b(self.shared_a(self.twice(self.twice(self.conv(x)))))
        return F.relu(self.nested(x)) + torch.relu(x).mean()


EXAMPLE = torch.randn(2, 3, 8, 8)


def test_replaces_modules_and_reports_the_rest_with_an_example() -> None:
    model = Mixed().eval()
    report = swap(model, "relu", "sau", example=EXAMPLE)
    assert report.replaced == ("twice", "shared_a", "shared_b", "nested.2")
    assert report.shared == ("twice", "shared_a", "shared_b")
    assert report.unreachable == ("the model (relu) x2",)
    assert model.shared_a is model.shared_b
    assert isinstance(model.nested[2], ActivationModule)
    assert isinstance(model.nested[3], nn.Sigmoid)
    assert str(report).startswith(
        "replaced 4; used in several places: twice, shared_a, shared_b; could not reach 1"
    )


def test_finds_function_calls_in_the_source_without_an_example() -> None:
    report = swap(Mixed(), "relu", "mish")
    assert report.unreachable == ("the model (relu)", "the model (relu)")
    assert report.shared == ("shared_a", "shared_b")


def test_example_leaves_the_model_as_it_was() -> None:
    model = Mixed().train()
    before = {n: b.clone() for n, b in model.named_buffers()}
    swap(model, "relu", "mish", example=EXAMPLE)
    assert model.training
    assert model.nested[2].training
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_fresh_modules_are_in_the_mode_of_the_old() -> None:
    """A model in eval mode can be exported after the swap as before."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.ReLU()).eval()
    model[2].train()
    swap(model, "relu", "mish")
    assert [m.training for m in model] == [False, False, True]


@pytest.mark.parametrize("example", [None, EXAMPLE])
def test_channels_are_those_of_the_place(example: Tensor | None) -> None:
    model = Mixed().eval()
    swap(model, "relu", "sau", example=example, trainable={"alpha": "channel"})
    assert model.twice.alpha.shape == (5,)
    assert model.nested[2].alpha.shape == (7,)
    assert model(EXAMPLE).shape == (2, 7, 6, 6)


def test_values_after_the_swap_are_the_new_activation() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    x = torch.randn(3, 4)
    inner = model[0](x)
    swap(model, "relu", "leaky_relu", negative_slope=0.3)
    torch.testing.assert_close(model(x), F.leaky_relu(inner, 0.3))
    swap(model, "leaky_relu", "relu")
    torch.testing.assert_close(model(x), F.relu(inner))


@pytest.mark.parametrize(
    "old", ["relu", activation("relu"), nn.ReLU, ["relu", "relu6"], (nn.ReLU, nn.Sigmoid)]
)
def test_ways_to_name_the_old_one(old: object) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert swap(model, old, "mish").replaced == ("1",)  # type: ignore[arg-type]


def test_the_model_may_be_the_activation_itself() -> None:
    report = swap(nn.ReLU(), "relu", "tanhexp")
    assert isinstance(report.model, ActivationModule)


def test_a_zoo_network_is_reached_completely() -> None:
    model = build_model("mobilenet_v2", activation="relu6", width=0.25, num_classes=3)
    report = swap(model, "relu6", "nish", example=torch.randn(1, 3, 32, 32))
    assert len(report.replaced) == 35
    assert not report.unreachable
    assert not report.shared


def test_nothing_replaced_is_an_error_that_says_why() -> None:
    class Functional(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x)

    with pytest.raises(UsageError, match=r"replaced nothing: .*its leaves are Linear"):
        swap(nn.Sequential(nn.Linear(2, 2)), "relu", "mish")
    with pytest.raises(
        UsageError, match=r"called as a function in the model \(relu\): make it a module there"
    ):
        swap(Functional(), "relu", "mish", example=torch.randn(2, 2))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("rellu", "mish", "unknown activation 'rellu': did you mean relu"),
        ("relu", "mishh", "unknown activation 'mishh': did you mean mish"),
        ([], "mish", "`old` is empty"),
        (3, "mish", "old=3 is neither a name"),
    ],
)
def test_wrong_names(old: object, new: str, text: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(UsageError, match=text):
        swap(model, old, new)  # type: ignore[arg-type]
    assert isinstance(model[1], nn.ReLU)


# ---- more models


class Deep(nn.Module):
    """Activations in lists, dictionaries and nested blocks; one of ours, with a trained value, among them."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.ModuleList([nn.Sequential(nn.Linear(3, 6), nn.ReLU6()), nn.Linear(6, 4)])
        self.named = nn.ModuleDict({"act": nn.SiLU(), "ours": ActivationModule("silu", beta=2.0)})

    def forward(self, x: Tensor) -> Tensor:
        for item in self.items:
            x = item(x)
        return self.named["ours"](self.named["act"](x))


def test_several_kinds_at_once_in_containers() -> None:
    model = Deep()
    report = swap(model, ["relu6", "silu"], "sau", trainable={"alpha": "channel"})
    assert report.replaced == ("items.0.1", "named.act", "named.ours")
    assert [m.alpha.shape[0] for m in model.modules() if isinstance(m, ActivationModule)] == [6, 4, 4]
    assert model(torch.randn(2, 3)).shape == (2, 4)


def test_there_and_back_gives_the_same_outputs() -> None:
    torch.manual_seed(0)
    layers = [m for _ in range(20) for m in (nn.Linear(8, 8), nn.ReLU())]
    model = nn.Sequential(*layers).eval()
    x = torch.randn(2, 8)
    with torch.no_grad():
        before = model(x)
        there = swap(model, "relu", "mish")
        changed = model(x)
        back = swap(model, "mish", "relu")
        after = model(x)
    assert there.replaced == back.replaced
    assert len(there.replaced) == 20
    assert not torch.allclose(before, changed, atol=1e-6)
    assert torch.equal(before, after)


def test_what_is_trained_stays_trained() -> None:
    """Weights of other layers are the same objects; the new parameters are in the model's parameters."""
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    weights = [p.data_ptr() for p in model.parameters()]
    swap(model, "relu", "sau")
    assert [p.data_ptr() for n, p in model.named_parameters() if "alpha" not in n] == weights
    assert [n for n, _ in model.named_parameters() if "alpha" in n] == ["1.alpha"]


def test_fresh_modules_are_not_shared_unless_the_old_were() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU())
    swap(model, "relu", "sau")
    assert model[1] is not model[3]
    assert model[1].alpha is not model[3].alpha
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(3, 3), shared, nn.Linear(3, 3), shared)
    report = swap(model, "relu", "sau")
    assert model[1] is model[3]
    assert report.shared == ("1", "3")
    assert len(list(model.named_parameters())) == 5


def test_a_factory_and_a_definition_as_the_new_one() -> None:
    counts: list[int] = []

    def make(channels: int) -> nn.Module:
        counts.append(channels)
        return nn.PReLU(channels)

    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 1), nn.ReLU())
    swap(model, "relu", make)
    assert counts == [8, 5]
    mine = Activation("mine", X / (1 + X**2), "here")
    swap(model, nn.PReLU, mine)
    assert isinstance(model[2], ActivationModule)
    assert model[2].activation is mine
    swap(model, mine, "relu")
    assert model[4].activation.name == "relu"


def test_gates_stay() -> None:
    """A Sigmoid or Hardsigmoid that multiplies another tensor is not an activation of the catalogue."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Hardsigmoid(), nn.Sigmoid())
    assert swap(model, ["relu", "silu", "hardswish"], "mish").replaced == ("1",)
    assert [type(m) for m in model[2:]] == [nn.Hardsigmoid, nn.Sigmoid]


def test_subclasses_are_other_activations() -> None:
    class MyReLU(nn.ReLU):
        """ReLU6 is a Hardtanh, in torch; somebody's subclass may compute anything."""

    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), MyReLU())
    assert swap(model, "relu", "mish").replaced == ("1",)
    assert swap(model, MyReLU, "mish").replaced == ("2",)


def test_gelu_with_the_tanh_approximation_is_replaced_too() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.GELU(approximate="tanh"))
    assert swap(model, "gelu", "silu").replaced == ("1",)


def test_methods_and_operators_that_are_no_activation_are_not_reported() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(x) + x.mean()

    for example in (None, torch.randn(2, 3)):
        assert swap(Plain(), "relu", "mish", example=example).unreachable == ()


def test_tensor_methods_are_seen_on_an_example() -> None:
    class Methods(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(x.relu()) + F.relu(x, inplace=False) + torch.relu_(x.clone())

    report = swap(Methods(), "relu", "mish", example=torch.randn(2, 3))
    assert sum(int(c.rpartition(" x")[2]) if " x" in c else 1 for c in report.unreachable) == 3


def test_a_failing_example_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).train()
    with pytest.raises(RuntimeError, match="shape"):
        swap(model, "relu", "mish", example=torch.randn(2, 5))
    assert isinstance(model[1], nn.ReLU)
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_unknown_parameter_of_the_new_one() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(UsageError, match="activation mish has no parameter 'beta'"):
        swap(model, "relu", "mish", beta=1.0)
    assert isinstance(model[1], nn.ReLU)
