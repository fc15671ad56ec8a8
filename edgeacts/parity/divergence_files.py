"""What `locate` writes: the record, the diverging layer as a file of its own with its input, the colours for Model Explorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError
from edgeacts.files import write_text_atomic
from edgeacts.parity.executed_layers import Place
from edgeacts.parity.minimal import EXPECTED, write_arrays, write_part
from edgeacts.parity.node_data import node_data
from edgeacts.parity.onnx_layers import OnnxGraph
from edgeacts.records import DivergenceRecord

MODEL, INPUT, TWIN = "minimal.onnx", "minimal-input.npz", "minimal-reference.onnx"


@dataclass(frozen=True)
class Part:
    """The diverging value, the reference's arrays for it and for what goes in, in one run; names are the candidate's.

    `twin` gives their names in the reference; an error up to `allowed` is granted.
    """

    given: Mapping[str, NDArray[Any]]
    name: str
    expected: NDArray[Any]
    twin: Mapping[str, str]
    allowed: float


def write_files(
    record: DivergenceRecord,
    folder: Path,
    candidate: OnnxGraph,
    reference: OnnxGraph | None,
    parts: Sequence[Part],
    place: Place,
) -> DivergenceRecord:
    """Write everything; of `parts`, from the smallest on, the first that shows the divergence when it runs alone."""
    for name in (MODEL, INPUT, TWIN):
        (folder / name).unlink(missing_ok=True)  # of an earlier search
    for part in parts:
        read = write_part(
            candidate.proto,
            candidate.path.parent,
            folder / MODEL,
            part.given,
            {part.name: part.expected},
            record.summary,
        )
        if not shows(folder / MODEL, part, place):
            (folder / MODEL).unlink()
            continue
        arrays = {n: part.given[n] for n in read}
        write_arrays(folder / INPUT, {**arrays, f"{EXPECTED}{part.name}": part.expected})
        if reference is not None:
            _write_twin(folder / TWIN, reference, part)
        record = msgspec.structs.replace(
            record, minimal_model=str(folder / MODEL), minimal_input=str(folder / INPUT)
        )
        break
    else:
        if parts:
            told = f"{record.summary}; no part of the file shows it alone: it needs the layers around it"
            record = msgspec.structs.replace(record, summary=told)
    write_text_atomic(folder / "nodes.json", node_data(record, candidate.proto.graph))
    record.write(folder / "divergence.json")
    return record


def _write_twin(path: Path, reference: OnnxGraph, part: Part) -> None:
    given = {part.twin[n]: a for n, a in part.given.items()}
    write_part(reference.proto, reference.path.parent, path, given, {part.twin[part.name]: part.expected})


def shows(path: Path, part: Part, place: Place) -> bool:
    """Whether the file at `path`, executed as the candidate was, is further from the expected values than allowed."""
    try:
        with place.open(path) as session:
            feeds = {spec.name: part.given[spec.name] for spec in session.inputs}
            found = session.infer(feeds)[part.name]
    except EdgeactsError:
        return False
    if found.shape != part.expected.shape:
        return True
    with np.errstate(invalid="ignore"):
        error = np.abs(found.astype(np.float64) - part.expected)
    error[found == part.expected] = 0.0  # infinities too
    return not float(error.max(initial=0.0)) <= part.allowed
