"""What an ONNX file says of itself: metadata that must agree, the bound of its activations, the precision it is in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edgeacts.errors import DamagedFile
from edgeacts.parity.comparing import Place, bare_row
from edgeacts.records import ParityRow
from edgeacts.runtimes import Session, model_metadata, ort_graph
from edgeacts.runtimes.onnx_file import load_onnx

_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}


def metadata_rows(path: Path, expected: Mapping[str, str]) -> list[ParityRow]:
    """A row per metadata entry that is missing or says something else than the reference does."""
    if not expected:
        return []
    found = model_metadata(path)
    rows = []
    for key, value in expected.items():
        if key not in found or not _same_json(found[key], value):
            what = (
                "is missing" if key not in found else f"is {found[key][:80]}, the reference has {value[:80]}"
            )
            rows.append(bare_row(Place(path.name, "file", "", "", "metadata"), key, f"metadata {key} {what}"))
    return rows


def _same_json(a: str, b: str) -> bool:
    try:
        return bool(json.loads(a) == json.loads(b))
    except ValueError:
        return a == b


def form_bound(path: Path) -> float:
    """The largest error bound of an activation form that the file's metadata state; 0 for files that are not ours."""
    try:
        stated = json.loads(model_metadata(path).get("edgeacts.forms", "{}"))
        bounds = [float(form["bound"]) for form in stated.values()]
        if not all(bound >= 0 for bound in bounds):
            raise ValueError("a bound is not a number of at least 0")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise DamagedFile(f"{path}: metadata edgeacts.forms cannot be read; export the model again") from None
    return max(bounds, default=0.0)


def granted_bound(session: Session, stated: float, tolerance: float) -> float:
    """The bound of the forms that run in `session`, or else the file's `stated` one, as far as it is granted."""
    own = session.form_bound
    return min(stated if own is None else own, tolerance)


def file_precisions(path: Path) -> frozenset[str]:
    """Precisions that the file itself is in: `f32`, `f16`, ...; with `int8` when it holds quantized tensors."""
    if path.suffix.lower() == ".xml":
        from edgeacts.runtimes.openvino_ir import new_core, read_ir, stored_precisions

        return stored_precisions(read_ir(new_core(), path)[0])
    model = load_onnx(path)
    found = set(ort_graph.precisions(model))
    if _QUANTIZED & set(ort_graph.operators(model)):
        found.add("int8")
    return frozenset(found or {"f32"})
