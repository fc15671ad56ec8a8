"""What a data set is once loaded: three splits of uint8 images, classes, preprocessing and augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError
from edgeacts.preprocessing import Preprocessing

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What leaves the class of a training image as it is: mirroring it, shifting it by so many pixels."""

    horizontal_flip: bool
    max_shift: int


@dataclass(frozen=True, eq=False)
class Split:
    """`images` uint8 [N, H, W, C] of the preprocessing's size, `labels` int64 [N]; else UsageError."""

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4:
            raise UsageError(f"split: images are {images.dtype} {images.shape}, expected uint8 [N, H, W, C]")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise UsageError(
                f"split: labels are {labels.dtype} {labels.shape}, expected int64 [{len(images)}]"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> "Split":
        """The images and labels at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images of one size in three splits; label i is `classes[i]`; `source` says where they were found."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    source: str
    preprocessing: Preprocessing
    augmentation: Augmentation


@dataclass(frozen=True)
class Request:
    """What was asked for: `digits`, or `folder:PATH` with `argument` PATH; `root` is where to look first."""

    name: str
    argument: str = ""
    root: Path | None = None
    image_size: int | None = None
    seed: int = 0
