"""Classify images with a model exported by edgeacts, on OpenVINO. Complete in itself: copy it.

    python classify_openvino.py MODEL.xml|MODEL.inlined.onnx IMAGE [IMAGE ...] [--top 3]

Prints path, class and probability, separated by tabs, the likeliest class of each image first.
Needs `pip install numpy pillow openvino`, nothing else.
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
import openvino
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
    """The openvino.CompiledModel of a model file, and what the file says about itself."""
    core = openvino.Core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        if "edgeacts." in str(error):  # among the operators it does not know
            twin = path.with_suffix(".inlined.onnx").name
            fail(f"{path} holds functions, which OpenVINO refuses: give its inlined twin, {twin}", code=2)
        fail(f"openvino cannot read {path}: {error}")
    # OpenVINO fuses activations only where it knows all shapes, the batch included: this program gives one image a run.
    shape = model.inputs[0].partial_shape
    shape[0] = 1
    model.reshape(shape)
    # On CPUs that have bfloat16 OpenVINO computes in it unless told otherwise: faster, but with three digits
    # instead of seven, so probabilities would differ from PyTorch's. Leave it out if that is good enough.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    places = {key: ["framework", key] for key in ("edgeacts.classes", "edgeacts.preprocessing")}
    found = {key: place for key, place in places.items() if model.has_rt_info(place)}
    return compiled, {key: model.get_rt_info(place).astype(str) for key, place in found.items()}


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
    parser.add_argument(
        "model", type=Path, help="model.xml, or model.inlined.onnx: OpenVINO refuses model.onnx"
    )
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="anything Pillow reads")
    parser.add_argument("--top", type=int, default=3, help="classes to print for each image (default 3)")
    args = parser.parse_args()
    if args.top < 1:
        parser.error(f"--top is {args.top}, must be at least 1")
    for path in (args.model, *args.images):
        if not path.is_file():
            fail(f"there is no file {path}", code=2)

    compiled, metadata = load(args.model)
    classes, preprocessing = parse_metadata(metadata, args.model)
    for path in args.images:
        logits = compiled({"image": read_image(path, preprocessing)})["logits"][0].astype(np.float64)
        powers = np.exp(logits - logits.max())  # softmax; the largest power is 1, so none overflows
        probabilities = powers / powers.sum()
        for index in np.argsort(-probabilities, kind="stable")[: args.top]:
            print(path, classes[index], f"{probabilities[index]:.6f}", sep="\t")


if __name__ == "__main__":
    main()
