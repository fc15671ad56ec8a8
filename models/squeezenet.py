"""SqueezeNet 1.0 and 1.1: [N, C, H, W] -> [N, classes]. Iandola et al. 2016, arXiv:1602.07360.

1.1 is the authors' later revision (2.4 times less work). Layer names and shapes are torchvision's, so its
weights load as they are. As in the paper the classifier has an activation behind its convolution: with ReLU
no logit is negative.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgeacts.errors import UsageError


class Row(NamedTuple):
    """The first convolution (channels, kernel), then fire modules by squeeze channels; "pool" halves."""

    channels: int
    kernel: int
    layers: tuple[int | str, ...]


# Table 1 of the paper. A fire module that squeezes to s channels gives 4s + 4s.
ROWS = {
    "1.0": Row(96, 7, ("pool", 16, 16, 32, "pool", 32, 48, 48, 64, "pool", 64)),
    "1.1": Row(64, 3, ("pool", 16, 16, "pool", 32, 32, "pool", 48, 48, 64, 64)),
}
WIDTHS = (1.0,)
EXPAND = 4
MINIMUM_POOLED_SIZE = 8  # three poolings without padding halve it to 1


class Fire(nn.Module):
    """concat(activation(1x1(s)), activation(3x3(s))) with s = activation(squeeze(x)): 8 squeeze channels."""

    def __init__(self, channels_in: int, squeeze: int, activation: Callable[[int], nn.Module]) -> None:
        super().__init__()
        expand = EXPAND * squeeze
        self.squeeze = nn.Conv2d(channels_in, squeeze, 1)
        self.squeeze_activation = activation(squeeze)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = activation(expand)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = activation(expand)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels_in, H, W] -> [N, 8 * squeeze, H, W]."""
        x = self.squeeze_activation(self.squeeze(x))
        narrow = self.expand1x1_activation(self.expand1x1(x))
        wide = self.expand3x3_activation(self.expand3x3(x))
        return torch.cat((narrow, wide), dim=1)


class SqueezeNet(nn.Module):
    """[N, in_channels, H, W] -> [N, num_classes]; ends at H/16, W/16, with `small_images` at H/8, W/8."""

    def __init__(
        self,
        row: Row,
        activation: Callable[[int], nn.Module],
        *,
        num_classes: int,
        in_channels: int,
        small_images: bool,
    ) -> None:
        super().__init__()
        channels = row.channels
        stride, padding = (1, row.kernel // 2) if small_images else (2, 0)
        self.minimum_size = (MINIMUM_POOLED_SIZE - 1) * stride + row.kernel - 2 * padding
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, channels, row.kernel, stride, padding),
            activation(channels),
        ]
        for layer in row.layers:
            if isinstance(layer, str):
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            else:
                layers.append(Fire(channels, layer, activation))
                channels = 2 * EXPAND * layer
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(channels, num_classes, 1)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), last, activation(num_classes), nn.AdaptiveAvgPool2d(1)
        )
        self._initialise(last)

    def _initialise(self, last: nn.Conv2d) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(last.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> logits [N, num_classes]. Raises UsageError below `minimum_size`."""
        height, width = x.shape[2:]
        least = self.minimum_size
        if height < least or width < least:
            other = "" if least == MINIMUM_POOLED_SIZE else ", or build it with small_images=True"
            raise UsageError(
                f"images of {height}x{width} pixels are too small for this SqueezeNet: "
                f"give at least {least}x{least}{other}"
            )
        logits: Tensor = self.classifier(self.features(x))
        return logits.flatten(1)


def squeezenet1_0(
    activation: Callable[[int], nn.Module],
    *,
    width: float,
    num_classes: int,
    in_channels: int,
    small_images: bool,
) -> nn.Module:
    """SqueezeNet 1.0, the network of the paper."""
    return SqueezeNet(
        ROWS["1.0"],
        activation,
        num_classes=num_classes,
        in_channels=in_channels,
        small_images=small_images,
    )


def squeezenet1_1(
    activation: Callable[[int], nn.Module],
    *,
    width: float,
    num_classes: int,
    in_channels: int,
    small_images: bool,
) -> nn.Module:
    """SqueezeNet 1.1: a 3x3 stem and earlier poolings."""
    return SqueezeNet(
        ROWS["1.1"],
        activation,
        num_classes=num_classes,
        in_channels=in_channels,
        small_images=small_images,
    )
