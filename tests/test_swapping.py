"""swap: what it replaces, what it reports, what it refuses."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeacts.activations import activation
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
