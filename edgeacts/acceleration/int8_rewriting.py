"""Optimized INT8 model with markers -> the same with tables of bytes, alone or in depthwise convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeacts.acceleration.graph import attributes, consumers, import_domain, producers, use_counts
from edgeacts.acceleration.int8_convolutions import CONV, Convolution, read_convolution
from edgeacts.acceleration.int8_regions import DEQUANTIZE, QUANTIZE
from edgeacts.acceleration.int8_tables import SIGN, ByteTable
from edgeacts.acceleration.markers import QUANTIZED_LEAKY, Markers
from edgeacts.acceleration.placed import DOMAIN, Placed
from edgeacts.acceleration.sites import Site
from edgeacts.errors import EdgeactsError

# What makes a tensor of its own: its memory may be written over when nothing else reads it.
_OWNERS = frozenset(
    {CONV, "Depthwise8", "Lookup", "QGemm", "QLinearAdd", "QLinearMatMul", "QLinearMul", QUANTIZE}
)


def rewrite_int8(model: onnx.ModelProto, markers: Markers, *, depthwise: str, threads: int) -> list[Placed]:
    """Put kernels in the place of the markers, and of depthwise convolutions as `rewrite` has it; where each activation went.

    Raises EdgeactsError for a marker that the optimizer has moved out of reach, and for a convolution whose sums do not fit.
    """
    rewriter = _Int8Rewriter(model, markers, threads)
    if depthwise != "none":
        shallow = depthwise == "convolutions"
        rewriter.convolutions(every=shallow or depthwise == "all", shallow=shallow)
    rewriter.lookups()
    if rewriter.placed:
        import_domain(model, DOMAIN)
    return rewriter.placed


@dataclass(frozen=True)
class _Plan:
    convolution: Convolution
    before: onnx.NodeProto | None
    after: onnx.NodeProto | None


class _Int8Rewriter:
    def __init__(self, model: onnx.ModelProto, markers: Markers, threads: int) -> None:
        self.graph, self.markers, self.threads = model.graph, markers, threads
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.placed: list[Placed] = []
        self._replaced: set[str] = set()

    def site(self, node: onnx.NodeProto) -> Site | None:
        found = self.markers.find(node)
        return found if found is not None and found.lookup is not None else None

    # ---- convolutions

    def convolutions(self, *, every: bool, shallow: bool) -> None:
        """`every`: depthwise ones also where no activation is next to them; `shallow`: those of all channels too."""
        makers, readers, uses = producers(self.graph), consumers(self.graph), use_counts(self.graph)
        claimed: set[str] = set()

        def marker(node: onnx.NodeProto | None, value: str) -> onnx.NodeProto | None:
            """The node, if it is a marker that is alone with the convolution on a value."""
            if (
                node is None
                or node.op_type != QUANTIZED_LEAKY
                or uses[value] != 1
                or node.output[0] in claimed
            ):
                return None
            if self.site(node) is None:
                return None
            claimed.add(node.output[0])
            return node

        nodes = []
        plans: dict[str, _Plan] = {}
        for node in self.graph.node:
            found = read_convolution(node, self.weights)
            if found is None or not (found.depthwise or (shallow and found.shallow)):
                continue
            before = marker(makers.get(node.input[0]), node.input[0]) if found.depthwise else None
            following = readers.get(node.output[0], [])
            after = marker(following[0] if len(following) == 1 else None, node.output[0])
            if every or before is not None or after is not None:
                if found.refusal:
                    raise EdgeactsError(f"convolution {node.output[0]}: {found.refusal}")
                plans[node.output[0]] = _Plan(found, before, after)
        for node in self.graph.node:
            plan = plans.get(node.output[0]) if node.output else None
            if plan is not None:
                nodes.append(self._kernel(node, plan))
            elif not (node.output and node.output[0] in claimed):
                nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def _kernel(self, node: onnx.NodeProto, plan: _Plan) -> onnx.NodeProto:
        c, name, depthwise = plan.convolution, node.output[0], plan.convolution.depthwise
        before = after = None
        source, target = node.input[0], name
        every, signed_in, signed_out = np.arange(256, dtype=np.uint8), c.signed_in, c.signed_out
        if plan.before is not None:
            source, before = plan.before.input[0], self._table(plan.before, depthwise, "on its input")
            signed_in = self._signed(plan.before.input[2])
        if plan.after is not None:
            target, after = plan.after.output[0], self._table(plan.after, depthwise, "on its output")
            signed_out = self._signed(plan.after.input[4])
        if signed_in:  # the kernel's own numbers are of uint8
            before = (every if before is None else before)[every ^ SIGN]
        if signed_out:
            after = (every if after is None else after) ^ SIGN
        constants = []
        for suffix, array in zip(("weights", "bias", "scale"), c.numbers(depthwise=depthwise), strict=True):
            constants.append(f"{name}_edgeacts_{suffix}")
            self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), constants[-1]))
        result = c.node(
            source, constants, target, depthwise=depthwise, threads=self.threads, before=before, after=after
        )
        result.name = node.name
        return result

    def _table(self, marker: onnx.NodeProto, depthwise: bool, where: str) -> ByteTable:
        site = self.site(marker)
        assert site is not None and site.lookup is not None  # noqa: S101, PT018  plans hold no others
        kind = "int8 depthwise" if depthwise else "int8 convolution"
        self.placed.append(Placed(site.name, f"{kind}, {where}", "channels last", exact=True))
        return site.lookup

    # ---- everything else

    def lookups(self) -> None:
        makers, readers, uses = producers(self.graph), consumers(self.graph), use_counts(self.graph)
        last = _channels_last(self.graph)
        nodes = list(self.graph.node)
        for node in nodes:
            site = self.site(node)
            if site is None:
                continue
            if node.op_type == QUANTIZED_LEAKY:
                source, target, zeros = node.input[0], node.output[0], (node.input[2], node.input[4])
            else:  # not fused: DequantizeLinear, marker, QuantizeLinear
                first, last_one = self._around(node, makers, readers, uses)
                source, target, zeros = first.input[0], last_one.output[0], (_zero(first), _zero(last_one))
            maker = makers.get(source)
            alone = maker is not None and maker.op_type in _OWNERS and uses[source] == 1
            new = helper.make_node(
                "LookupInPlace" if alone else "Lookup",
                [source],
                [target],
                name=f"{target}_lookup",
                domain=DOMAIN,
                table=self._bytes(site, *zeros).tolist(),
            )
            kernel, layout = (
                "int8 table, in place" if alone else "int8 table",
                "channels last" if source in last else "plain",
            )
            self.placed.append(Placed(site.name, kernel, layout, exact=True))
            node.CopyFrom(new)
        self._drop_doubles()

    def _bytes(self, site: Site, zero_in: str, zero_out: str) -> ByteTable:
        """The site's table for values of the types that these zero points have."""
        every = np.arange(256, dtype=np.uint8)
        assert site.lookup is not None  # noqa: S101  site() gives no others
        table = site.lookup[every ^ SIGN] if self._signed(zero_in) else site.lookup
        return table ^ SIGN if self._signed(zero_out) else table

    def _signed(self, zero_point: str) -> bool:
        return zero_point in self.weights and self.weights[zero_point].data_type == TensorProto.INT8

    def _around(
        self,
        node: onnx.NodeProto,
        makers: dict[str, onnx.NodeProto],
        readers: dict[str, list[onnx.NodeProto]],
        uses: Mapping[str, int],
    ) -> tuple[onnx.NodeProto, onnx.NodeProto]:
        """The DequantizeLinear before a marker and the QuantizeLinear behind it."""
        maker, following = makers.get(node.input[0]), readers.get(node.output[0], [])
        if (
            maker is None
            or maker.op_type != DEQUANTIZE
            or len(following) != 1
            or following[0].op_type != QUANTIZE
            or uses[node.output[0]] != 1
        ):
            raise EdgeactsError(f"the optimizer has moved the INT8 activation {node.output[0]} out of reach")
        self._replaced.add(following[0].output[0])
        return maker, following[0]

    def _drop_doubles(self) -> None:
        """QuantizeLinear nodes whose output a table writes now."""
        kept = [n for n in self.graph.node if not (n.op_type == QUANTIZE and n.output[0] in self._replaced)]
        del self.graph.node[:]
        self.graph.node.extend(kept)


def _zero(node: onnx.NodeProto) -> str:
    return node.input[2] if len(node.input) > 2 else ""


def _channels_last(graph: onnx.GraphProto) -> set[str]:
    """Values of convolutions and of pools whose channels are the last axis, and what follows them entry by entry."""
    found: set[str] = set()
    for node in graph.node:
        marked = attributes(node).get("channels_last")
        makes = node.op_type in ("Convolution8", "Depthwise8") or (marked is not None and marked.i)
        follows = node.op_type in _KEEPS_LAYOUT and any(name in found for name in node.input)
        if makes or follows:
            found.update(node.output)
    return found


_KEEPS_LAYOUT = frozenset(
    {
        QUANTIZED_LEAKY,
        "Lookup",
        "LookupInPlace",
        "QLinearAdd",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearConcat",
    }
)
