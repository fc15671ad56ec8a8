"""cifar10, cifar100: 32x32 RGB, from the official archives (binary or python version), unpacked or not.

Binary version: records of the label bytes (CIFAR-10: one; CIFAR-100: coarse, fine) and 3072 bytes, red then
green then blue. Python version: a pickled dict with `data` and `labels` (or
`fine_labels`), read by `safe_pickle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeacts.data import safe_pickle
from edgeacts.data.assemble import Part, Policy, assemble
from edgeacts.data.bounded import MAX_MEMBER_BYTES, read_tar_members
from edgeacts.data.dataset import ImageDataset, Images, Labels, Request
from edgeacts.data.places import file_names, find
from edgeacts.errors import DamagedFile
from edgeacts.files import read_bytes

POLICY = Policy(channels=3, image_size=32, horizontal_flip=True, max_shift=4)
CARVE = {"validation": 0.1}
_PIXEL_BYTES = 3 * 32 * 32


@dataclass(frozen=True)
class Edition:
    """One of the two published forms: archive, the folder it unpacks to, and its files by split."""

    archive: str
    folder: str
    files: Mapping[str, tuple[str, ...]]
    pickled: bool


@dataclass(frozen=True)
class CifarSource:
    """CIFAR-10 or CIFAR-100. `label_bytes` stand before each binary record, the last of them is the class."""

    folders: tuple[str, ...]
    editions: tuple[Edition, ...]
    classes: tuple[str, ...]
    label_bytes: int
    label_key: str

    def load(self, request: Request) -> ImageDataset:
        """32x32 RGB images; validation is 10 % of the training part, stratified by seed."""
        wanted = " or ".join(edition.archive for edition in self.editions)
        cure = "get one of them from https://www.cs.toronto.edu/~kriz/cifar.html"
        path, edition = find(request.name, request.root, self.folders, self._look, wanted, cure)
        contents = _contents(path, edition)
        parts = {}
        for split, names in edition.files.items():
            decoded = [self._decode(contents[name], edition, f"{path}: {name}") for name in names]
            images, labels = (np.concatenate(arrays) for arrays in zip(*decoded, strict=True))
            parts[split] = Part(images, labels, f"{path}: {', '.join(names)}")
        return assemble(request, POLICY, self.classes, parts, str(path), carve=CARVE)

    def _look(self, folder: Path) -> tuple[Path, Edition] | None:
        """The archive or the folder with unpacked files, and which edition it is."""
        present = file_names(folder)
        for edition in self.editions:
            if edition.archive in present:
                return folder / edition.archive, edition
            for place in (folder / edition.folder, folder):
                if "test" in edition.files["test"] and place.name != edition.folder:
                    continue  # CIFAR-100's python files are called train and test: too common a name
                if set(edition.files["test"]) <= file_names(place):
                    return place, edition
        return None

    def _decode(self, data: bytes, edition: Edition, where: str) -> tuple[Images, Labels]:
        """uint8 [N, 32, 32, 3] and int64 [N] of one file."""
        pixels, labels = (
            self._from_pickle(data, where) if edition.pickled else self._from_records(data, where)
        )
        return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype(np.int64)

    def _from_records(self, data: bytes, where: str) -> tuple[Images, Any]:
        record_bytes = self.label_bytes + _PIXEL_BYTES
        if not data or len(data) % record_bytes:
            raise DamagedFile(
                f"{where} has {len(data):,} bytes, not a multiple of the {record_bytes} of one image"
            )
        records = np.frombuffer(data, np.uint8).reshape(-1, record_bytes)
        return records[:, self.label_bytes :], records[:, self.label_bytes - 1]

    def _from_pickle(self, data: bytes, where: str) -> tuple[Images, Any]:
        content = safe_pickle.load(data, where)
        fields = {_text(key): value for key, value in content.items()} if isinstance(content, dict) else {}
        pixels, labels = fields.get("data"), fields.get(self.label_key)
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXEL_BYTES:
            raise DamagedFile(f"{where} has no array 'data' of shape [N, {_PIXEL_BYTES}]")
        if not isinstance(labels, list) or not all(
            type(label) is int and abs(label) < 2**31 for label in labels
        ):
            raise DamagedFile(f"{where} has no list {self.label_key!r} of whole numbers")
        if len(labels) != len(pixels):
            raise DamagedFile(f"{where} has {len(pixels)} images but {len(labels)} labels")
        return pixels, np.array(labels, np.int64)


def _contents(path: Path, edition: Edition) -> dict[str, bytes]:
    names = [name for group in edition.files.values() for name in group]
    if path.name == edition.archive:
        return read_tar_members(path, names)
    return {name: read_bytes(path / name, "data file", MAX_MEMBER_BYTES) for name in names}


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

CIFAR10 = CifarSource(
    folders=("cifar10", "cifar-10", "CIFAR10"),
    editions=(
        Edition(
            "cifar-10-binary.tar.gz", "cifar-10-batches-bin",
            {"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)}, pickled=False,
        ),
        Edition(
            "cifar-10-python.tar.gz", "cifar-10-batches-py",
            {"train": _BATCHES, "test": ("test_batch",)}, pickled=True,
        ),
    ),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    label_bytes=1,
    label_key="labels",
)  # fmt: skip
_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100 = CifarSource(
    folders=("cifar100", "cifar-100", "CIFAR100"),
    editions=(
        Edition(
            "cifar-100-binary.tar.gz",
            "cifar-100-binary",
            {"train": ("train.bin",), "test": ("test.bin",)},
            False,
        ),
        Edition(
            "cifar-100-python.tar.gz", "cifar-100-python", {"train": ("train",), "test": ("test",)}, True
        ),
    ),
    classes=tuple(_CIFAR100_CLASSES.split()),
    label_bytes=2,
    label_key="fine_labels",
)
