"""From what a source holds to an `ImageDataset`: check labels, resize, split, take mean and std."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeacts.data.dataset import Augmentation, ImageDataset, Images, Labels, Request, Split
from edgeacts.data.splits import stratified_split
from edgeacts.errors import DamagedFile, UsageError
from edgeacts.preprocessing import Image, Preprocessing

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 16, 512
MAX_DATASET_BYTES = 8 * 2**30
_CHUNK = 1024


@dataclass(frozen=True)
class Part:
    """Images of any size (uint8 [N, H, W, C] or a lazy sequence), labels int64 [N]; `where` for errors."""

    images: Sequence[Image] | NDArray[Any]
    labels: Labels
    where: str


@dataclass(frozen=True)
class Policy:
    """How a source is prepared: channels, usual size in pixels, flip, and shift in pixels at that size."""

    channels: int
    image_size: int
    horizontal_flip: bool
    max_shift: int


def assemble(
    request: Request,
    policy: Policy,
    classes: tuple[str, ...],
    parts: Mapping[str, Part],
    source: str,
    *,
    carve: Mapping[str, float],
) -> ImageDataset:
    """The data set of `parts` (`train` and, where the source has them, `validation` and `test`).

    What the source lacks is carved from the training part by the fractions in `carve`, stratified by the
    request's seed. Raises UsageError (image size, one class, too few images) or DamagedFile (labels).
    """
    if len(classes) < 2:
        raise UsageError(
            f"{request.name} has one class only, {', '.join(classes)!r}: at least two are needed"
        )
    for part in parts.values():
        _check_labels(part, classes)
    size = chosen_image_size(request, policy)
    total = sum(len(part.labels) for part in parts.values())
    _check_memory(request.name, total, size, policy.channels)
    unit = Preprocessing(
        channels=policy.channels,
        height=size,
        width=size,
        mean=(0.0,) * policy.channels,
        std=(1.0,) * policy.channels,
    )
    splits = {name: Split(unit.resize_images(part.images), part.labels) for name, part in parts.items()}
    splits |= _carved(
        splits["train"], [name for name in carve if name not in splits], carve, classes, request.seed
    )
    mean, std = mean_and_std(splits["train"].images, parts["train"].where)
    return ImageDataset(
        name=request.name,
        classes=classes,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        source=source,
        preprocessing=msgspec.structs.replace(unit, mean=mean, std=std),
        augmentation=Augmentation(policy.horizontal_flip, round(policy.max_shift * size / policy.image_size)),
    )


def chosen_image_size(request: Request, policy: Policy) -> int:
    """Height and width in pixels: as asked, or the source's usual one. Raises UsageError."""
    size = policy.image_size if request.image_size is None else request.image_size
    if not MIN_IMAGE_SIZE <= size <= MAX_IMAGE_SIZE:
        raise UsageError(
            f"image size {size} is out of range: {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE} pixels are possible"
        )
    return size


def mean_and_std(images: Images, where: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std a channel of uint8 [N, H, W, C] scaled to 0..1; the std of a constant channel is 1.

    Sums are exact integers: the order of the images does not matter. Raises DamagedFile when all pixels are
    alike.
    """
    levels = np.arange(256, dtype=np.int64)
    mean, std = [], []
    for channel in range(images.shape[3]):
        counts = np.zeros(256, np.int64)
        for start in range(0, len(images), _CHUNK):
            counts += np.bincount(images[start : start + _CHUNK, ..., channel].ravel(), minlength=256)
        number, first, second = (int((counts * levels**power).sum()) for power in range(3))
        variance = (number * second - first * first) / number**2
        mean.append(first / number / 255)
        std.append(variance**0.5 / 255 if variance > 0 else 1.0)
    if std == [1.0] * len(std):
        raise DamagedFile(
            f"{where}: all pixels of all training images are alike, nothing can be learnt from them"
        )
    return tuple(mean), tuple(std)


def _check_labels(part: Part, classes: tuple[str, ...]) -> None:
    if len(part.images) != len(part.labels):
        raise DamagedFile(f"{part.where} has {len(part.images)} images but {len(part.labels)} labels")
    outside = part.labels[(part.labels < 0) | (part.labels >= len(classes))]
    if len(outside):
        raise DamagedFile(f"{part.where} has label {outside[0]}, labels must be 0 to {len(classes) - 1}")
    absent = sorted(set(range(len(classes))) - set(np.unique(part.labels).tolist()))
    if absent:
        names = ", ".join(repr(classes[label]) for label in absent[:5]) + (
            " and others" if len(absent) > 5 else ""
        )
        raise DamagedFile(f"{part.where} has no image of class {names}: each class needs at least one")


def _check_memory(name: str, count: int, size: int, channels: int) -> None:
    needed = count * size * size * channels
    if needed > MAX_DATASET_BYTES:
        fits = int((MAX_DATASET_BYTES / (count * channels)) ** 0.5)
        raise UsageError(
            f"{name}: {count:,} images of {size}x{size} need {needed / 2**30:.1f} GiB of memory, more than "
            f"the {MAX_DATASET_BYTES // 2**30} allowed: give an image size of at most {fits}"
        )


def _carved(
    train: Split, missing: Sequence[str], carve: Mapping[str, float], classes: Sequence[str], seed: int
) -> dict[str, Split]:
    if not missing:
        return {}
    indices = stratified_split(train.labels, [carve[name] for name in missing], classes, seed)
    return {name: train.take(part) for name, part in zip(("train", *missing), indices, strict=True)}
