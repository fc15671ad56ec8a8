"""Executed nodes -> layers of the model: by name, by value, and what was fused away by where it came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeacts.latency.profiling.layers import Layer, Layers
from edgeacts.runtimes.profile_base import ExecutedNode

_BLOCKED_SUFFIX = "_nchwc"
_KERNELS = "edgeacts.kernels:"
_TABLES = frozenset({f"{_KERNELS}Table", f"{_KERNELS}TableInPlace"})
# A runtime puts these in between; what they give bears the name of a value of the model, which they only move.
_MOVERS = frozenset({"ReorderInput", "ReorderOutput", "Reorder", "Transpose", "Cast", "Identity", "Reshape"})
_WEIGHTED = (
    "Conv",
    "ConvTranspose",
    "Convolution",
    "Gemm",
    "MatMul",
    "Depthwise",
    "Pointwise",
    "Stem",
    "Dense",
)
_INLINED = "_inlfunc_"  # how ONNX Runtime begins names of values inside a function that it inlined itself
ON_ITS_INPUT = "depthwise, on its input"


@dataclass(frozen=True)
class Folded:
    """An executed node with the model's layers that it carries out, in the model's order."""

    node: ExecutedNode
    layers: tuple[Layer, ...]

    @property
    def activations(self) -> tuple[Layer, ...]:
        """Those of the layers that are activations."""
        return tuple(layer for layer in self.layers if layer.activation)

    @property
    def alone(self) -> bool:
        """Whether it carries out an activation and nothing else."""
        return bool(self.layers) and len(self.activations) == len(self.layers)

    @property
    def fused(self) -> bool:
        """Whether it carries out an activation together with something else."""
        return bool(self.activations) and not self.alone


def fold(
    layers: Layers, nodes: Sequence[ExecutedNode], kernels: Mapping[str, str] | None = None
) -> tuple[tuple[Folded, ...], tuple[Layer, ...]]:
    """Each executed node with its layers, and the activations for which none was found.

    `kernels` says by an activation's output which kernel of an accelerated session carries it out.
    """
    folding = _Folding(layers, nodes, kernels or {})
    folding.direct()
    folding.weighted()
    folding.placed()
    folding.unnamed()
    folding.rest()
    found = tuple(
        Folded(node, tuple(sorted(folding.by_node[i].values(), key=lambda layer: layer.index)))
        for i, node in enumerate(nodes)
    )
    carried = {layer.index for one in found for layer in one.layers}
    return found, tuple(layer for layer in layers.activations if layer.index not in carried)


def _kind(node: ExecutedNode) -> str:
    """The operator without its domain."""
    return node.operator.rpartition(":")[2]


class _Folding:
    def __init__(self, layers: Layers, nodes: Sequence[ExecutedNode], kernels: Mapping[str, str]) -> None:
        self.layers, self.nodes, self.kernels = layers, nodes, kernels
        self.by_node: list[dict[int, Layer]] = [{} for _ in nodes]
        self.makers = {value: i for i, node in enumerate(nodes) for value in node.outputs}
        self.readers: dict[str, list[int]] = defaultdict(list)
        for i, node in enumerate(nodes):
            for value in node.inputs:
                self.readers[value].append(i)

    def add(self, index: int, layer: Layer) -> None:
        self.by_node[index][layer.index] = layer

    def carriers(self, layer: Layer) -> list[int]:
        """Executed nodes that carry it out, in order."""
        return [i for i, found in enumerate(self.by_node) if layer.index in found]

    # ---- what names and values tell

    def direct(self) -> None:
        for i, node in enumerate(self.nodes):
            for layer in self._told(node):
                self.add(i, layer)
        for i in reversed(range(len(self.nodes))):  # inside of a function that the runtime inlined itself
            node = self.nodes[i]
            if not self.by_node[i] and any(_INLINED in value for value in node.outputs):
                for reader in {r for value in node.outputs for r in self.readers[value]}:
                    self.by_node[i].update(self.by_node[reader])

    def _told(self, node: ExecutedNode) -> list[Layer]:
        found = [self.layers.find(name) or self.layers.maker(name) for name in (*node.origins, node.name)]
        if not any(found) and node.name.endswith(_BLOCKED_SUFFIX):
            found.append(self.layers.maker(node.name.removesuffix(_BLOCKED_SUFFIX)))
        if not any(found):
            found += [self.layers.maker(value) for value in node.outputs]
        told = [layer for layer in found if layer is not None]
        return [layer for layer in told if _kind(node) not in _MOVERS or layer.operator == _kind(node)]

    def weighted(self) -> None:
        """A convolution that bears its activation's name does the layers before that as well."""
        for i, node in enumerate(self.nodes):
            found = list(self.by_node[i].values())
            if _kind(node).endswith(_WEIGHTED) and all(layer.activation for layer in found):
                for layer in found:
                    self._add_before(i, layer)

    def _add_before(self, index: int, layer: Layer) -> None:
        while before := self.layers.before(layer):
            layer = before[0]
            if self.carriers(layer):
                return
            self.add(index, layer)
            if layer.operator.endswith(_WEIGHTED):
                return

    def unnamed(self) -> None:
        """A node without a telling name is the layer of its operator that reads what the nodes before it give."""
        for i, node in enumerate(self.nodes):
            if not self.by_node[i] and _kind(node) not in _MOVERS:
                for layer in self._given_to(i):
                    for after in self.layers.after(layer):
                        if after.operator == _kind(node) and not self.carriers(after):
                            self.add(i, after)

    def _given_to(self, index: int) -> list[Layer]:
        """Layers whose values a node reads, as far as that is known."""
        found: list[Layer] = []
        pending = list(self.nodes[index].inputs)
        while pending:
            maker = self.makers.get(pending.pop())
            if maker is not None and self.by_node[maker]:
                found += self.by_node[maker].values()
            elif maker is not None and _kind(self.nodes[maker]) in _MOVERS:
                pending += self.nodes[maker].inputs
        return found

    # ---- what an accelerated session's manifest tells

    def placed(self) -> None:
        for i, node in enumerate(self.nodes):
            if node.operator in _TABLES and (layer := self._of_table(i, node)) is not None:
                self._move(layer, [i])
        for layer in self.layers.activations:
            if self.kernels.get(layer.outputs[0]) == ON_ITS_INPUT:
                readers = [i for after in self.layers.after(layer) for i in self._running(after)]
                self._move(layer, readers[:1])

    def _running(self, layer: Layer) -> list[int]:
        """Where a layer runs: its own nodes, or those that bear the name of the activation fused into it."""
        return self.carriers(layer) or [i for after in self.layers.after(layer) for i in self.carriers(after)]

    def _of_table(self, index: int, node: ExecutedNode) -> Layer | None:
        for value in (*node.outputs, node.name.removesuffix("_table")):
            layer = self.layers.maker(value)
            if layer is not None and layer.activation:
                return layer
        maker = self.makers.get(node.inputs[0], index)
        last = max(self.by_node[maker].values(), key=lambda layer: layer.index, default=None)
        while last is not None and not last.activation:
            last = next(iter(self.layers.after(last)), None)
        return last

    def _move(self, layer: Layer, to: Sequence[int]) -> None:
        if to:
            for i in self.carriers(layer):
                del self.by_node[i][layer.index]
            for i in to:
                self.add(i, layer)

    # ---- what nothing bears the name of

    def rest(self) -> None:
        """What was fused away is carried out where its input comes from, at the latest such place; else where it goes."""
        for layer in self.layers.layers:
            if not self.carriers(layer):
                index = max(
                    (i for one in self.layers.before(layer) for i in self.carriers(one)), default=None
                )
                if index is not None:
                    self.add(index, layer)
        for layer in reversed(self.layers.layers):
            if not self.carriers(layer):
                index = min((i for one in self.layers.after(layer) for i in self.carriers(one)), default=None)
                if index is not None:
                    self.add(index, layer)
