"""MobileNetV2: [N, C, H, W] -> [N, classes], at any width. Sandler et al. 2018, arXiv:1801.04381.

Layer names and shapes are torchvision's, so its weights load as they are.
"""

from collections.abc import Callable

from torch import Tensor, nn

# Table 2 of the paper: expansion, output channels, repeats, stride of the first repeat.
ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST_CHANNELS = 32
LAST_CHANNELS = 1280
MINIMUM_SIZE = 1  # every stride-2 layer is padded, so no image is too small


def divisible_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, but not below 90 % of it: 11.2 -> 16, not 8."""
    nearest = max(divisor, int(channels / divisor + 0.5) * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


class ConvNormActivation(nn.Sequential):
    """activation(norm(conv(x))): a convolution without bias that keeps H and W at stride 1; None: norm(conv(x))."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        activation: Callable[[int], nn.Module] | None,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels_out),
            *([] if activation is None else [activation(channels_out)]),
        )


class InvertedResidual(nn.Module):
    """x + project(depthwise(expand(x))), without the x + where the stride or the channels change."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        activation: Callable[[int], nn.Module],
        *,
        expansion: int,
        stride: int,
    ) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(ConvNormActivation(channels_in, hidden, activation, kernel=1))
        layers += [
            ConvNormActivation(hidden, hidden, activation, stride=stride, groups=hidden),
            nn.Conv2d(hidden, channels_out, 1, bias=False),  # linear: section 3.2 of the paper
            nn.BatchNorm2d(channels_out),
        ]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels_in, H, W] -> [N, channels_out, H/stride, W/stride], rounded up."""
        y: Tensor = self.conv(x)
        return x + y if self.has_shortcut else y


class MobileNetV2(nn.Module):
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
        channels = divisible_channels(FIRST_CHANNELS * width)
        # Below width 1 the paper keeps the last convolution as it is (section 6.1).
        last = divisible_channels(LAST_CHANNELS * max(1.0, width))
        first_stride = 1 if small_images else 2
        layers: list[nn.Module] = [ConvNormActivation(in_channels, channels, activation, stride=first_stride)]
        for expansion, base, repeats, row_stride in ROWS:
            row_channels = divisible_channels(base * width)
            for stride in (row_stride, *[1] * (repeats - 1)):
                block = InvertedResidual(
                    channels, row_channels, activation, expansion=expansion, stride=stride
                )
                layers.append(block)
                channels = row_channels
        layers.append(ConvNormActivation(channels, last, activation, kernel=1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> logits [N, num_classes]."""
        features = nn.functional.adaptive_avg_pool2d(self.features(x), 1)
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


def mobilenet_v2(
    activation: Callable[[int], nn.Module],
    *,
    width: float,
    num_classes: int,
    in_channels: int,
    small_images: bool,
) -> nn.Module:
    """MobileNetV2 with `width` times the paper's channels, each rounded to a multiple of 8."""
    return MobileNetV2(
        activation,
        width=width,
        num_classes=num_classes,
        in_channels=in_channels,
        small_images=small_images,
    )
