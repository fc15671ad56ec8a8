"""Networks small enough to be quantized in a test, with images that they were trained for."""

import functools
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import torch
from small_networks import SIDE, Net, digit_images, trained

from edgeacts.activations import activation as find_activation
from edgeacts.exporters import to_onnx
from edgeacts.forms import DOMAIN, choose, function
from edgeacts.quantization.calibrating import Calibration, calibrate
from edgeacts.quantization.settings import QuantizeSettings

FAST = QuantizeSettings(ranges="mse", sensitivity=False, bias_correction=False)
COUNT = 64
TRAINED = "mish"


@functools.cache
def images(start: int = 0, count: int = COUNT) -> np.ndarray:
    """float32 [count, 3, 12, 12]."""
    return digit_images(slice(start, start + count))[0]


@functools.cache
def exported(activation: str, folder: Path) -> Path:
    """A network that has learnt to read digits with Mish, exported; then with each other activation in its place.

    One training and one export serve all: what is tested is the arithmetic of 8 bits, and its signals stay alive.
    """
    path = folder / f"{activation}.onnx"
    if activation != TRAINED:
        onnx.save(_with(activation, onnx.load(exported(TRAINED, folder))), path)
        return path
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = trained(Net(activation, classes=10), steps=150)
    to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), path, input_names=["image"], output_names=["logits"])
    torch.set_num_threads(threads)
    return path


def _with(activation: str, model: onnx.ModelProto) -> onnx.ModelProto:
    definition = find_activation(activation)
    values = definition.values()
    body = function(choose(definition, [values]), opset=20)
    for node in model.graph.node:
        if node.domain == DOMAIN:
            node.op_type = body.name
            del node.attribute[:]
            node.attribute.extend(onnx.helper.make_attribute(n, float(v)) for n, v in values.items())
    del model.functions[:]
    model.functions.append(body)
    return model


@functools.cache
def calibrated(path: Path) -> tuple[onnx.ModelProto, Calibration]:
    """The float model and what 64 images say about it."""
    model = onnx.load(path)
    return model, calibrate(model, images())


def kinds(model: onnx.ModelProto) -> list[str]:
    """Operators of the main graph, in order."""
    return [node.op_type for node in model.graph.node]


def with_weights(text: str, scale: float = 1.0, *, positive: bool = False) -> onnx.ModelProto:
    """ONNX text whose declared values (`<float[3] w>`) become initializers of seeded numbers."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for value in model.graph.value_info:
        tensor = value.type.tensor_type
        numbers = scale * rng.standard_normal([dim.dim_value for dim in tensor.shape.dim])
        numbers = np.abs(numbers) + 0.1 if positive else numbers
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        model.graph.initializer.append(onnx.numpy_helper.from_array(numbers.astype(kind), value.name))
    del model.graph.value_info[:]
    return model
