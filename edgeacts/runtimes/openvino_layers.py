"""What OpenVINO executes, layer by layer, and where each activation of the model went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeacts.circumstances import circumstances
from edgeacts.files import sha256_file
from edgeacts.records import ExecutedActivation, ExecutedGraph, ExecutedLayer
from edgeacts.runtimes import openvino_precision as precision_of

_UNSAID = ("unknown", "undef", "")
_SHAPES = frozenset({"Input", "Output", "Const"})
# Layer types whose kernels take activations in; in any other layer it is the activation itself that runs.
_HOSTS = frozenset(
    {"Convolution", "FullyConnected", "MatMul", "Deconvolution", "MVN", "Pooling", "Interpolate", "Reduce"}
)


def executed_graph(
    path: Path,
    layers: Sequence[Mapping[str, str]],
    *,
    forms: Mapping[str, tuple[str, float]],
    activations: Mapping[str, str],
    asked: str,
    version: str,
) -> ExecutedGraph:
    """The record; `layers` are the runtime graph's rt_info as text, `activations` the operator of each activation by name."""
    kept = [info for info in layers if info.get("layerType", "") not in _SHAPES]
    ran = tuple(_layer(i, p) for i, p in zip(kept, precision_of.precisions_of(kept), strict=True))
    return ExecutedGraph(
        model=path.name,
        model_sha256=sha256_file(path),
        runtime="openvino",
        runtime_version=version,
        precision_asked=asked,
        precision=precision_of.summary(precision_of.layer_precisions(layers)),
        layers=ran,
        activations=tuple(_activation(n, o, forms.get(o), ran) for n, o in activations.items()),
        circumstances=circumstances(),
    )


def told(graph: ExecutedGraph) -> str:
    """The activations in one line: `Mish (native, 35 nodes): 34 in Convolution f32, 1 as Subgraph jit_avx2_f32`."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    types = {layer.name: layer.layer_type for layer in graph.layers}
    for one in graph.activations:
        groups.setdefault((one.operator, one.form), Counter())[_where(one, types)] += 1
    return "; ".join(
        f"{operator} ({form or 'as written'}, {places.total()}): "
        + ", ".join(f"{count} {place}" for place, count in places.most_common())
        for (operator, form), places in groups.items()
    )


def _where(one: ExecutedActivation, types: Mapping[str, str]) -> str:
    if not one.layers:
        return "not found in the executed graph"
    if one.fused_into:
        return f"in {types[one.fused_into]} {one.precision}"
    kinds = "+".join(dict.fromkeys(types[name] for name in one.layers))
    return f"as {kinds} {one.precision}"


def _layer(info: Mapping[str, str], precision: str) -> ExecutedLayer:
    kernel = info.get("primitiveType", "")
    return ExecutedLayer(
        name=info.get("name", ""),
        layer_type=info.get("layerType", ""),
        primitive="" if kernel.rpartition("_")[0].lower() in _UNSAID else kernel,
        precision=precision,
        origins=tuple(filter(None, info.get("originalLayersNames", "").split(","))),
    )


def _activation(
    name: str, operator: str, form: tuple[str, float] | None, layers: Sequence[ExecutedLayer]
) -> ExecutedActivation:
    inner = f"{name}/"
    found = [one for one in layers if any(o == name or o.startswith(inner) for o in one.origins)]
    host = found[0] if len(found) == 1 and found[0].layer_type in _HOSTS else None
    return ExecutedActivation(
        name=name,
        operator=operator,
        form=form[0] if form else "",
        bound=form[1] if form else None,
        fused_into=host.name if host else "",
        layers=tuple(one.name for one in found),
        primitive=found[-1].primitive if found else "",
        precision=found[-1].precision if found else "",
    )
