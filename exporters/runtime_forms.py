"""Which form each activation of a file gets on a runtime, and its body, to travel in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from edgeacts.activations import catalogue
from edgeacts.bodies import FORMS_KEY, Body, bodies_metadata
from edgeacts.definition import Activation
from edgeacts.forms import DOMAIN, Choice, choose, function

# Runtimes that read bodies of their own, and what they may be asked to compute in.
RUNTIMES: Mapping[str, tuple[str, ...]] = {"openvino": ("f32", "bf16", "f16")}


@dataclass(frozen=True)
class Use:
    """One function of a file: its definition, the parameter values it is called with, and those it takes as inputs."""

    operator: str
    activation: Activation
    points: tuple[Mapping[str, float], ...]
    per_channel: tuple[str, ...] = ()


def choose_on(
    runtime: str,
    precision: str,
    activation: Activation,
    points: Sequence[Mapping[str, float]],
    tolerance: float,
    opset: int,
) -> Choice:
    """The form that is fastest on the runtime in that precision, within `tolerance`·max(1, |x|) for all the values."""
    return choose(activation, points, tolerance=tolerance, opset=opset)


def bodies_on(
    runtime: str,
    precision: str,
    uses: Sequence[Use],
    own: Mapping[str, onnx.FunctionProto],
    tolerance: float,
    opset: int,
) -> dict[str, Body]:
    """Operator -> its body on the runtime, for those where that is another one than the file's `own`."""
    found = {}
    for use in uses:
        choice = choose_on(runtime, precision, use.activation, use.points, tolerance, opset)
        body = function(choice, opset=opset, per_channel=use.per_channel)
        if list(body.node) != list(own[use.operator].node):
            found[use.operator] = Body(choice.form.name, choice.bound, body)
    return found


def bodies_text(
    uses: Sequence[Use], own: Mapping[str, onnx.FunctionProto], tolerance: float, opset: int
) -> str:
    """The metadata of every runtime that reads bodies of its own; "" where all are the file's."""
    chosen = {
        runtime: {p: b for p in precisions if (b := bodies_on(runtime, p, uses, own, tolerance, opset))}
        for runtime, precisions in RUNTIMES.items()
    }
    return bodies_metadata(chosen) if any(chosen.values()) else ""


def uses_in(model: onnx.ModelProto) -> tuple[list[Use], list[str]]:
    """(functions whose definition is in the catalogue with the formula that the file states, names of all others)."""
    stated = json.loads(next((p.value for p in model.metadata_props if p.key == FORMS_KEY), "{}"))
    calls: dict[str, list[onnx.NodeProto]] = {}
    for node in _nodes(model.graph):
        if node.domain == DOMAIN:
            calls.setdefault(node.op_type, []).append(node)
    known, others = [], []
    for body in model.functions:
        definition = None if body.domain != DOMAIN else _definition(body.name, stated)
        if definition is None:
            others.append(body.name)
            continue
        points = {
            tuple(sorted((a.name, a.f) for a in node.attribute)): None for node in calls.get(body.name, [])
        }
        known.append(Use(body.name, definition, tuple(dict(p) for p in points) or ({},)))
    return known, others


def _definition(operator: str, stated: Mapping[str, Mapping[str, object]]) -> Activation | None:
    entry = stated.get(operator, {})
    found = catalogue().get(str(entry.get("name", "")))
    same = found is not None and found.operator == operator and str(found.formula) == entry.get("formula")
    return found if same else None


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
