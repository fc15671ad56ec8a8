"""MobileNetV3, small and large: [N, C, H, W] -> [N, classes], at any width. Howard et al. 2019, arXiv:1905.02244.

Layer names and shapes are torchvision's, so its weights load as they are.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from edgeacts.models.mobilenet_v2 import MINIMUM_SIZE, ConvNormActivation, divisible_channels
from edgeacts.modules import activation_factory

Factory = Callable[[int], nn.Module]


class Row(NamedTuple):
    """A line of the paper's tables 1 and 2; `early` where they write RE instead of HS."""

    kernel: int
    hidden: int
    channels: int
    squeeze: bool
    early: bool
    stride: int


LARGE = (
    Row(3, 16, 16, False, True, 1),
    Row(3, 64, 24, False, True, 2),
    Row(3, 72, 24, False, True, 1),
    Row(5, 72, 40, True, True, 2),
    Row(5, 120, 40, True, True, 1),
    Row(5, 120, 40, True, True, 1),
    Row(3, 240, 80, False, False, 2),
    Row(3, 200, 80, False, False, 1),
    Row(3, 184, 80, False, False, 1),
    Row(3, 184, 80, False, False, 1),
    Row(3, 480, 112, True, False, 1),
    Row(3, 672, 112, True, False, 1),
    Row(5, 672, 160, True, False, 2),
    Row(5, 960, 160, True, False, 1),
    Row(5, 960, 160, True, False, 1),
)
SMALL = (
    Row(3, 16, 16, True, True, 2),
    Row(3, 72, 24, False, True, 2),
    Row(3, 88, 24, False, True, 1),
    Row(5, 96, 40, True, False, 2),
    Row(5, 240, 40, True, False, 1),
    Row(5, 240, 40, True, False, 1),
    Row(5, 120, 48, True, False, 1),
    Row(5, 144, 48, True, False, 1),
    Row(5, 288, 96, True, False, 2),
    Row(5, 576, 96, True, False, 1),
    Row(5, 576, 96, True, False, 1),
)
FIRST_CHANNELS = 16
LAST_CHANNELS = {LARGE: 1280, SMALL: 1024}
_LAST_EXPANSION, _SQUEEZE = 6, 4
_NORM = {"eps": 1e-3, "momentum": 0.01}  # section 6.1: the moving average keeps 0.99


class SqueezeExcitation(nn.Module):
    """x · hardsigmoid(fc2(activation(fc1(mean of x)))): a gate per channel, from 0 to 1."""

    def __init__(self, channels: int, activation: Factory) -> None:
        super().__init__()
        squeezed = divisible_channels(channels // _SQUEEZE)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation(squeezed)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        gate: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return gate * x


class Bottleneck(nn.Module):
    """x + project(gate(depthwise(expand(x)))), without the x + where the stride or the channels change."""

    def __init__(
        self, channels_in: int, row: Row, width: float, activation: Factory, squeeze: Factory
    ) -> None:
        super().__init__()
        hidden, channels_out = (divisible_channels(c * width) for c in (row.hidden, row.channels))
        layers: list[nn.Module] = []
        if hidden != channels_in:
            layers.append(ConvNormActivation(channels_in, hidden, activation, kernel=1))
        layers.append(
            ConvNormActivation(
                hidden, hidden, activation, kernel=row.kernel, stride=row.stride, groups=hidden
            )
        )
        if row.squeeze:
            layers.append(SqueezeExcitation(hidden, squeeze))
        layers.append(ConvNormActivation(hidden, channels_out, None, kernel=1))
        self.block = nn.Sequential(*layers)
        self.has_shortcut = row.stride == 1 and channels_in == channels_out
        self.channels_out = channels_out

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels_in, H, W] -> [N, channels_out, H/stride, W/stride], rounded up."""
        y: Tensor = self.block(x)
        return x + y if self.has_shortcut else y


class MobileNetV3(nn.Module):
    """[N, in_channels, H, W] -> [N, num_classes]; ends at H/32, W/32, with `small_images` at H/16, W/16.

    `early` is what the first rows of the paper's tables and every squeeze-and-excitation have, `late` all else.
    """

    def __init__(
        self,
        rows: tuple[Row, ...],
        early: Factory,
        late: Factory,
        *,
        width: float,
        num_classes: int,
        in_channels: int,
        small_images: bool,
    ) -> None:
        super().__init__()
        self.minimum_size = MINIMUM_SIZE
        channels = divisible_channels(FIRST_CHANNELS * width)
        layers: list[nn.Module] = [
            ConvNormActivation(in_channels, channels, late, stride=1 if small_images else 2)
        ]
        for row in rows:
            layers.append(Bottleneck(channels, row, width, early if row.early else late, early))
            channels = divisible_channels(row.channels * width)
        hidden, last = _LAST_EXPANSION * channels, divisible_channels(LAST_CHANNELS[rows] * width)
        layers.append(ConvNormActivation(channels, hidden, late, kernel=1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(hidden, last), late(last), nn.Dropout(0.2), nn.Linear(last, num_classes)
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = _NORM["eps"], _NORM["momentum"]
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> logits [N, num_classes]."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits


def _builder(rows: tuple[Row, ...], early: str | None = None) -> Callable[..., nn.Module]:
    """Of a network with one activation everywhere but in the gates, or with `early` where the paper writes RE."""

    def build(
        activation: Factory, *, width: float, num_classes: int, in_channels: int, small_images: bool
    ) -> nn.Module:
        first = activation if early is None else activation_factory(early)
        return MobileNetV3(
            rows, first, activation, width=width, num_classes=num_classes, in_channels=in_channels,
            small_images=small_images,
        )  # fmt: skip

    return build


mobilenet_v3_large, mobilenet_v3_small = _builder(LARGE), _builder(SMALL)
# As published: ReLU in the early rows and inside the gates, the given activation (HardSwish) in the others.
papers_large, papers_small = _builder(LARGE, "relu"), _builder(SMALL, "relu")
