"""Which form each activation of a file gets on a runtime, and its body, to travel in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgeacts.activations import catalogue
from edgeacts.bodies import FORMS_KEY, Body, bodies_metadata
from edgeacts.definition import Activation
from edgeacts.forms import DOMAIN, TOLERANCE, choose_for, function
from edgeacts.forms.costs import operators_cost
from edgeacts.forms.scaled import scaled_body

# Runtimes that read bodies of their own, and what they may be asked to compute in.
RUNTIMES: Mapping[str, tuple[str, ...]] = {"openvino": ("f32", "bf16", "f16")}


@dataclass(frozen=True)
class Use:
    """One function of a file: its definition, the parameter values it is called with, and those it takes as inputs."""

    operator: str
    activation: Activation
    points: tuple[Mapping[str, float], ...]
    per_channel: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What forms are chosen by: the error allowed, the opset they are written in, and a tuning file or the usual ones."""

    tolerance: float = TOLERANCE
    opset: int = 20
    tuning: str | Path | None = None


def bodies_on(
    runtime: str, precision: str, uses: Sequence[Use], own: Mapping[str, onnx.FunctionProto], wish: Wish
) -> dict[str, Body]:
    """Operator -> its fastest body on the runtime, for those where that is another one than the file's `own`."""
    found = {}
    for use in uses:
        if use.per_channel:
            scaled = scaled_body(
                use.activation, use.points, use.per_channel, runtime=runtime, precision=precision,
                tolerance=wish.tolerance, opset=wish.opset,
            )  # fmt: skip
            if scaled is not None and _cheaper(scaled[1], own[use.operator], runtime):
                found[use.operator] = Body(scaled[0].form.name, scaled[0].bound, scaled[1])
            continue
        choice = choose_for(
            use.activation, use.points, runtime=runtime, precision=precision, tolerance=wish.tolerance,
            opset=wish.opset, tuning=wish.tuning,
        )  # fmt: skip
        body = function(choice, opset=wish.opset)
        if list(body.node) != list(own[use.operator].node):
            found[use.operator] = Body(choice.form.name, choice.bound, body)
    return found


def _cheaper(body: onnx.FunctionProto, own: onnx.FunctionProto, runtime: str) -> bool:
    """Of forms for parameters per channel nothing is measured: by their operations."""
    return operators_cost(body, runtime) < operators_cost(own, runtime)


def bodies_text(uses: Sequence[Use], own: Mapping[str, onnx.FunctionProto], wish: Wish) -> str:
    """The metadata of every runtime that reads bodies of its own; "" where all are the file's."""
    chosen = {
        runtime: {p: found for p in precisions if (found := bodies_on(runtime, p, uses, own, wish))}
        for runtime, precisions in RUNTIMES.items()
    }
    return bodies_metadata(chosen, own) if any(chosen.values()) else ""


def uses_in(model: onnx.ModelProto) -> list[Use]:
    """The functions whose definition is in the catalogue, with the formula that the file states."""
    stated = json.loads(next((p.value for p in model.metadata_props if p.key == FORMS_KEY), "{}"))
    calls: dict[str, list[onnx.NodeProto]] = {}
    for node in _nodes(model.graph):
        if node.domain == DOMAIN:
            calls.setdefault(node.op_type, []).append(node)
    known = []
    for body in model.functions:
        definition = None if body.domain != DOMAIN else _definition(body.name, stated)
        if definition is not None:
            points = [
                tuple(sorted((a.name, a.f) for a in node.attribute)) for node in calls.get(body.name, [])
            ]
            known.append(Use(body.name, definition, tuple(dict(p) for p in dict.fromkeys(points)) or ({},)))
    return known


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
