"""fashion-mnist, mnist, kmnist: four IDX files each, plain or .gz.

IDX: two zero bytes, the value type (8 = unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit number, then the values.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeacts.data.assemble import Part, Policy, assemble
from edgeacts.data.bounded import open_plain_or_gzip
from edgeacts.data.dataset import ImageDataset, Request
from edgeacts.data.places import file_names, find
from edgeacts.errors import DamagedFile

MAX_IDX_BYTES = 512 * 2**20
CARVE = {"validation": 0.1}
_UNSIGNED_BYTE = 8
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class IdxSource:
    """One data set in IDX files; `folders` are the names its folder usually has."""

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    cure: str
    horizontal_flip: bool = False

    def load(self, request: Request) -> ImageDataset:
        """28x28 grey images; validation is 10 % of the training part, stratified by seed."""
        folder, files = find(
            request.name, request.root, self.folders, self._look, ", ".join(_FILES), self.cure
        )
        parts = {}
        for name, (images_name, labels_name) in {"train": _FILES[:2], "test": _FILES[2:]}.items():
            images = read_idx(folder / files[images_name], 3)
            labels = read_idx(folder / files[labels_name], 1)
            where = f"{folder / files[labels_name]}"
            parts[name] = Part(images[..., None], labels.astype(np.int64), where)
        policy = Policy(channels=1, image_size=28, horizontal_flip=self.horizontal_flip, max_shift=2)
        return assemble(request, policy, self.classes, parts, str(folder), carve=CARVE)

    def _look(self, folder: Path) -> tuple[Path, dict[str, str]] | None:
        """The folder and what its files are called, or None if it has none or belongs to another set."""
        others = {
            Path(name).parts[0].lower() for source in SOURCES if source is not self for name in source.folders
        }
        if folder.name.lower() in others or folder.parent.name.lower() in others:
            return None  # all these sets use the same file names
        present = file_names(folder)
        files = {name: spelling for name in _FILES for spelling in _spellings(name) if spelling in present}
        absent = [name for name in _FILES if name not in files]
        if files and absent:
            raise DamagedFile(
                f"{folder} is incomplete: it has no {', '.join(absent)} (nor the same with .gz)"
            )
        return (folder, files) if files else None


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """uint8 array of an IDX file with so many dimensions. Raises UsageError (unreadable) or DamagedFile."""
    with open_plain_or_gzip(path) as stream:
        header = stream.read(4)
        if header != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
            expected = bytes((0, 0, _UNSIGNED_BYTE, dimensions)).hex()
            raise DamagedFile(
                f"{path} is not the IDX file it should be: it begins with {header.hex()}, not {expected}"
            )
        sizes = np.frombuffer(
            _read_exactly(stream.read(4 * dimensions), 4 * dimensions, path), ">u4"
        ).tolist()
        size_bytes = math.prod(sizes)
        if not 0 < size_bytes <= MAX_IDX_BYTES:
            shape = "x".join(map(str, sizes))
            raise DamagedFile(f"{path} says it holds {shape} bytes: expected 1 to {MAX_IDX_BYTES:,}")
        values = _read_exactly(stream.read(size_bytes), size_bytes, path)
        if stream.read(1):
            raise DamagedFile(f"{path} has more data than the {size_bytes:,} bytes its header tells of")
    return np.frombuffer(values, np.uint8).reshape(sizes)


def _read_exactly(data: bytes, size_bytes: int, path: Path) -> bytes:
    if len(data) != size_bytes:
        raise DamagedFile(
            f"{path} is truncated: {size_bytes:,} bytes should follow, {len(data):,} do; get it again"
        )
    return data


def _spellings(name: str) -> tuple[str, ...]:
    """The last one present is used: plain before .gz."""
    dotted = name.replace("-idx", ".idx")
    return (f"{dotted}.gz", f"{name}.gz", dotted, name)


_DIGITS = tuple(str(digit) for digit in range(10))

FASHION_MNIST = IdxSource(
    folders=("fashion-mnist", "FashionMNIST/raw", "fashion_mnist"),
    classes=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    cure="get them with `apt-get install dataset-fashion-mnist`",
    horizontal_flip=True,
)  # fmt: skip
MNIST = IdxSource(
    folders=("mnist", "MNIST/raw"),
    classes=_DIGITS,
    cure="get these four files (with .gz) from https://yann.lecun.com/exdb/mnist/ or a mirror of it",
)
KMNIST = IdxSource(
    folders=("kmnist", "KMNIST/raw", "kuzushiji-mnist"),
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    cure="get these four files (with .gz) from https://codh.rois.ac.jp/kmnist/",
)
SOURCES = (FASHION_MNIST, MNIST, KMNIST)
