"""Any ONNX model -> the same model with each stock activation as one node of domain `edgeacts`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx
from onnx import TensorProto, helper

from edgeacts.acceleration.graph import import_domain, use_counts
from edgeacts.acceleration.patterns_matching import Match, Matcher, Op, kind_of, roots
from edgeacts.acceleration.patterns_stock import PATTERNS, Pattern

_DOMAIN = "edgeacts"
Wanted = Callable[[str, Mapping[str, float]], bool]


@dataclass(frozen=True)
class Recognised:
    """One activation that was found: `node` is the name of its last node (its output, where it has none)."""

    node: str
    pattern: str
    operator: str
    parameters: Mapping[str, float]
    output: str


def recognise(
    model: onnx.ModelProto, wanted: Wanted | None = None, left: Collection[str] = ()
) -> tuple[onnx.ModelProto, list[Recognised]]:
    """A copy of the model with each stock activation as one node edgeacts::Operator, and what was found, in order.

    The parameters are float attributes of the node. With `wanted(operator, parameters)`, only those for which it is true
    are replaced, and none whose output is among `left`. Found are activations of float32 in the main graph; a model with local
    functions is left as it is.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    if result.functions:
        return result, []
    search = _Search(result, wanted, left)
    found = search.run()
    if found:
        search.replace(found)
        import_domain(result, _DOMAIN)
    return result, [f.recognised for f in found]


@dataclass(frozen=True)
class _Found:
    recognised: Recognised
    match: Match


class _Types:
    """Element type and rank of values, inferred when the first is asked for."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model

    def element(self, name: str) -> int:
        """TensorProto.FLOAT and so on; TensorProto.UNDEFINED when it is not known."""
        known = self._tensors.get(name)
        return TensorProto.UNDEFINED if known is None else known.elem_type

    def rank(self, name: str) -> int | None:
        known = self._tensors.get(name)
        return len(known.shape.dim) if known is not None and known.HasField("shape") else None

    @cached_property
    def _tensors(self) -> dict[str, onnx.TypeProto.Tensor]:
        try:
            graph = onnx.shape_inference.infer_shapes(self._model).graph
        except Exception:  # too large, or what inference cannot read: the declared types remain
            graph = self._model.graph
        declared = (*graph.input, *graph.output, *graph.value_info)
        types = {v.name: v.type.tensor_type for v in declared if v.type.HasField("tensor_type")}
        for weight in graph.initializer:
            types.setdefault(
                weight.name, helper.make_tensor_type_proto(weight.data_type, weight.dims).tensor_type
            )
        return types


def _by_root(patterns: Iterable[Pattern]) -> dict[tuple[str, str], list[tuple[Pattern, Op]]]:
    table: dict[tuple[str, str], list[tuple[Pattern, Op]]] = defaultdict(list)
    for pattern in patterns:
        for root in roots(pattern.expression):
            table[root.domain, root.kind].append((pattern, root))
    return dict(table)


_BY_ROOT = _by_root(PATTERNS)


class _Search:
    """One pass over the nodes from the last to the first, so that the largest expression wins."""

    def __init__(self, model: onnx.ModelProto, wanted: Wanted | None, left: Collection[str]) -> None:
        self._graph, self._left = model.graph, left
        self._wanted = wanted or (lambda operator, parameters: True)
        self._matcher = Matcher(model.graph)
        self._types = _Types(model)

    def run(self) -> list[_Found]:
        """What is there, in the graph's order; no node belongs to two."""
        found: list[_Found] = []
        taken: set[str] = set()
        for node in reversed(self._graph.node):
            if (
                kind_of(node) not in _BY_ROOT
                or taken.intersection(node.output)
                or node.output[0] in self._left
            ):
                continue
            if one := next(self._readings(node), None):
                found.append(one)
                taken.update(one.match.values)
        return found[::-1]

    def _readings(self, node: onnx.NodeProto) -> Iterator[_Found]:
        for pattern, root in _BY_ROOT[kind_of(node)]:
            match = self._matcher.find(root, node)
            if match is None or not self._float32(match) or not self._keeps_rank(match):
                continue
            parameters = {**pattern.parameters, **match.captured}
            if self._wanted(pattern.operator, parameters):
                output = node.output[0]
                yield _Found(
                    Recognised(node.name or output, pattern.name, pattern.operator, parameters, output), match
                )

    def _float32(self, match: Match) -> bool:
        known = {self._types.element(name) for name in (match.x, match.values[0])}
        return known <= {TensorProto.FLOAT, TensorProto.UNDEFINED}

    def _keeps_rank(self, match: Match) -> bool:
        """Whether the constants leave the input its shape: [1, 1] makes two dimensions of one."""
        scalars = (self._matcher.scalar(name) for name in match.constants)
        highest = max((s.rank for s in scalars if s is not None), default=0)
        rank = self._types.rank(match.x)
        return highest <= (1 if rank is None else rank)

    def replace(self, found: list[_Found]) -> None:
        """One node for each, where its last node stood; what only they used is dropped."""
        last = {f.match.values[0]: f for f in found}
        inner = {value for f in found for value in f.match.values[1:]}
        nodes = [
            _single(node, last[output]) if (output := _only_output(node)) in last else node
            for node in self._graph.node
            if _only_output(node) not in inner
        ]
        _refill(self._graph.node, nodes)
        self._drop(inner, {name for f in found for name in f.match.constants})

    def _drop(self, inner: set[str], constants: set[str]) -> None:
        uses = use_counts(self._graph)
        unused = {name for name in constants if not uses[name]}
        graph = self._graph
        _refill(graph.node, [n for n in graph.node if _only_output(n) not in unused])
        _refill(graph.value_info, [v for v in graph.value_info if v.name not in unused | inner])
        for index in reversed(range(len(graph.initializer))):  # not refilled: weights are large
            if graph.initializer[index].name in unused:
                del graph.initializer[index]


def _only_output(node: onnx.NodeProto) -> str:
    return node.output[0] if len(node.output) == 1 else ""


def _refill(repeated: Any, kept: list[Any]) -> None:
    del repeated[:]
    repeated.extend(kept)


def _single(node: onnx.NodeProto, found: _Found) -> onnx.NodeProto:
    what = found.recognised
    single = helper.make_node(what.operator, [found.match.x], [what.output], domain=_DOMAIN)
    single.attribute.extend(helper.make_attribute(name, value) for name, value in what.parameters.items())
    single.name, single.doc_string = node.name, node.doc_string
    single.metadata_props.extend(node.metadata_props)
    return single
