"""Classify images with a model exported by edgeacts, on ONNX Runtime. Complete in itself: copy it.

    python classify_onnxruntime.py MODEL.onnx IMAGE [IMAGE ...] [--top 3]

Prints path, class and probability, separated by tabs, the likeliest class of each image first.
Needs `pip install numpy pillow onnxruntime`, nothing else.
Exit code 0: done, 1: a file cannot be used, 2: wrong usage or a missing file.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps


@dataclass(frozen=True)
class Preprocessing:
    """How the model wants its images; travels in the model file as JSON."""

    channels: int  # 1 (grey) or 3 (RGB)
    height: int
    width: int
    mean: list[float]  # one a channel, of values scaled to 0..1
    std: list[float]
    resize: str  # bilinear, nearest, bicubic or lanczos


def fail(message: str, code: int = 1) -> NoReturn:
    """Leave with one line on stderr. 1: a file cannot be used; 2: wrong usage or a missing file."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def load(path: Path) -> tuple[Any, Mapping[str, str]]:
    """The onnxruntime.InferenceSession of a model file, and what the file says about itself."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        fail(f"onnxruntime cannot load {path}: {error}")
    return session, session.get_modelmeta().custom_metadata_map


def parse_metadata(metadata: Mapping[str, str], path: Path) -> tuple[list[str], Preprocessing]:
    """Class names (class i is output i) and preprocessing, as `edgeacts export` wrote them."""
    try:
        classes = [str(name) for name in json.loads(metadata["edgeacts.classes"])]
        return classes, Preprocessing(**json.loads(metadata["edgeacts.preprocessing"]))
    except KeyError as error:
        fail(f"{path} has no metadata {error}: give a model written by `edgeacts export`")
    except (TypeError, ValueError) as error:
        fail(f"{path} has damaged metadata: {error}; export it again")


def read_image(path: Path, wanted: Preprocessing) -> NDArray[np.float32]:
    """float32 [1, C, H, W] = (pixel / 255 - mean) / std of the upright image, stretched to H x W."""
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)  # a camera notes how it was held
        if image.mode.startswith("I"):  # 16 bits a pixel: to 8, rounded
            values = np.asarray(image).astype(np.int64)
            if values.min() < 0 or values.max() > 65535:
                raise ValueError(f"values from {values.min()} to {values.max()}, expected 0 to 65535")
            image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        if image.mode == "F":
            raise ValueError("floating-point values have no known range")
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")  # the alpha goes next, the colours behind it stay
        image = image.convert("L" if wanted.channels == 1 else "RGB")
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        fail(f"{path} cannot be used as an image: {error}")
    image = image.resize((wanted.width, wanted.height), Image.Resampling[wanted.resize.upper()])
    shape = (wanted.height, wanted.width, wanted.channels)
    scaled = np.asarray(image, np.float32).reshape(shape) / np.float32(255)  # float32 all the way
    pixels = (scaled - np.array(wanted.mean, np.float32)) / np.array(wanted.std, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify images with a model exported by edgeacts.")
    parser.add_argument("model", type=Path, help="model.onnx, or its twin model.inlined.onnx")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="anything Pillow reads")
    parser.add_argument("--top", type=int, default=3, help="classes to print for each image (default 3)")
    args = parser.parse_args()
    if args.top < 1:
        parser.error(f"--top is {args.top}, must be at least 1")
    for path in (args.model, *args.images):
        if not path.is_file():
            fail(f"there is no file {path}", code=2)

    session, metadata = load(args.model)
    classes, preprocessing = parse_metadata(metadata, args.model)
    for path in args.images:
        logits = session.run(["logits"], {"image": read_image(path, preprocessing)})[0][0].astype(np.float64)
        powers = np.exp(logits - logits.max())  # softmax; the largest power is 1, so none overflows
        probabilities = powers / powers.sum()
        for index in np.argsort(-probabilities, kind="stable")[: args.top]:
            print(path, classes[index], f"{probabilities[index]:.6f}", sep="\t")


if __name__ == "__main__":
    main()
