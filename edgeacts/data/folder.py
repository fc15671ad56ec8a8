"""folder:PATH: a folder per class with image files of any size and mode."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from edgeacts.data.assemble import Part, Policy, assemble
from edgeacts.data.dataset import ImageDataset, Request
from edgeacts.errors import DamagedFile, NotAvailable, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

POLICY = Policy(channels=3, image_size=64, horizontal_flip=True, max_shift=4)
CARVE = {"validation": 0.1, "test": 0.1}
MAX_PIXELS = 80_000_000
MAX_FILE_BYTES = 256 * 2**20
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# Named, so that a file is never handed to a decoder that starts other programs (EPS does).
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_SPLITS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


def load(request: Request) -> ImageDataset:
    """PATH/CLASS/images, split 80/10/10 % stratified by seed; or PATH/train, /val, /test with classes below.

    Of val and test, what is not there is carved from train. Classes are in the order of their names, images
    shuffled by seed. A PATH that is not absolute starts at the data root, if one is given.
    """
    path = (request.root or Path()) / Path(request.argument).expanduser()
    if not path.is_dir():
        raise UsageError(
            f"folder {path} does not exist: give folder:PATH, where PATH has a folder for each class"
        )
    folders = _split_folders(path)
    classes = tuple(child.name for child in _subfolders(folders["train"]))
    _check_classes(path, folders, classes)
    parts = {
        name: _part(folder, classes, np.random.default_rng((request.seed, number)))
        for number, (name, folder) in enumerate(folders.items())
    }
    return assemble(request, POLICY, classes, parts, str(path), carve=CARVE)


class ImageFiles(Sequence["PILImage"]):
    """Image files, decoded one at a time when asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> "PILImage": ...
    @overload
    def __getitem__(self, index: slice) -> "ImageFiles": ...
    def __getitem__(self, index: int | slice) -> "PILImage | ImageFiles":
        return ImageFiles(self._paths[index]) if isinstance(index, slice) else open_image(self._paths[index])


def open_image(path: Path) -> "PILImage":
    """The decoded first frame. Raises DamagedFile that names the file: too large, unreadable, no image."""
    try:
        from PIL import Image
    except ImportError:
        raise NotAvailable("images cannot be read without Pillow: pip install pillow") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata does not matter
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise DamagedFile(f"image {path} has more than the {MAX_FILE_BYTES:,} bytes allowed")
            with path.open("rb") as file:
                image = Image.open(file, formats=_FORMATS)
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                image.load()
            image.filename = str(path)  # for errors about its mode
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DamagedFile(f"image {path} has more than the {MAX_PIXELS:,} pixels allowed") from None
        except DamagedFile:
            raise
        except Exception as error:  # decoders raise nearly anything on damaged files
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DamagedFile(f"image {path} cannot be read: {reason}; repair or remove it") from None
    return image


def _split_folders(path: Path) -> dict[str, Path]:
    """The folder of each split the source has: those below PATH, or PATH itself as `train`."""
    below = {
        split: path / name for split, names in _SPLITS.items() for name in names if (path / name).is_dir()
    }
    return below if "train" in below and len(below) > 1 else {"train": path}


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(
            child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
        )
    except OSError as error:
        raise UsageError(f"folder {folder} cannot be read: {error.strerror or error}") from None


def _check_classes(path: Path, folders: dict[str, Path], classes: tuple[str, ...]) -> None:
    if not classes:
        raise UsageError(f"folder {folders['train']} has no subfolders: it must have one for each class")
    if len(classes) == 1:
        hint = f"; did you mean folder:{path / 'train'}?" if classes == ("train",) else ""
        raise UsageError(
            f"folder {folders['train']} has one class only, {classes[0]!r}: at least two are needed{hint}"
        )
    for folder in folders.values():
        unknown = sorted({child.name for child in _subfolders(folder)} - set(classes))
        if unknown:
            raise UsageError(
                f"folder {folder} has class {unknown[0]!r}, which {folders['train']} does not have"
            )


def _part(folder: Path, classes: tuple[str, ...], rng: np.random.Generator) -> Part:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = _image_files(folder / name)
        if not files:
            raise UsageError(
                f"folder {folder / name} has no images ({', '.join(SUFFIXES)}): each class needs some"
            )
        paths += files
        labels += [label] * len(files)
    order = rng.permutation(len(paths))  # so that the first images of a split are of all classes
    return Part(ImageFiles([paths[index] for index in order]), np.array(labels, np.int64)[order], str(folder))


def _image_files(folder: Path) -> list[Path]:
    """Image files below a folder in the order of their paths; hidden ones are left out."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())
