"""`verify`: a reference against an ONNX file, in every way the file can run here, on several kinds of input."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeacts.circumstances import circumstances
from edgeacts.errors import EdgeactsError, NotAvailable, UsageError
from edgeacts.files import sha256_file
from edgeacts.names import check_name
from edgeacts.parity.budgets import FORM_BOUND_AT_MOST
from edgeacts.parity.candidates import Candidate
from edgeacts.parity.claims import metadata_rows
from edgeacts.parity.inputs import Given, input_sets
from edgeacts.parity.judging import overall, summary
from edgeacts.parity.matrix import Cell, cells
from edgeacts.parity.noise import measure
from edgeacts.parity.references import ModuleReference, OnnxReference, Reference
from edgeacts.records import ParityRow, Verdict
from edgeacts.runtimes import TensorSpec, open_runtime, runtime_names, unreadable

if TYPE_CHECKING:
    from torch import nn

RUNTIMES = runtime_names()
BATCHES = (1, 2, 7)


def verify(
    reference: nn.Module | str | Path,
    candidate: str | Path,
    *,
    images: NDArray[np.float32] | None = None,
    inputs: Given | None = None,
    runtimes: Sequence[str] = RUNTIMES,
    batches: Sequence[int] = BATCHES,
    threads: int | Sequence[int] = 1,
    precisions: str | Sequence[str] | None = "f32",
    tolerance: float = FORM_BOUND_AT_MOST,
    sizes: Mapping[str, int] | None = None,
    label: str | None = None,
    reference_sha256: str = "",
    expected_metadata: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Verdict:
    """Does the ONNX file `candidate` compute what `reference` (a torch module in eval mode, or an ONNX file) computes?

    `images` are preprocessed validation images [N, ...], `inputs` any others (an array, or one by input name); random inputs
    and extremes are always tried. Every output is compared in every combination of runtime, optimization level, precision
    (None: all that run here), threads and batch. The error is related to how far the output moves between inputs, and its
    budget is made of the reference's own float32 noise, the executed precision and the bound that the file states for its
    activations, up to `tolerance`. A missing output, a value that is not finite or another shape is a failure; so is metadata
    other than `expected_metadata`. An output that does not move is blind. What is not installed or cannot be asked for is
    listed in `skipped`, and if nothing is left that is the error.
    Raises UsageError, DamagedFile, NotAvailable or EdgeactsError.
    """
    begin, path = time.perf_counter(), Path(candidate)
    asked = (precisions,) if isinstance(precisions, str) else precisions
    able, unable = _readers(path, runtimes)
    work, skipped = cells(able, asked, (threads,) if isinstance(threads, int) else threads)
    skipped |= unable
    taken_in, sha256 = circumstances(), sha256_file(path)
    with open_runtime(path, "openvino" if path.suffix.lower() == ".xml" else "onnxruntime") as session:
        specs = session.inputs, session.outputs
    sets = input_sets(specs[0], _given(images, inputs), sizes or {}, seed)
    batches, fixed = _batches(specs[0], batches, skipped)
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        judge = _reference(reference, *specs, label, reference_sha256, Path(folder))
        measured = measure(judge, sets, fixed)
        subject = Candidate(path, measured, tolerance)
        rows = metadata_rows(path, expected_metadata or {})
        rows += _all_rows(subject, work, batches, skipped, progress)
    _check_compared(rows, skipped)
    outcome = overall(rows)
    return Verdict(
        reference=judge.label,
        reference_sha256=judge.sha256,
        candidate=path.name,
        candidate_sha256=sha256,
        outcome=outcome,
        summary=summary(rows, outcome, skipped, judge.arithmetic),
        rows=tuple(rows),
        budgets=subject.budgets,
        skipped=skipped,
        seconds=time.perf_counter() - begin,
        circumstances=taken_in,
    )


def _readers(path: Path, runtimes: Sequence[str]) -> tuple[Sequence[str], dict[str, str]]:
    """(those that read such a file, the others with the reason); all of them, if that is none."""
    for name in runtimes:
        check_name(name, runtime_names(), "runtime")
    unable = {name: reason for name in runtimes if (reason := unreadable(name, path))}
    able = [name for name in runtimes if name not in unable]
    return (able, unable) if able else (runtimes, {})


def _given(images: NDArray[np.float32] | None, inputs: Given | None) -> dict[str, Given]:
    named = {"validation": images, "given": inputs}
    return {name: values for name, values in named.items() if values is not None}


def _batches(
    specs: Sequence[TensorSpec], asked: Sequence[int], skipped: dict[str, str]
) -> tuple[tuple[int, ...], int | None]:
    """(batch sizes to run, the only one the model takes or None); the others are noted in `skipped`."""
    if not asked or any(isinstance(b, bool) or not isinstance(b, int) or b < 1 for b in asked):
        raise UsageError(f"batches {asked!r}: give whole numbers of at least 1, such as {BATCHES}")
    fixed = specs[0].shape[0] if specs[0].shape else None
    if fixed is None:
        return tuple(dict.fromkeys(asked)), None
    others = [str(b) for b in dict.fromkeys(asked) if b != fixed]
    if others:
        skipped[f"batch {' and '.join(others)}"] = f"the model takes batches of {fixed} only"
    return (fixed,), fixed


def _reference(
    reference: Any,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    label: str | None,
    sha256: str,
    folder: Path,
) -> Reference:
    if isinstance(reference, str | Path):
        path = Path(reference)
        return OnnxReference(path, sha256_file(path), folder)
    names = [s.name for s in inputs], [s.name for s in outputs]
    return ModuleReference(reference, label or type(reference).__name__, sha256, *names)


def _all_rows(
    subject: Candidate,
    work: Sequence[Cell],
    batches: Sequence[int],
    skipped: dict[str, str],
    progress: bool,
) -> list[ParityRow]:
    rows = []
    for cell in tqdm(work, desc="verify", unit="session", disable=not progress, leave=False):
        try:
            rows += list(subject.rows(cell, batches))
        except NotAvailable as error:
            skipped[cell.runtime] = str(error)
    return rows


def _check_compared(rows: Sequence[ParityRow], skipped: Mapping[str, str]) -> None:
    if any(row.value_count for row in rows):
        return
    reasons = [*(row.reason for row in rows if not row.passed), *skipped.values()]
    error = NotAvailable if skipped and not rows else EdgeactsError
    raise error(f"nothing was compared: {'; '.join(dict.fromkeys(reasons))}")
