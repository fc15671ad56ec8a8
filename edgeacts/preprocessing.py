"""From images to the tensor a model takes; travels as JSON with the checkpoint and in the ONNX file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import DamagedFile, NotAvailable, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# The PIL half is a string: what only normalizes must not need Pillow.
Image: TypeAlias = "NDArray[Any] | PILImage"

RESAMPLING = ("bilinear", "nearest", "bicubic", "lanczos")
MAX_SIDE = 4096
MAX_JSON_CHARS = 65_536
_MIN_STD = 1e-6  # below it, float32 overflows


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """float32 [N, C, height, width] = (uint8 / 255 - mean) / std, images stretched to height x width.

    `channels` is 1 (grey) or 3 (RGB); `mean` and `std` hold one number a channel, of values scaled to 0..1.
    Raises UsageError when a field is out of its range.
    """

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "bilinear"

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise UsageError(f"preprocessing: {problem}")

    def __call__(self, images: Sequence[Image] | NDArray[Any]) -> NDArray[np.float32]:
        """float32 [N, C, H, W] of images of any size and mode: `normalize(resize_images(images))`."""
        return self.normalize(self.resize_images(images))

    def resize_images(self, images: Sequence[Image] | NDArray[Any]) -> NDArray[np.uint8]:
        """uint8 [N, height, width, channels] of a list of images, or of an array [N, H, W, C].

        An image is a PIL image of any mode, or a uint8 or uint16 array [H, W], [H, W, 1], [H, W, 3] (RGB) or
        [H, W, 4] (RGBA). RGB becomes one channel by its luma (ITU-R 601), grey becomes three by repetition,
        16 bits are scaled to 8, alpha is dropped, a camera's orientation tag is obeyed. Raises UsageError.
        """
        if isinstance(images, np.ndarray) and images.ndim != 4:
            raise UsageError(
                f"images of shape {images.shape}: expected [N, H, W, C], or a list of single images"
            )
        if not isinstance(images, np.ndarray | Sequence) or isinstance(images, str | bytes):
            raise UsageError(f"images is a {type(images).__name__}: expected a list of images")
        if len(images) == 0:
            raise UsageError("no images: the list is empty, at least one is needed")
        result = np.empty((len(images), self.height, self.width, self.channels), np.uint8)
        for index, image in enumerate(images):
            result[index] = self._resize_one(image, getattr(image, "filename", "") or f"image {index}")
        return result

    def normalize(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [N, C, H, W] = (images / 255 - mean) / std of uint8 [N, height, width, channels].

        Raises UsageError for another shape or dtype.
        """
        expected = (self.height, self.width, self.channels)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            kind = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
            raise UsageError(f"images are {kind}: expected a uint8 array (0..255)")
        if images.ndim != 4 or images.shape[1:] != expected:
            raise UsageError(
                f"images of shape {images.shape}: expected [N, {', '.join(map(str, expected))}], "
                "as resize_images returns them"
            )
        result = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
        result /= np.float32(255)
        result -= np.array(self.mean, np.float32)[:, None, None]
        result /= np.array(self.std, np.float32)[:, None, None]
        return result

    def to_json(self) -> str:
        """JSON of the fields; every float is read back as the same float."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """What `to_json` wrote. Raises DamagedFile with the reason."""
        if len(text) > MAX_JSON_CHARS:
            raise DamagedFile(
                f"preprocessing has {len(text):,} characters, more than the {MAX_JSON_CHARS:,} allowed"
            )
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise DamagedFile(f"preprocessing cannot be read: {error}") from None

    def _resize_one(self, image: Image, name: str) -> NDArray[np.uint8]:
        if isinstance(image, np.ndarray):
            if image.dtype == np.uint8 and image.shape == (self.height, self.width, self.channels):
                return image
            image = _from_array(image, name)
        upright = _to_channels(image, self.channels, name)
        if upright.size != (self.width, self.height):
            from PIL import Image as PILImageModule

            upright = upright.resize(
                (self.width, self.height), PILImageModule.Resampling[self.resize.upper()]
            )
        return np.asarray(upright).reshape(self.height, self.width, self.channels)


def _problem(fields: Preprocessing) -> str | None:
    """What is wrong with the fields, or None."""
    channels, mean, std = fields.channels, fields.mean, fields.std
    if channels not in (1, 3):
        return f"channels is {channels}, must be 1 or 3"
    for name, side in (("height", fields.height), ("width", fields.width)):
        if not 1 <= side <= MAX_SIDE:
            return f"{name} is {side}, must be 1 to {MAX_SIDE}"
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            return f"{name} has {len(values)} numbers, must have one for each of the {channels} channels"
    if not all(-1e6 <= value <= 1e6 for value in mean):
        return f"mean is {mean}, must be finite"
    if not all(math.isfinite(value) and value >= _MIN_STD for value in std):
        return f"std is {std}, must be finite and at least {_MIN_STD}"
    if fields.resize not in RESAMPLING:
        return f"resize is {fields.resize!r}, must be one of {', '.join(RESAMPLING)}"
    return None


def _from_array(image: NDArray[Any], name: str) -> PILImage:
    """A PIL image of uint8 or uint16 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]."""
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if not fits or 0 in image.shape:
        raise UsageError(
            f"{name} has shape {image.shape}: expected [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]"
        )
    if image.dtype == np.uint16:
        image = _eight_bits(image)
    if image.dtype != np.uint8:
        raise UsageError(f"{name} is {image.dtype}: expected uint8 (0..255) or uint16 (0..65535)")
    result: PILImage = _pillow().fromarray(
        np.ascontiguousarray(image[..., 0] if image.shape[2:] == (1,) else image)
    )
    return result


def _to_channels(image: PILImage, channels: int, name: str) -> PILImage:
    """A PIL image of mode L or RGB, upright."""
    pillow = _pillow()
    if not isinstance(image, pillow.Image):
        raise UsageError(f"{name} is a {type(image).__name__}: expected a numpy array or a PIL image")
    if 0 in image.size:
        raise UsageError(f"{name} has size {image.size}: expected at least one pixel")
    from PIL import ImageOps

    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = pillow.fromarray(_eight_bits(np.asarray(image)))
        if image.mode == "F":
            raise ValueError("values have no known range; convert them to uint8 first")
        if "transparency" in image.info and image.mode == "P":
            image = image.convert("RGBA")
        return image.convert("L" if channels == 1 else "RGB")
    except (ValueError, OSError) as error:
        raise UsageError(f"{name} of mode {image.mode} cannot be used: {error}") from None


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """round(v / 257): 0..65535 to 0..255."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"values run from {values.min()} to {values.max()}, expected 0 to 65535")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _pillow() -> Any:
    try:
        from PIL import Image as PILImageModule
    except ImportError:
        raise NotAvailable("images cannot be read or resized without Pillow: pip install pillow") from None
    return PILImageModule
