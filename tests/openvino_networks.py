"""A small trained network with a depthwise convolution, exported, and times that nobody measured."""

from collections.abc import Mapping
from pathlib import Path

import torch
from small_networks import SIDE, digit_images, trained
from torch import nn

from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.modules import activation_factory
from edgeacts.quantization.openvino_judging import Timing
from edgeacts.records import Timed


class Separable(nn.Sequential):
    """Convolution, depthwise and pointwise convolution, each with batch norm and activation; ten classes of 3 x 12 x 12 pixels."""

    def __init__(self, activation: str) -> None:
        make = activation_factory(activation)
        super().__init__(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), make(16),
            nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16), make(16),
            nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), make(32),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip


def export(activation: str, path: Path) -> Path:
    """A trained Separable as a portable file for any batch."""
    torch.set_num_threads(1)
    to_onnx(
        trained(Separable(activation)),
        torch.zeros(2, 3, SIDE, SIDE),
        path,
        input_names=["image"],
        output_names=["logits"],
        metadata={"edgeacts.classes": '["0"]'},
    )
    return path


IMAGES, LABELS = digit_images(slice(0, 64))
JUDGES, ANSWERS = digit_images(slice(1500, 1650))


def times(**ratios: float) -> Timing:
    """By what a variant's name begins or ends with, `_` for a space or hyphen; others take 0.9 of the float model's time."""

    def timing(files: Mapping[str, Path]) -> dict[str, Timed]:
        assert "float" in files
        return {name: _timed(name, ratios) for name in files if name != "float"}

    return timing


def _timed(name: str, ratios: Mapping[str, float]) -> Timed:
    key = name.replace(", ", "_").replace("-", "_").replace(" ", "_").replace(".", "_")
    ratio = ratios.get(key, ratios.get("others", 0.9))
    low, high = 0.98 * ratio, 1.02 * ratio
    answer = "faster" if high < 1 else "slower" if low > 1 else "cannot tell"
    return Timed(ratio=ratio, low=low, high=high, comparison=answer, median_ms=10 * ratio)
