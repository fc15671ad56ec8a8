"""All activations of a model: between quantized values, and on floats."""

from __future__ import annotations

import onnx

from edgeacts.acceleration.int8_regions import between_quantizers, is_quantized
from edgeacts.acceleration.int8_sites import find_int8_sites
from edgeacts.acceleration.sites import Site, find_sites


def find_all_sites(model: onnx.ModelProto, where: str) -> tuple[onnx.ModelProto, list[Site]]:
    """The model with each activation as one node, and their sites: those between quantized values first. Raises EdgeactsError."""
    marked, quantized = find_int8_sites(model)
    left = between_quantizers(marked) if is_quantized(marked) else set()
    stubs = {site.name for site in quantized}
    marked, others = find_sites(marked, where, left - stubs)
    return marked, [*quantized, *others]
