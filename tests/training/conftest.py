"""A data set of tiny images that a network can learn, and settings under which a run takes a second."""

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest
from torch import nn

from edgeacts import models
from edgeacts.data import Augmentation, ImageDataset, Split
from edgeacts.preprocessing import Preprocessing
from edgeacts.training import TrainSettings

SIDE = 16


def bars(count: int, seed: int) -> Split:
    """Noise with a bright horizontal (0), vertical (1) or both (2) bar."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, SIDE, SIDE, 1)).astype(np.uint8)
    labels = rng.integers(0, 3, count)
    places = rng.integers(3, SIDE - 3, (count, 2))
    for image, label, (row, column) in zip(images, labels, places, strict=True):
        if label != 1:
            image[row - 1 : row + 1] = 255
        if label != 0:
            image[:, column - 1 : column + 1] = 255
    return Split(images, labels.astype(np.int64))


@pytest.fixture(scope="session")
def dataset() -> ImageDataset:
    return ImageDataset(
        name="bars",
        classes=("horizontal", "vertical", "both"),
        train=bars(32, 0),
        validation=bars(20, 1),
        test=bars(30, 2),
        source="made by the tests",
        preprocessing=Preprocessing(channels=1, height=SIDE, width=SIDE, mean=(0.3,), std=(0.3,)),
        augmentation=Augmentation(horizontal_flip=True, max_shift=1),
    )


class Tiny(nn.Sequential):
    """Convolution, batch norm, activation, dropout, linear: all kinds of state that a step changes."""

    def __init__(self, activation: Callable[[int], nn.Module], in_channels: int, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            activation(8),
            nn.Conv2d(8, 8, 3, 2, 1, groups=8),
            activation(8),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(32, num_classes),
        )


@pytest.fixture(scope="session", autouse=True)
def tiny() -> Iterator[None]:
    """Makes "tiny" a model that can be trained and loaded, in milliseconds."""

    def build(
        activation: Callable[[int], nn.Module],
        *,
        width: float,
        num_classes: int,
        in_channels: int,
        small_images: bool,
    ) -> nn.Module:
        return Tiny(activation, in_channels, num_classes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models._BY_NAME, "tiny", models.Network("tiny", build, "relu", None))
        yield


@pytest.fixture(scope="session")
def settings(real_settings: Callable[..., TrainSettings]) -> Callable[..., TrainSettings]:
    """Settings of three epochs of four steps for the tiny model; keywords change them."""
    return lambda **changes: real_settings(**{"model": "tiny", "width": 1.0, **changes})


@pytest.fixture(scope="session")
def real_settings() -> Callable[..., TrainSettings]:
    """The same for the smallest model of the catalogue that has dropout."""
    base = TrainSettings(
        model="mobilenet_v2",
        width=0.1,
        activation="relu6",
        data="bars",
        epochs=3,
        batch_size=8,
        threads=1,
        accelerator="cpu",
        checkpoint_every_s=1e6,
    )
    return lambda **changes: msgspec.structs.replace(base, **changes)
