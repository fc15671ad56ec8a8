"""`locate`: the first layer at which two models part beyond their budget, found by bisection, and shown on its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeacts.circumstances import circumstances
from edgeacts.errors import UsageError
from edgeacts.names import check_name
from edgeacts.parity.claims import form_bound, granted_bound
from edgeacts.parity.divergence_files import MODEL, TWIN, write_files
from edgeacts.parity.executed_layers import Place
from edgeacts.parity.inputs import Given, input_sets
from edgeacts.parity.layer_budgets import FORM_BOUND_AT_MOST
from edgeacts.parity.locating_inputs import choose
from edgeacts.parity.locating_search import Located, agreement, find
from edgeacts.parity.onnx_layers import OnnxLayers
from edgeacts.parity.truth import ReferenceLayers
from edgeacts.records import DivergenceRecord
from edgeacts.runtimes import PRECISIONS, levels, runtime_names

if TYPE_CHECKING:
    from torch import nn

IMAGES_AT_MOST = 16


def locate(
    reference: nn.Module | str | Path,
    candidate: str | Path,
    *,
    images: NDArray[np.float32] | None = None,
    inputs: Given | None = None,
    runtime: str = "onnxruntime",
    level: str | None = None,
    threads: int = 1,
    precision: str = "f32",
    tolerance: float = FORM_BOUND_AT_MOST,
    sizes: Mapping[str, int] | None = None,
    out: str | Path | None = None,
    label: str | None = None,
    reference_sha256: str = "",
    all_layers: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> DivergenceRecord:
    """The first layer of the ONNX file `candidate`, as `runtime` executes it, that is not what `reference` computes.

    `reference` is a torch module in eval mode, or an ONNX file. Arguments are those of `verify`. The inputs on which the
    outputs differ most are taken; each look makes one value, or a few, outputs; `all_layers` looks at all others afterwards.
    With `out`, a folder gets divergence.json,
    minimal.onnx and minimal-input.npz (the layer alone, what goes in, `expected_NAME` for what should come out; and
    minimal-reference.onnx where the reference is a file) and nodes.json for Model Explorer.
    Raises UsageError, DamagedFile, NotAvailable or EdgeactsError.
    """
    check_name(runtime, runtime_names(), "runtime")
    check_name(precision, PRECISIONS, "precision")
    path = Path(candidate)
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: layers are located in .onnx files: give the file it was converted from")
    _keep_what_is_asked_about(path, reference, out)
    taken_in, file = circumstances(), OnnxLayers(path)
    side = _reference(reference, file, label, reference_sha256)
    outputs = _outputs(side, file)
    sets = input_sets(file.graph.inputs, _given(images, inputs), sizes or {}, seed)
    place = Place(runtime, level, threads, precision)
    stated = form_bound(path)
    with (
        place.open(path) as plain,
        tqdm(desc="locate", unit="look", disable=not progress, leave=False) as bar,
    ):
        bound = granted_bound(plain, stated, tolerance)
        chosen = choose(sets, plain, side, outputs, precision=precision, form_bound=bound)
        if chosen.failing is None:
            located = agreement(chosen, outputs, file.graph)
        else:
            located = find(chosen, plain, file, side, outputs, place, bound, bar, everything=all_layers)
    record = _record(located, file, side, place, taken_in)
    if out is None:
        return record
    twin = side.graph if isinstance(side, OnnxLayers) else None
    return write_files(record, Path(out), file.graph, twin, located.parts, place)


def _keep_what_is_asked_about(path: Path, reference: Any, out: str | Path | None) -> None:
    """Raises UsageError when the files of this search would replace those that it is about."""
    if out is None:
        return
    asked = [path.resolve(), *([Path(reference).resolve()] if isinstance(reference, str | Path) else [])]
    for name in (MODEL, TWIN):
        if (Path(out) / name).resolve() in asked:
            raise UsageError(f"{Path(out) / name} is one of the models: give another --out")


def _given(images: Given | None, inputs: Given | None) -> dict[str, Given]:
    """Not more than are needed, by the names that `verify` gives them."""
    named = {"validation": images, "given": inputs}
    return {name: _few(values) for name, values in named.items() if values is not None}


def _few(values: Given) -> Given:
    """So many over the whole length, the first among them."""
    if isinstance(values, Mapping):
        return {name: array[_spread(len(array))] for name, array in values.items()}
    return values[_spread(len(values))]


def _spread(count: int) -> NDArray[np.int64]:
    few = min(count, IMAGES_AT_MOST)
    return np.arange(few) * count // max(few, 1)


def _reference(reference: Any, file: OnnxLayers, label: str | None, sha256: str) -> ReferenceLayers:
    if isinstance(reference, str | Path):
        return OnnxLayers(Path(reference))
    from edgeacts.parity.module_layers import ModuleLayers

    names = [spec.name for spec in file.graph.inputs]
    return ModuleLayers(reference, label or type(reference).__name__, sha256, names, file.output_names)


def _outputs(side: ReferenceLayers, file: OnnxLayers) -> dict[str, str]:
    """The candidate's outputs and what they are called in the reference: alike, else in order. Raises UsageError."""
    if set(side.output_names) == set(file.output_names):
        return {n: n for n in file.output_names}
    if len(side.output_names) != len(file.output_names):
        raise UsageError(
            f"{side.label} gives {len(side.output_names)} outputs ({', '.join(side.output_names)}), "
            f"the candidate {len(file.output_names)} ({', '.join(file.output_names)})"
        )
    return dict(zip(file.output_names, side.output_names, strict=True))


def _record(
    located: Located, file: OnnxLayers, side: ReferenceLayers, place: Place, taken_in: Any
) -> DivergenceRecord:
    return DivergenceRecord(
        reference=side.label,
        reference_sha256=side.sha256,
        candidate=file.label,
        candidate_sha256=file.sha256,
        runtime=place.runtime,
        level=place.level or levels(place.runtime)[-1],
        rows=located.rows,
        first=located.first,
        looks=located.looks,
        observer_effect=located.observer_effect,
        minimal_model="",
        minimal_input="",
        summary=located.summary,
        circumstances=taken_in,
    )
