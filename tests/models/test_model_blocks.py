"""Order and wiring inside the blocks, which no state_dict shows: with a wrong one weights still load."""

import pytest
import torch
from torch import Tensor, nn

from edgeacts.models import build_model
from edgeacts.models.mobilenet_v2 import InvertedResidual
from edgeacts.models.mobilenet_v3 import LARGE, SMALL, Row, SqueezeExcitation
from edgeacts.models.shufflenet_v2 import ShuffleBlock, interleave_halves
from edgeacts.models.squeezenet import Fire
from edgeacts.modules import ActivationModule


def relu(_: int) -> nn.Module:
    return nn.ReLU()


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_shuffle_is_torchs_channel_shuffle(batch: int) -> None:
    x = images(batch, 10, 3, 5)
    shuffled = interleave_halves(x)
    assert torch.equal(shuffled, nn.ChannelShuffle(2)(x))
    assert torch.equal(shuffled[:, 0], x[:, 0])
    assert torch.equal(shuffled[:, 1], x[:, 5])


def test_shuffle_block_keeps_the_first_half_on_even_channels() -> None:
    """Ma et al. 2018, figure 3c: split, one half untouched, concatenate, shuffle."""
    x = images(2, 8, 6, 6)
    block = ShuffleBlock(8, 8, relu, stride=1).eval()
    y = block(x)
    assert torch.equal(y[:, 0::2], x[:, :4])
    torch.testing.assert_close(y[:, 1::2], block.branch2(x[:, 4:]))


def test_shuffle_block_of_stride_2_runs_both_branches_on_everything() -> None:
    """Ma et al. 2018, figure 3d."""
    x = images(2, 8, 7, 7)
    block = ShuffleBlock(8, 12, relu, stride=2).eval()
    y = block(x)
    assert y.shape == (2, 12, 4, 4)
    torch.testing.assert_close(y[:, 0::2], block.branch1(x))
    torch.testing.assert_close(y[:, 1::2], block.branch2(x))


@pytest.mark.parametrize("branch", ["branch1", "branch2"])
def test_shuffle_block_has_no_activation_behind_the_depthwise_convolution(branch: str) -> None:
    kinds = [type(layer) for layer in getattr(ShuffleBlock(8, 12, relu, stride=2), branch)]
    point = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    depthwise = [nn.Conv2d, nn.BatchNorm2d]
    assert kinds == (depthwise + point if branch == "branch1" else point + depthwise + point)


@pytest.mark.parametrize(
    ("channels_out", "stride", "has_shortcut"),
    [(16, 1, True), (16, 2, False), (24, 1, False), (24, 2, False)],
)
def test_inverted_residual_adds_its_input_where_shapes_agree(
    channels_out: int, stride: int, has_shortcut: bool
) -> None:
    """Sandler et al. 2018, figure 4d; the last batch norm at 0 leaves the shortcut alone."""
    x = images(2, 16, 6, 6)
    block = InvertedResidual(16, channels_out, relu, expansion=6, stride=stride).eval()
    assert block(x).any()
    nn.init.zeros_(block.conv[-1].weight)  # type: ignore[arg-type]
    assert torch.equal(
        block(x), x if has_shortcut else torch.zeros(2, channels_out, 6 // stride, 6 // stride)
    )


def test_inverted_residual_ends_linear() -> None:
    """Section 3.2: an activation at the narrow end would lose what it clips."""
    torch.manual_seed(0)
    y = InvertedResidual(16, 24, relu, expansion=6, stride=1).eval()(images(2, 16, 6, 6))
    assert (y < 0).any()
    assert (y > 0).any()


def test_fire_concatenates_1x1_then_3x3() -> None:
    """Iandola et al. 2016, figure 2: 1x1 first; only the 3x3 half sees its neighbours."""
    torch.manual_seed(0)
    fire = Fire(4, 2, relu)
    for conv in (fire.squeeze, fire.expand1x1, fire.expand3x3):
        nn.init.ones_(conv.weight)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
    x = torch.zeros(1, 4, 5, 5)
    x[0, :, 2, 2] = 1.0
    y = fire(x)
    assert y.shape == (1, 16, 5, 5)
    assert torch.equal(y[0, :8].ne(0).sum(dim=(1, 2)), torch.full((8,), 1))
    assert torch.equal(y[0, 8:].ne(0).sum(dim=(1, 2)), torch.full((8,), 9))
    assert not fire(-x).any()


def test_squeeze_excitation_multiplies_each_channel_by_its_gate() -> None:
    """Howard et al. 2019, section 5.3: from the mean of each channel, an h-sigmoid from 0 to 1."""
    torch.manual_seed(0)
    x = images(2, 16, 5, 5)
    block = SqueezeExcitation(16, relu)
    inner = torch.relu(block.fc1(x.mean(dim=(2, 3), keepdim=True)))
    gate = torch.clamp(block.fc2(inner) / 6 + 0.5, 0, 1)
    torch.testing.assert_close(block(x), x * gate)
    nn.init.constant_(block.fc2.bias, -4.0)  # type: ignore[arg-type]
    nn.init.zeros_(block.fc2.weight)
    assert not block(x).any()


def kinds(model: nn.Module) -> list[str]:
    """Activations in the order of the layers: R for ReLU, H for HardSwish, S for the gate's hardsigmoid."""
    letters = {"relu": "R", "hardswish": "H"}
    found = []
    for module in model.modules():
        if isinstance(module, nn.Hardsigmoid):
            found.append("S")
        elif isinstance(module, ActivationModule):
            found.append(letters[module.activation.name])
    return found


@pytest.mark.parametrize(("name", "rows"), [("mobilenet_v3_large", LARGE), ("mobilenet_v3_small", SMALL)])
def test_the_papers_mobilenet_v3_has_relu_early_and_in_its_gates(name: str, rows: tuple[Row, ...]) -> None:
    """Tables 1 and 2: RE in the first rows, HS in the others; section 5.3: ReLU inside the gates."""
    expected = ["H"]
    for position, row in enumerate(rows):
        letter = "R" if row.early else "H"
        expected += [letter] * (1 if position == 0 else 2) + (["R", "S"] if row.squeeze else [])
    assert [row.early for row in rows].index(False) == {"mobilenet_v3_large": 6, "mobilenet_v3_small": 3}[
        name
    ]
    with torch.device("meta"):
        assert kinds(build_model(name)) == [*expected, "H", "H"]
        assert set(kinds(build_model(name, activation="hardswish"))) == {"H", "S"}
