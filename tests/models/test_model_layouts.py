"""The networks against facts from elsewhere: torchvision's state_dict layouts, published sizes and costs."""

import functools
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeacts.models import build_model
from edgeacts.models.mobilenet_v2 import divisible_channels

LAYOUTS = json.loads(Path(__file__).with_name("layouts.json").read_text())["models"]

# Name in torchvision, ours, width.
NAMES = (
    ("mobilenet_v2", "mobilenet_v2", 1.0),
    ("mobilenet_v3_large", "mobilenet_v3_large", 1.0),
    ("mobilenet_v3_small", "mobilenet_v3_small", 1.0),
    ("shufflenet_v2_x0_5", "shufflenet_v2", 0.5),
    ("shufflenet_v2_x1_0", "shufflenet_v2", 1.0),
    ("shufflenet_v2_x2_0", "shufflenet_v2", 2.0),
    ("squeezenet1_0", "squeezenet1_0", 1.0),
    ("squeezenet1_1", "squeezenet1_1", 1.0),
)

# Parameters and multiply-adds at 224x224: torchvision's table of weights; for MobileNetV2 at other widths the
# million multiply-adds of the authors' table of checkpoints.
PUBLISHED_PARAMETERS = (
    ("mobilenet_v2", 1.0, 3_504_872),
    ("mobilenet_v3_large", 1.0, 5_483_032),
    ("mobilenet_v3_small", 1.0, 2_542_856),
    ("shufflenet_v2", 0.5, 1_366_792),
    ("shufflenet_v2", 1.0, 2_278_604),
    ("shufflenet_v2", 1.5, 3_503_624),
    ("shufflenet_v2", 2.0, 7_393_996),
    ("squeezenet1_0", 1.0, 1_248_424),
    ("squeezenet1_1", 1.0, 1_235_496),
)
PUBLISHED_MACS = (
    ("mobilenet_v2", 0.35, 59, 1e6),
    ("mobilenet_v2", 0.5, 97, 1e6),
    ("mobilenet_v2", 0.75, 209, 1e6),
    ("mobilenet_v2", 1.0, 301, 1e6),
    ("mobilenet_v2", 1.3, 509, 1e6),
    ("mobilenet_v2", 1.4, 582, 1e6),
    ("mobilenet_v3_large", 1.0, 0.22, 1e9),
    ("mobilenet_v3_small", 1.0, 0.06, 1e9),
    ("shufflenet_v2", 0.5, 0.04, 1e9),
    ("shufflenet_v2", 1.0, 0.145, 1e9),
    ("shufflenet_v2", 1.5, 0.296, 1e9),
    ("shufflenet_v2", 2.0, 0.583, 1e9),
    ("squeezenet1_0", 1.0, 0.819, 1e9),
    ("squeezenet1_1", 1.0, 0.349, 1e9),
)


@functools.cache
def on_meta(name: str, **options: Any) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build_model(name, activation="relu", **options).eval()


def layout(model: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(key, tuple(tensor.shape)) for key, tensor in model.state_dict().items()]


def torchvision_layout(name: str) -> list[tuple[str, tuple[int, ...]]]:
    keys: list[tuple[str, tuple[int, ...]]] = []
    for path, shape in LAYOUTS[name]["tensors"].items():
        if isinstance(shape, str):
            keys.append((path, tuple(map(int, shape.split("x")))))
        else:
            keys += [
                (f"{path}.{leaf}", (shape,)) for leaf in ("weight", "bias", "running_mean", "running_var")
            ]
            keys.append((f"{path}.num_batches_tracked", ()))
    return keys


def test_every_stored_layout_is_compared() -> None:
    assert {theirs for theirs, _, _ in NAMES} == set(LAYOUTS)


@pytest.mark.parametrize("small_images", [False, True])
@pytest.mark.parametrize(("theirs", "ours", "width"), NAMES)
def test_state_dict_is_torchvisions(theirs: str, ours: str, width: float, small_images: bool) -> None:
    model = on_meta(ours, width=width, small_images=small_images)
    assert layout(model) == torchvision_layout(theirs)
    assert sum(p.numel() for p in model.parameters()) == LAYOUTS[theirs]["parameters"]


@pytest.mark.parametrize(("name", "width", "count"), PUBLISHED_PARAMETERS)
def test_parameter_count_is_the_published_one(name: str, width: float, count: int) -> None:
    assert sum(p.numel() for p in on_meta(name, width=width).parameters()) == count


@pytest.mark.parametrize(("name", "width", "published", "unit"), PUBLISHED_MACS)
def test_cost_is_the_published_one(name: str, width: float, published: float, unit: float) -> None:
    """Strides and paddings are not in a state_dict; a wrong one shows in the multiply-adds."""
    with FlopCounterMode(display=False) as counter:
        on_meta(name, width=width)(torch.zeros(1, 3, 224, 224, device="meta"))
    digit = 10.0 ** -len(str(published).partition(".")[2])
    assert counter.get_total_flops() / 2 / unit == pytest.approx(published, abs=digit / 2)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("mobilenet_v2", 35),
        ("mobilenet_v3_large", 40),
        ("mobilenet_v3_small", 33),
        ("shufflenet_v2", 37),
        ("squeezenet1_0", 26),
    ],
)
def test_number_of_activations(name: str, places: int) -> None:
    """By hand: 17 blocks * 2 - 1 + 2; 15 * 2 - 1 + 8 gates + 3; 11 * 2 - 1 + 9 + 3; 3 * 3 + 13 * 2 + 2; 8 fire modules * 3 + 2."""
    made: list[int] = []

    def count(channels: int) -> nn.Module:
        made.append(channels)
        return nn.ReLU()

    with torch.device("meta"):
        build_model(name, activation=count)
    assert len(made) == places


@pytest.mark.parametrize(
    ("channels", "divisible"),
    [
        (11.2, 16),
        (12, 16),
        (22.4, 24),
        (33.6, 32),
        (44.8, 48),
        (89.6, 88),
        (134.4, 136),
        (0.32, 8),
        (1792, 1792),
    ],
)
def test_divisible_channels(channels: float, divisible: int) -> None:
    """Channels of the published MobileNetV2 0.35, 0.5 and 1.4."""
    assert divisible_channels(channels) == divisible


def test_divisible_channels_keeps_nine_tenths() -> None:
    for tenths in range(1, 20_000):
        got = divisible_channels(tenths / 10)
        assert got % 8 == 0
        assert 0.9 * tenths / 10 <= got <= max(8, tenths / 10 + 8)


@pytest.mark.parametrize(("name", "minimum"), [("squeezenet1_0", 21), ("squeezenet1_1", 17)])
def test_minimum_size_is_torchvisions(name: str, minimum: int) -> None:
    assert on_meta(name).minimum_size == minimum


DROPOUTS = {
    "mobilenet_v2": [0.2],
    "mobilenet_v3_large": [0.2],
    "shufflenet_v2": [],
    "squeezenet1_0": [0.5],
    "squeezenet1_1": [0.5],
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout(name: str) -> None:
    assert [m.p for m in on_meta(name).modules() if isinstance(m, nn.Dropout)] == DROPOUTS[name]


def test_initialisation_of_mobilenet_v2() -> None:
    """He et al.'s deviation by the outputs of each convolution; the classifier normal at 0.01."""
    torch.manual_seed(0)
    model = build_model("mobilenet_v2", activation="relu")
    large = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 20_000]
    assert len(large) > 10
    for conv in large:
        fan_out = conv.weight.numel() / conv.in_channels * conv.groups
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    *_, last = model.modules()
    assert isinstance(last, nn.Linear)
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not last.bias.any()


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_initialisation_of_squeezenet(name: str) -> None:
    """He et al.'s uniform range by each convolution's inputs; the classifier normal at 0.01; biases 0."""
    torch.manual_seed(0)
    *convs, last = (m for m in build_model(name).modules() if isinstance(m, nn.Conv2d))
    for conv in convs:
        bound = (6 / (conv.weight.numel() / conv.out_channels)) ** 0.5
        assert 0.95 * bound < conv.weight.abs().max().item() <= bound
        assert conv.bias is not None
        assert not conv.bias.any()
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(("theirs", "ours", "width"), NAMES)
def test_weights_load_under_any_activation(theirs: str, ours: str, width: float) -> None:
    """Weights in torchvision's layout load strictly with mish; with a trained SAU all but its alphas."""
    numbers = itertools.count()
    weights = {key: torch.full(shape, float(next(numbers) % 97)) for key, shape in torchvision_layout(theirs)}
    plain = build_model(ours, width=width, activation="mish")
    plain.load_state_dict(weights)
    assert all(
        torch.equal(tensor, weights[key].to(tensor.dtype)) for key, tensor in plain.state_dict().items()
    )

    trained = build_model(ours, width=width, activation="sau")
    report = trained.load_state_dict(weights, strict=False)
    assert not report.unexpected_keys
    assert report.missing_keys
    assert {key.rpartition(".")[2] for key in report.missing_keys} == {"alpha"}
