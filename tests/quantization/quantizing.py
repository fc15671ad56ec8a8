"""Networks small enough to be quantized in a test, with images that they were trained for."""

import functools
from pathlib import Path

import numpy as np
import onnx
import torch
from small_networks import SIDE, Net, digit_images, trained

from edgeacts.exporters import to_onnx
from edgeacts.quantization.calibrating import Calibration, calibrate
from edgeacts.quantization.settings import QuantizeSettings

FAST = QuantizeSettings(ranges="mse", sensitivity=False, bias_correction=False)
COUNT = 64


@functools.cache
def images(start: int = 0, count: int = COUNT) -> np.ndarray:
    """float32 [count, 3, 12, 12]."""
    return digit_images(slice(start, start + count))[0]


@functools.cache
def exported(activation: str, folder: Path) -> Path:
    """A network that has learnt to read digits, exported with its activation as a function."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = trained(Net(activation, classes=10), steps=150)
    torch.set_num_threads(threads)
    path = folder / f"{activation}.onnx"
    to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), path, input_names=["image"], output_names=["logits"])
    return path


@functools.cache
def calibrated(path: Path) -> tuple[onnx.ModelProto, Calibration]:
    """The float model and what 64 images say about it."""
    model = onnx.load(path)
    return model, calibrate(model, images())


def kinds(model: onnx.ModelProto) -> list[str]:
    """Operators of the main graph, in order."""
    return [node.op_type for node in model.graph.node]
