"""A hard case: an INT8 file whose weights use a few levels only, as the twin writes them."""

from dataclasses import replace

import onnx

from edgeacts.quantization.qat_twin import QuantizedTwin
from edgeacts.quantization.qat_writing import write_weights


def coarsened(model: onnx.ModelProto, prepared: onnx.ModelProto, largest: int) -> onnx.ModelProto:
    """`model` with weights rounded from the float ones to -largest .. largest steps."""
    twin = QuantizedTwin(model)
    twin.start_from(prepared)
    for name, row in twin.trained.items():
        if row.site is not None:
            twin.trained[name] = replace(row, site=replace(row.site, largest=largest))
    return write_weights(twin, model)
