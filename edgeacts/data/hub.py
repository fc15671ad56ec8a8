"""hub:NAME: an image classification data set of the Hugging Face hub, through the `datasets` library."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from edgeacts.data.assemble import Part, Policy, assemble
from edgeacts.data.dataset import ImageDataset, Request
from edgeacts.errors import DamagedFile, NotAvailable, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

POLICY = Policy(channels=3, image_size=64, horizontal_flip=True, max_shift=4)
CARVE = {"validation": 0.1, "test": 0.1}
_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def load(request: Request) -> ImageDataset:
    """The first image column and the first class column; validation and test carved from train if not there.

    The data root, if given, is where the library keeps its copy.
    """
    try:
        import datasets
    except ImportError:
        raise NotAvailable(f"{request.name} needs the datasets library: pip install edgeacts[hub]") from None
    try:
        found = datasets.load_dataset(request.argument, cache_dir=str(request.root) if request.root else None)
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{request.name} cannot be loaded: {reason}; check the name, the network, or give --data-root "
            "with a copy loaded before"
        ) from None
    tables = _tables(request.name, found)
    image_column, label_column = (
        _column(request.name, tables["train"], kind) for kind in ("Image", "ClassLabel")
    )
    classes = tuple(tables["train"].features[label_column].names)
    parts = {name: _part(request, name, table, image_column, label_column) for name, table in tables.items()}
    version = getattr(datasets, "__version__", "of unknown version")
    return assemble(
        request,
        POLICY,
        classes,
        _labelled(parts),
        f"hub {request.argument} (datasets {version})",
        carve=CARVE,
    )


class ImageColumn(Sequence["PILImage"]):
    """One column of a table; an image is decoded when it is asked for."""

    def __init__(self, table: Any, column: str, order: Sequence[int], where: str) -> None:
        self._table, self._column, self._order, self._where = table, column, order, where

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> "PILImage": ...
    @overload
    def __getitem__(self, index: slice) -> "ImageColumn": ...
    def __getitem__(self, index: int | slice) -> "PILImage | ImageColumn":
        if isinstance(index, slice):
            return ImageColumn(self._table, self._column, self._order[index], self._where)
        row = int(self._order[index])
        try:
            image: PILImage | None = self._table[row][self._column]
        except Exception as error:  # decoders raise nearly anything on damaged images
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DamagedFile(f"{self._where}: image {row} cannot be read: {reason}") from None
        if image is None:
            raise DamagedFile(f"{self._where}: row {row} has no image")
        return image


def _tables(name: str, found: Any) -> dict[str, Any]:
    """The table of each split that is there."""
    if not isinstance(found, Mapping):
        raise UsageError(f"{name} has no splits: a data set with at least a train split is needed")
    tables = {
        split: next(found[spelling] for spelling in spellings if spelling in found)
        for split, spellings in _SPLITS.items()
        if any(spelling in found for spelling in spellings)
    }
    if "train" not in tables:
        raise UsageError(f"{name} has no train split, only {', '.join(map(str, found)) or 'nothing'}")
    return tables


def _column(name: str, table: Any, kind: str) -> str:
    """The first column whose feature is of the library's class `kind`."""
    for column, feature in table.features.items():
        if type(feature).__name__ == kind:
            return str(column)
    kinds = ", ".join(f"{column} ({type(feature).__name__})" for column, feature in table.features.items())
    raise UsageError(f"{name} has no {kind} column, only {kinds}: an image classification data set is needed")


def _part(request: Request, name: str, table: Any, image_column: str, label_column: str) -> Part:
    where = f"{request.name} {name}"
    labels: Iterable[int | None] = table[label_column]
    known = np.array([-1 if label is None else label for label in labels], np.int64)
    order = np.random.default_rng((request.seed, list(_SPLITS).index(name))).permutation(len(known))
    return Part(ImageColumn(table, image_column, order.tolist(), where), known[order], where)


def _labelled(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Without the splits, other than train, whose labels are all withheld (-1)."""
    return {name: part for name, part in parts.items() if name == "train" or (part.labels != -1).any()}
