"""Order and wiring inside the blocks, which no state_dict shows: with a wrong one weights still load."""

import pytest
import torch
from torch import Tensor, nn

from edgeacts.models.mobilenet_v2 import InvertedResidual
from edgeacts.models.shufflenet_v2 import ShuffleBlock, interleave_halves
from edgeacts.models.squeezenet import Fire


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
