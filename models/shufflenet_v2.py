"""ShuffleNetV2: [N, C, H, W] -> [N, classes], at widths 0.5, 1, 1.5 and 2. Ma et al. 2018, arXiv:1807.11164.

Layer names and shapes are torchvision's, so its weights load as they are.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# Table 5 of the paper: blocks of stages 2, 3, 4, and per width the channels of stages 2, 3, 4 and of conv5.
REPEATS = (4, 8, 4)
FIRST_CHANNELS = 24
CHANNELS: dict[float, tuple[int, int, int, int]] = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
WIDTHS = tuple(CHANNELS)
MINIMUM_SIZE = 1  # every stride-2 layer is padded, so no image is too small


def interleave_halves(x: Tensor) -> Tensor:
    """Channels a0 a1 .. b0 b1 .. -> a0 b0 a1 b1 ..: the channel shuffle for two groups, for any batch."""
    channels, height, width = x.shape[1:]
    # -1 stands for the batch: taken from x.shape it would be baked into some exported models.
    pairs = x.reshape(-1, 2, channels // 2, height, width).transpose(1, 2)
    return pairs.reshape(-1, channels, height, width)


def _conv_norm(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)]


def _depthwise_norm(channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
    ]


class ShuffleBlock(nn.Module):
    """shuffle(concat(branch1(a), branch2(b))): at stride 1 a and b are x halved, and branch1 is empty."""

    def __init__(
        self, channels_in: int, channels_out: int, activation: Callable[[int], nn.Module], *, stride: int
    ) -> None:
        super().__init__()
        half = channels_out // 2
        self.splits = stride == 1
        self.branch1 = nn.Sequential()
        if not self.splits:
            self.branch1 = nn.Sequential(
                *_depthwise_norm(channels_in, stride), *_conv_norm(channels_in, half), activation(half)
            )
        self.branch2 = nn.Sequential(
            *_conv_norm(half if self.splits else channels_in, half),
            activation(half),
            *_depthwise_norm(half, stride),
            *_conv_norm(half, half),
            activation(half),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels_in, H, W] -> [N, channels_out, H/stride, W/stride], rounded up."""
        a, b = x.chunk(2, dim=1) if self.splits else (x, x)
        return interleave_halves(torch.cat((self.branch1(a), self.branch2(b)), dim=1))


class ShuffleNetV2(nn.Module):
    """[N, in_channels, H, W] -> [N, num_classes]; ends at H/32, W/32, with `small_images` at H/16, W/16."""

    def __init__(
        self,
        activation: Callable[[int], nn.Module],
        *,
        width: float,
        num_classes: int,
        in_channels: int,
        small_images: bool,
    ) -> None:
        super().__init__()
        self.minimum_size = MINIMUM_SIZE
        *stages, last = CHANNELS[width]
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, FIRST_CHANNELS, 3, 2, 1, bias=False),
            nn.BatchNorm2d(FIRST_CHANNELS),
            activation(FIRST_CHANNELS),
        )
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        self.stage2 = _stage(FIRST_CHANNELS, stages[0], REPEATS[0], activation)
        self.stage3 = _stage(stages[0], stages[1], REPEATS[1], activation)
        self.stage4 = _stage(stages[1], stages[2], REPEATS[2], activation)
        self.conv5 = nn.Sequential(*_conv_norm(stages[2], last), activation(last))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> logits [N, num_classes]."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def _stage(
    channels_in: int, channels_out: int, repeats: int, activation: Callable[[int], nn.Module]
) -> nn.Sequential:
    first = ShuffleBlock(channels_in, channels_out, activation, stride=2)
    others = [ShuffleBlock(channels_out, channels_out, activation, stride=1) for _ in range(repeats - 1)]
    return nn.Sequential(first, *others)


def shufflenet_v2(
    activation: Callable[[int], nn.Module],
    *,
    width: float,
    num_classes: int,
    in_channels: int,
    small_images: bool,
) -> nn.Module:
    """ShuffleNetV2 at one of `WIDTHS`; for small images without the max-pool behind the first convolution."""
    return ShuffleNetV2(
        activation,
        width=width,
        num_classes=num_classes,
        in_channels=in_channels,
        small_images=small_images,
    )
