"""Optimized model with markers -> the same with kernels: tables behind what makes their input, or in depthwise convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeacts import native
from edgeacts.acceleration.graph import (
    attributes,
    consumers,
    import_domain,
    producers,
    remove_attributes,
    use_counts,
)
from edgeacts.acceleration.int8_rewriting import rewrite_int8
from edgeacts.acceleration.markers import Markers
from edgeacts.acceleration.placed import DOMAIN, Placed
from edgeacts.acceleration.sites import Site
from edgeacts.piecewise import Table

BLOCKED = "com.microsoft.nchwc"
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
    }
)
_EITHER = frozenset(
    {"Add", "Sum", "Mul", "Concat", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Clip"}
)
_NONE, _TABLE, _CLIP, _LEAKY = 0, 1, 2, 3


@dataclass(frozen=True)
class _End:
    """What a depthwise kernel does with what it reads or with what it writes."""

    kind: int
    table: Table | None = None
    clip: tuple[float, float] = (0.0, 0.0)
    slope: float = 0.0

    def attributes(self, which: str) -> list[onnx.AttributeProto]:
        result = [helper.make_attribute(which, self.kind)]
        if self.table is not None:
            result.append(helper.make_attribute(f"{which}_table", self.table.numbers.tolist()))
        if self.kind == _CLIP:
            result.append(helper.make_attribute(f"{which}_clip", list(self.clip)))
        if self.kind == _LEAKY:
            result.append(helper.make_attribute(f"{which}_slope", self.slope))
        return result


def _end(site: Site) -> _End:
    return _End(_LEAKY, slope=site.slope) if site.slope is not None else _End(_TABLE, site.table)


def rewrite(
    model: onnx.ModelProto, markers: Markers, *, depthwise: str, threads: int = 1
) -> tuple[onnx.ModelProto, list[Placed]]:
    """The model with kernels, and where each activation went.

    `depthwise`: "none" leaves the runtime's depthwise convolutions, "activated" replaces those next to an activation with a
    table, "all" every one that the kernel can do.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    placed = rewrite_int8(result, markers, depthwise=depthwise, threads=threads)
    rewriter = _Rewriter(result, markers)
    if depthwise != "none":
        rewriter.depthwise(every=depthwise != "activated")
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
        if node.op_type != "Conv" or node.domain != BLOCKED or node.input[1] not in self.weights:
            return False
        found, weights = attributes(node), self.weights[node.input[1]]
        shape = list(weights.dims)
        return (
            len(shape) == 4
            and shape[1] == 1
            and shape[0] % self.block == 0
            and "group" in found
            and found["group"].i == shape[0]
            and shape[2:] in _KERNELS
            and _ints(found, "strides", [1, 1]) in _STRIDES
            and _ints(found, "dilations", [1, 1]) == [1, 1]
            and ("auto_pad" not in found or found["auto_pad"].s in (b"NOTSET", b""))
            and self._after(node) is not None
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

    def _after(self, node: onnx.NodeProto) -> _End | None:
        """The activation that the runtime has fused into it; None when the kernel does not have it."""
        found = attributes(node)
        if "activation" not in found or found["activation"].s == b"":
            return _End(_NONE)
        site = self.markers.find(node)
        if site is not None:
            return _end(site)
        kind = found["activation"].s
        parameters = list(found["activation_params"].floats) if "activation_params" in found else []
        if kind == b"Relu":
            return _End(_CLIP, clip=(0.0, float("inf")))
        if kind == b"Clip" and len(parameters) == 2:
            return _End(_CLIP, clip=(parameters[0], parameters[1]))
        return None

    def _replace(self, node: onnx.NodeProto, before: Site | None, makers: dict[str, onnx.NodeProto]) -> None:
        site, found, name = self.markers.find(node), attributes(node), node.input[0]
        after = self._after(node) or _End(_NONE)
        if before is not None:
            maker = makers[name]
            if maker.op_type == "LeakyRelu":
                name = maker.input[0]
                self.graph.node.remove(maker)
            else:
                _unmark(maker)
            self.placed.append(Placed(before.name, "depthwise, on its input", "blocked"))
        if site is not None:
            self.placed.append(Placed(site.name, "depthwise, on its output", "blocked"))
        inputs = [
            name,
            node.input[1],
            node.input[2] if len(node.input) > 2 and node.input[2] else self._zeros(node),
        ]
        if len(node.input) > 3 and node.input[3]:
            inputs.append(node.input[3])
        new = helper.make_node(
            "Depthwise",
            inputs,
            list(node.output),
            domain=DOMAIN,
            kernel_shape=list(self.weights[node.input[1]].dims)[2:],
            strides=_ints(found, "strides", [1, 1]),
            pads=_ints(found, "pads", [0, 0, 0, 0]),
            block=self.block,
        )
        new.name = node.name
        for which, end in (("before", _End(_NONE) if before is None else _end(before)), ("after", after)):
            new.attribute.extend(end.attributes(which))
        node.CopyFrom(new)

    def _zeros(self, node: onnx.NodeProto) -> str:
        self._nothing += 1
        name = f"edgeacts_no_bias_{self._nothing}"
        channels = self.weights[node.input[1]].dims[0]
        self.graph.initializer.append(numpy_helper.from_array(np.zeros(channels, np.float32), name))
        return name

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
                _unmark(node)
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


def _unmark(node: onnx.NodeProto) -> None:
    remove_attributes(node, "activation", "activation_params")
    if node.op_type == "FusedGemm":
        remove_attributes(node, "activation_alpha", "activation_beta", "activation_gamma")
        node.op_type, node.domain = "Gemm", ""
    elif node.op_type == "FusedConv" and len(node.input) < 4:
        node.op_type, node.domain = "Conv", ""


def _ints(found: dict[str, onnx.AttributeProto], name: str, default: list[int]) -> list[int]:
    return list(found[name].ints) if name in found else default


__all__: Sequence[str] = ("BLOCKED", "DOMAIN", "Placed", "rewrite")
