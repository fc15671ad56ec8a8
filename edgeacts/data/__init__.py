"""Image data sets by name: `load_dataset("digits")`, `load_dataset("folder:photos")`.

A new one is its file and a line in `SOURCES`.
"""

from collections.abc import Callable
from pathlib import Path

from edgeacts.data import cifar, digits, folder, hub, idx
from edgeacts.data.dataset import Augmentation, ImageDataset, Request, Split
from edgeacts.data.splits import limit
from edgeacts.errors import UsageError
from edgeacts.names import check_name

__all__ = ["Augmentation", "ImageDataset", "Split", "dataset_names", "limit", "load_dataset"]

# What stands after a colon is the user's to fill in.
SOURCES: dict[str, Callable[[Request], ImageDataset]] = {
    "digits": digits.load,
    "fashion-mnist": idx.FASHION_MNIST.load,
    "mnist": idx.MNIST.load,
    "kmnist": idx.KMNIST.load,
    "cifar10": cifar.CIFAR10.load,
    "cifar100": cifar.CIFAR100.load,
    "folder:PATH": folder.load,
    "hub:NAME": hub.load,
}


def dataset_names() -> tuple[str, ...]:
    """The names that can be given, `folder:PATH` and `hub:NAME` among them."""
    return tuple(SOURCES)


def load_dataset(
    name: str, root: Path | None = None, *, image_size: int | None = None, seed: int = 0
) -> ImageDataset:
    """uint8 images [N, H, W, C] in three splits, resized to `image_size` (16 to 512; None: its usual size).

    Looked for in `root`, below the folder that the environment variable EDGEACTS_DATA names, and in the
    system's places.
    The same `seed` gives the same split. Raises UsageError (unknown, missing), DamagedFile, NotAvailable.
    """
    head, colon, argument = name.partition(":")
    takes_argument = {key.partition(":")[0]: key for key in SOURCES if ":" in key}
    if head in takes_argument and not argument:
        raise UsageError(f"data set {name!r} is not complete: write {takes_argument[head]}")
    key = takes_argument[head] if head in takes_argument and colon else check_name(name, SOURCES, "data set")
    if seed < 0:
        raise UsageError(f"seed is {seed}, must be 0 or more")
    request = Request(name, argument, None if root is None else Path(root).expanduser(), image_size, seed)
    return SOURCES[key](request)
