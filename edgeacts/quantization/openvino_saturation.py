"""Whether OpenVINO's 8-bit convolutions cut sums of two products to 16 bits on this machine, by trying."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgeacts.runtimes.openvino_ir import new_core

_CHANNELS, _SIDE = 32, 8


@lru_cache(maxsize=1)
def saturates() -> bool:
    """Without VNNI, 255·127 + 255·127 = 64,770 may become 32,767. Weights of 7 bits cannot reach that. Raises NotAvailable."""
    core = new_core()
    import openvino
    import openvino.opset15 as ops

    def number(value: float) -> object:
        return ops.constant(np.float32(value))

    image = ops.parameter([1, _CHANNELS, _SIDE, _SIDE], np.float32, name="image")
    levels = ops.fake_quantize(image, number(0), number(255), number(0), number(255), 256)
    weights = ops.constant(np.full((_CHANNELS, _CHANNELS, 1, 1), 127, np.int8))
    scaled = ops.multiply(ops.convert(weights, "f32"), number(1.0))
    product = ops.convolution(levels, scaled, [1, 1], [0, 0], [0, 0], [1, 1])
    model = openvino.Model([ops.result(product)], [image], "saturation")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([np.full((1, _CHANNELS, _SIDE, _SIDE), 255, np.float32)])[0]
    return bool(abs(float(found.min()) - 255 * 127 * _CHANNELS) > 1.0)
