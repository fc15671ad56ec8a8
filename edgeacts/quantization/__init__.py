"""Float model -> 8-bit model: `quantize(path, images, out)`, and the parts that it is made of."""

from edgeacts.quantization.calibrating import Calibration, calibrate
from edgeacts.quantization.dynamic import quantize_dynamic
from edgeacts.quantization.layers import Layer, layers_of
from edgeacts.quantization.settings import QuantizeSettings
from edgeacts.quantization.static import quantize_static_units
from edgeacts.quantization.workflow import Quantized, post_training, quantize, write_quantized
from edgeacts.quantization.writing import QuantizeResult

__all__ = [
    "Calibration",
    "Layer",
    "QuantizeResult",
    "QuantizeSettings",
    "Quantized",
    "calibrate",
    "layers_of",
    "post_training",
    "quantize",
    "quantize_dynamic",
    "quantize_static_units",
    "write_quantized",
]
