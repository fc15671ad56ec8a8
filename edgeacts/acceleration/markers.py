"""Activations through ONNX Runtime's optimizer: each stands in as a LeakyRelu whose slope is its number.

ONNX Runtime moves LeakyRelu through its blocked layout and fuses it into convolutions, which it does with no operator that it
does not know. The optimized model is then read back, and the slopes say which activation belongs where.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import helper

from edgeacts.acceleration.graph import attributes, subgraphs
from edgeacts.acceleration.int8_sites import INT8_DOMAIN
from edgeacts.acceleration.sites import DOMAIN, Site
from edgeacts.errors import EdgeactsError, one_line

_DOMAINS = (DOMAIN, INT8_DOMAIN)
_FIRST, _STEP = 0.375, 2.0**-12
_LOG_FATAL_ONLY = 4


QUANTIZED_LEAKY = "QLinearLeakyRelu"  # what a marker between DequantizeLinear and QuantizeLinear becomes


class Markers:
    """Slopes for the sites of one model, none of which a LeakyRelu of its own has, wherever the optimizer may find one."""

    def __init__(self, model: onnx.ModelProto, sites: Sequence[Site]) -> None:
        taken = set(_floats(model))
        self.sites = {site.name: site for site in sites if site.marked}
        slopes = (_FIRST + _STEP * i for i in range(len(self.sites) + len(taken) + 1))
        free = [s for s in slopes if s not in taken]
        self._slopes = dict(zip(self.sites, free, strict=False))
        self._by_slope = {slope: self.sites[name] for name, slope in self._slopes.items()}

    def place(self, model: onnx.ModelProto) -> None:
        """Replace each site's node by its marker."""
        for node in model.graph.node:
            if node.domain in _DOMAINS and node.output[0] in self._slopes:
                marker = helper.make_node(
                    "LeakyRelu", [node.input[0]], [node.output[0]], alpha=self._slopes[node.output[0]]
                )
                marker.name = node.name
                node.CopyFrom(marker)

    def site(self, slope: float) -> Site | None:
        """The site that a slope stands for; None for a LeakyRelu of the model's own."""
        return self._by_slope.get(slope)

    def find(self, node: onnx.NodeProto) -> Site | None:
        """The site whose marker this node is, or has fused into it."""
        found = attributes(node)
        if (node.op_type == "LeakyRelu" and not node.domain) or node.op_type == QUANTIZED_LEAKY:
            return self.site(found["alpha"].f) if "alpha" in found else None
        if "activation" in found and found["activation"].s == b"LeakyRelu":
            if "activation_params" in found and found["activation_params"].floats:
                return self.site(found["activation_params"].floats[0])
            if "activation_alpha" in found:
                return self.site(found["activation_alpha"].f)
        return None


def _floats(model: onnx.ModelProto) -> Iterator[float]:
    """Every number in an attribute: slopes of the main graph, of branches and functions that are inlined, and of their calls."""
    pending = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while pending:
        node = pending.pop()
        for attribute in node.attribute:
            yield attribute.f
            yield from attribute.floats
        for graph in subgraphs(node):
            pending.extend(graph.node)


def optimize(model: onnx.ModelProto, *, threads: int) -> onnx.ModelProto:
    """What ONNX Runtime makes of the model at its highest level, for this machine. Raises EdgeactsError."""
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        source, target = Path(folder) / "marked.onnx", Path(folder) / "optimized.onnx"
        onnx.save(model, source)
        options = ort.SessionOptions()
        options.log_severity_level = _LOG_FATAL_ONLY
        options.optimized_model_filepath = str(target)
        options.intra_op_num_threads = threads
        try:
            ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's classes share nothing but Exception
            raise EdgeactsError(f"onnxruntime cannot optimize the marked model: {one_line(error)}") from error
        return onnx.load(target)
