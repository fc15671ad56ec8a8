"""Optimized model with markers -> the same with kernels: tables behind what makes their input, or in depthwise convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeacts import native
from edgeacts.acceleration.dense import dense_fits, place_dense
from edgeacts.acceleration.ends import NOTHING, convolution_of, end_of, fused_end, numbers_of, unmark
from edgeacts.acceleration.graph import (
    attributes,
    consumers,
    import_domain,
    producers,
    use_counts,
)
from edgeacts.acceleration.image_sizes import estimated_pixels
from edgeacts.acceleration.int8_rewriting import rewrite_int8
from edgeacts.acceleration.markers import Markers
from edgeacts.acceleration.placed import BLOCKED, DOMAIN, Placed
from edgeacts.acceleration.pointwise import fetch_meanwhile, place_pointwise, pointwise_fits
from edgeacts.acceleration.scales import place_scales
from edgeacts.acceleration.sites import Site
from edgeacts.acceleration.stem import place_stem, stem_fits
from edgeacts.piecewise import Table

_KERNELS = ([3, 3], [5, 5])
_STRIDES = ([1, 1], [2, 2])
# What makes a tensor of its own: its memory may be written over when nothing else reads it.
_OWNERS = frozenset({"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul"})
# What makes blocked values, and what the optimizer lets stand between such.
_BLOCKED_OPERATORS = frozenset(
    {
        "Conv",
        "MaxPool",
        "AveragePool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "ReorderInput",
        "Upsample",
        "Depthwise",
        "Pointwise",
        "Stem",
        "Scale",
    }
)
_EITHER = frozenset(
    {"Add", "Sum", "Mul", "Concat", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Clip"}
)


def rewrite(
    model: onnx.ModelProto, markers: Markers, *, depthwise: str, products: bool = False, threads: int = 1
) -> tuple[onnx.ModelProto, list[Placed]]:
    """The model with kernels, and where each activation went.

    `depthwise`: "none" leaves the runtime's depthwise convolutions, "activated" replaces those next to an activation with a
    table, "all" every one that the kernel can do. `products` replaces convolutions of 1x1 and of the network's input, products
    of an image and a pixel, and fully connected layers.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    placed = rewrite_int8(result, markers, depthwise=depthwise, threads=threads)
    rewriter = _Rewriter(result, markers)
    if depthwise != "none":
        rewriter.depthwise(every=depthwise != "activated")
    if products:
        rewriter.stem()
        rewriter.pointwise()
        rewriter.dense()
        place_scales(result.graph, rewriter.block)
    rewriter.tables()
    rewriter.finish()
    return result, placed + rewriter.placed


def _block() -> int:
    """Channels of a block in ONNX Runtime's layout on this CPU."""
    return 16 if native.available() and native.has("avx512") else 8


class _Rewriter:
    def __init__(self, model: onnx.ModelProto, markers: Markers) -> None:
        self.model, self.graph, self.markers = model, model.graph, markers
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.placed: list[Placed] = []
        self.uses = use_counts(model.graph)
        self.block = _block()
        self._nothing = 0

    # ---- depthwise convolutions

    def depthwise(self, *, every: bool) -> None:
        makers, readers = producers(self.graph), consumers(self.graph)
        for node in list(self.graph.node):
            if not self._fits(node):
                continue
            before = self._before(node, makers, readers)
            after = self.markers.find(node)
            if every or before is not None or after is not None:
                self._replace(node, before, makers)

    def _fits(self, node: onnx.NodeProto) -> bool:
        convolution = convolution_of(node, self.markers, self.weights)
        if convolution is None:
            return False
        found, shape = convolution
        return (
            shape[1] == 1
            and shape[0] % self.block == 0
            and "group" in found
            and found["group"].i == shape[0]
            and shape[2:] in _KERNELS
            and numbers_of(found, "strides", [1, 1]) in _STRIDES
            and numbers_of(found, "dilations", [1, 1]) == [1, 1]
            and ("auto_pad" not in found or found["auto_pad"].s in (b"NOTSET", b""))
        )

    def _before(
        self,
        node: onnx.NodeProto,
        makers: dict[str, onnx.NodeProto],
        readers: dict[str, list[onnx.NodeProto]],
    ) -> Site | None:
        """The site on what the convolution reads, if nothing else reads it."""
        name = node.input[0]
        maker = makers.get(name)
        if maker is None or self.uses[name] != 1 or len(readers[name]) != 1:
            return None
        return self.markers.find(maker)

    def _replace(self, node: onnx.NodeProto, before: Site | None, makers: dict[str, onnx.NodeProto]) -> None:
        site, found, name = self.markers.find(node), attributes(node), node.input[0]
        after = fused_end(node, self.markers) or NOTHING
        if before is not None:
            maker = makers[name]
            if maker.op_type == "LeakyRelu":
                name = maker.input[0]
                self.graph.node.remove(maker)
            else:
                unmark(maker)
            self.placed.append(Placed(before.name, "depthwise, on its input", "blocked"))
        if site is not None:
            self.placed.append(Placed(site.name, "depthwise, on its output", "blocked"))
        inputs = [name, node.input[1], self._bias(node)]
        if len(node.input) > 3 and node.input[3]:
            inputs.append(node.input[3])
        new = helper.make_node(
            "Depthwise",
            inputs,
            list(node.output),
            domain=DOMAIN,
            kernel_shape=list(self.weights[node.input[1]].dims)[2:],
            strides=numbers_of(found, "strides", [1, 1]),
            pads=numbers_of(found, "pads", [0, 0, 0, 0]),
            block=self.block,
        )
        new.name = node.name
        for which, end in (("before", NOTHING if before is None else end_of(before)), ("after", after)):
            new.attribute.extend(end.attributes(which))
        node.CopyFrom(new)

    def _bias(self, node: onnx.NodeProto) -> str:
        """A convolution's bias; zeros of a new name for one without."""
        if len(node.input) > 2 and node.input[2]:
            return str(node.input[2])
        self._nothing += 1
        name = f"edgeacts_no_bias_{self._nothing}"
        channels = self.weights[node.input[1]].dims[0]
        self.graph.initializer.append(numpy_helper.from_array(np.zeros(channels, np.float32), name))
        return name

    # ---- the first convolution

    def stem(self) -> None:
        for node in self.graph.node:
            if stem_fits(node, self.markers, self.weights, self.block):
                bias = self._bias(node)
                self.placed.extend(place_stem(node, self.markers, self.weights, self.block, bias=bias))

    # ---- convolutions of 1x1

    def pointwise(self) -> None:
        found = [n for n in self.graph.node if pointwise_fits(n, self.markers, self.weights, self.block)]
        for node, following in zip_longest(found, found[1:]):
            bias = self._bias(node)
            ahead = None if following is None else self.weights[following.input[1]]
            self.placed.extend(place_pointwise(node, self.markers, self.block, bias=bias, following=ahead))

    # ---- fully connected layers

    def dense(self) -> None:
        ours: list[onnx.NodeProto] = []
        pixels = estimated_pixels(self.graph)
        for node in self.graph.node:
            if node.op_type == "Pointwise" and node.domain == DOMAIN:
                ours.append(node)
            if dense_fits(node, self.weights):
                tensors = place_dense(node, self.weights)
                self.graph.initializer.extend(tensors)
                fetch_meanwhile(ours, self.weights, pixels, tensors[0])
                ours = []

    # ---- everything else

    def tables(self) -> None:
        nodes: list[onnx.NodeProto] = []
        makers, inside = producers(self.graph), _blocked(self.graph)
        for node in self.graph.node:
            site = self.markers.find(node)
            nodes.append(node)
            if site is None:
                continue
            if site.table is None:
                _restore(node, site)
                continue
            blocked = node.output[0] in inside
            if node.op_type == "LeakyRelu":
                maker = makers.get(node.input[0])
                nodes[-1] = self._table(site, node.input[0], node.output[0], maker, blocked=blocked)
            else:
                unmark(node)
                inner = f"{node.output[0]}_before_{site.operator.lower()}"
                outer, node.output[0] = node.output[0], inner
                self.uses[inner] = 1
                nodes.append(self._table(site, inner, outer, node, blocked=blocked))
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def _table(
        self, site: Site, source: str, target: str, maker: onnx.NodeProto | None, *, blocked: bool
    ) -> onnx.NodeProto:
        alone = maker is not None and maker.op_type in _OWNERS and self.uses[source] == 1
        node = helper.make_node(
            "TableInPlace" if alone else "Table", [source], [target], name=f"{target}_table", domain=DOMAIN
        )
        assert site.table is not None  # noqa: S101  tables() passes no others
        _attach(node, "table", site.table)
        self.placed.append(
            Placed(site.name, "table, in place" if alone else "table", "blocked" if blocked else "plain")
        )
        return node

    def finish(self) -> None:
        import_domain(self.model, DOMAIN)
        used = use_counts(self.graph)
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def _blocked(graph: onnx.GraphProto) -> set[str]:
    """Values in the blocked layout: what its operators make, and what others make of such values alone."""
    found: set[str] = set()
    for node in graph.node:
        makes = node.domain in (BLOCKED, DOMAIN) and node.op_type in _BLOCKED_OPERATORS
        if makes or (node.op_type in _EITHER and found.issuperset(node.input)):
            found.update(node.output)
    return found


def _attach(node: onnx.NodeProto, name: str, table: Table) -> None:
    node.attribute.append(helper.make_attribute(name, table.numbers.tolist()))


def _restore(node: onnx.NodeProto, site: Site) -> None:
    """A LeakyRelu's own slope in the marker's place: the runtime does it."""
    slope = float(site.slope or 0.0)
    found = attributes(node)
    if node.op_type == "LeakyRelu":
        found["alpha"].f = slope
    elif "activation_alpha" in found:
        found["activation_alpha"].f = slope
    else:
        found["activation_params"].floats[0] = slope


__all__: Sequence[str] = ("BLOCKED", "DOMAIN", "Placed", "rewrite")
