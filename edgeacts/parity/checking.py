"""`verify`: a reference against an ONNX file, on every runtime and optimization level, on several kinds of input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeacts.circumstances import circumstances
from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError
from edgeacts.files import sha256_file
from edgeacts.names import check_name
from edgeacts.onnx_metadata import read_metadata
from edgeacts.parity.budgets import FORM_BOUND_AT_MOST, allowed_relative_error
from edgeacts.parity.comparing import Place, compare, relative_noise
from edgeacts.parity.inputs import InputSet, input_sets
from edgeacts.parity.references import Arrays, ModuleReference, OnnxReference, Reference
from edgeacts.records import ParityRow, Verdict
from edgeacts.runtimes import PRECISIONS, Session, TensorSpec, levels, open_runtime, runtime_names

if TYPE_CHECKING:
    from torch import nn

RUNTIMES = ("onnxruntime", "accelerated", "openvino")
IMAGES_AT_MOST = 128


def verify(
    reference: nn.Module | str | Path,
    candidate: str | Path,
    *,
    images: NDArray[np.float32] | None = None,
    runtimes: Sequence[str] = RUNTIMES,
    threads: int = 1,
    precision: str = "f32",
    tolerance: float = FORM_BOUND_AT_MOST,
    sizes: Mapping[str, int] | None = None,
    label: str | None = None,
    reference_sha256: str = "",
    expected_metadata: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Verdict:
    """Does the ONNX file `candidate` compute what `reference` (a torch module in eval mode, or an ONNX file) computes?

    `images` are preprocessed inputs [N, ...]; random inputs and extremes are always tried. Every output is compared, on every
    optimization level of every runtime; the error is related to how far the output moves between inputs. A missing output,
    a NaN or another shape is a failure; a runtime that is not installed is listed in `skipped`, and if none is left that is
    the error. The bound that the file states for its activations is granted up to `tolerance`. `expected_metadata` must
    stand in the file as given.
    Raises UsageError, DamagedFile, NotAvailable or EdgeactsError.
    """
    path = Path(candidate)
    for name in runtimes:
        check_name(name, runtime_names(), "runtime")
    if not runtimes:
        raise UsageError("no runtime to verify on: give at least one")
    check_name(precision, PRECISIONS, "precision")
    taken_in, sha256 = circumstances(), sha256_file(path)
    with ExitStack() as stack:
        specs = stack.enter_context(open_runtime(path, "onnxruntime", threads=threads))
        judge = _reference(reference, specs.inputs, specs.outputs, label, reference_sha256)
        sets = input_sets(
            specs.inputs, None if images is None else images[:IMAGES_AT_MOST], sizes or {}, seed
        )
        fixed = specs.inputs[0].shape[0] if specs.inputs[0].shape else None
        expected = {s.name: _outputs(judge.exact, s, fixed) for s in sets}
        rounded = {s.name: _outputs(judge.rounded, s, fixed) for s in sets}
    bound = min(_form_bound(path), tolerance)
    allowed = {
        s: {
            n: allowed_relative_error(precision, relative_noise(v, rounded[s][n]), bound)
            for n, v in values.items()
        }
        for s, values in expected.items()
    }
    rows = _metadata_rows(path, expected_metadata or {})
    skipped: dict[str, str] = {}
    work = [(runtime, level) for runtime in runtimes for level in levels(runtime)]
    for runtime, level in tqdm(work, desc="verify", unit="level", disable=not progress, leave=False):
        try:
            with open_runtime(path, runtime, level=level, threads=threads, precision=precision) as session:
                executed = str(session.executed()["precision"])
                for inputs in sets:
                    place = Place(path.name, runtime, level, executed, inputs.name)
                    rows += _rows(session, place, inputs, expected[inputs.name], allowed[inputs.name], fixed)
        except NotAvailable as error:
            skipped[runtime] = str(error)
        except EdgeactsError as error:
            rows.append(_failure(path, runtime, level, precision, error))
    if not any(row.value_count for row in rows):
        reasons = [*skipped.values(), *(row.reason for row in rows if not row.passed)]
        raise (NotAvailable if skipped else EdgeactsError)(
            f"nothing was compared: {'; '.join(dict.fromkeys(reasons))}"
        )
    passed = all(row.passed for row in rows)
    return Verdict(
        reference=judge.label,
        reference_sha256=judge.sha256,
        candidate=path.name,
        candidate_sha256=sha256,
        passed=passed,
        summary=_summary(rows, skipped),
        rows=tuple(rows),
        skipped=skipped,
        circumstances=taken_in,
    )


def _reference(
    reference: Any,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    label: str | None,
    sha256: str,
) -> Reference:
    if isinstance(reference, str | Path):
        path = Path(reference)
        return OnnxReference(path, sha256_file(path))
    names = [s.name for s in inputs], [s.name for s in outputs]
    return ModuleReference(reference, label or type(reference).__name__, sha256, *names)


def _outputs(run: Any, inputs: InputSet, fixed: int | None) -> Arrays:
    """Every output over all batches, in float64."""
    parts: list[Arrays] = [run(feeds) for feeds in inputs.batches(fixed)]
    joined = {}
    for name in parts[0]:
        try:
            joined[name] = np.concatenate([_with_batch(p[name]) for p in parts]).astype(np.float64)
        except ValueError as error:  # text, or a shape that depends on the values
            raise EdgeactsError(f"output {name} cannot be compared as numbers: {error}") from None
    return joined


def _with_batch(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.ndim else array[None]


def _rows(
    session: Session,
    place: Place,
    inputs: InputSet,
    expected: Arrays,
    allowed: Mapping[str, float],
    fixed: int | None,
) -> list[ParityRow]:
    own = [s.name for s in session.inputs]
    renamed = InputSet(inputs.name, dict(zip(own, inputs.feeds.values(), strict=True)), inputs.batch)
    found = _outputs(session.infer, renamed, fixed)
    rows = [compare(place, n, values, found.get(n), allowed[n]) for n, values in expected.items()]
    extra = [n for n in found if n not in expected]
    return rows + [_bare(place, n, "the reference has no output of this name") for n in extra]


def _bare(place: Place, output: str, reason: str, *, passed: bool = False) -> ParityRow:
    return ParityRow(
        candidate=place.candidate, runtime=place.runtime, level=place.level, precision=place.precision, inputs=place.inputs,
        output=output, input_count=0, value_count=0, max_error=None, movement=None, relative_error=None,
        allowed_relative_error=0.0, predictions_differ=None, predictions_total=None, passed=passed, reason=reason,
    )  # fmt: skip


def _failure(path: Path, runtime: str, level: str, precision: str, error: EdgeactsError) -> ParityRow:
    return _bare(Place(path.name, runtime, level, precision, ""), "", str(error))


def _metadata_rows(path: Path, expected: Mapping[str, str]) -> list[ParityRow]:
    """A row per metadata entry that is missing or says something else than the reference does."""
    if not expected:
        return []
    found = read_metadata(path)
    rows = []
    for key, value in expected.items():
        if key not in found or not _same_json(found[key], value):
            what = (
                "is missing" if key not in found else f"is {found[key][:80]}, the reference has {value[:80]}"
            )
            rows.append(_bare(Place(path.name, "file", "", "", "metadata"), key, f"metadata {key} {what}"))
    return rows


def _same_json(a: str, b: str) -> bool:
    try:
        return bool(json.loads(a) == json.loads(b))
    except ValueError:
        return a == b


def _form_bound(path: Path) -> float:
    """The largest error bound of an activation form that the file's metadata state; 0 for files that are not ours."""
    try:
        stated = json.loads(read_metadata(path).get("edgeacts.forms", "{}"))
        bounds = [float(form["bound"]) for form in stated.values()]
        if not all(bound >= 0 for bound in bounds):
            raise ValueError("a bound is not a number of at least 0")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise DamagedFile(f"{path}: metadata edgeacts.forms cannot be read; export the model again") from None
    return max(bounds, default=0.0)


def _summary(rows: Sequence[ParityRow], skipped: Mapping[str, str]) -> str:
    failed = [r for r in rows if not r.passed]
    judged = [r.relative_error / r.allowed_relative_error for r in rows if r.relative_error is not None]
    text = f"{len(rows) - len(failed)} of {len(rows)} comparisons passed"
    if failed:
        first = failed[0]
        where = ", ".join(t for t in (first.runtime, first.level, first.inputs, first.output) if t)
        text += f"; first failure ({where}): {first.reason}"
    elif judged:
        text += f"; the largest error is {max(judged):.0%} of what is allowed"
    return text + (f"; not checked: {', '.join(skipped)}" if skipped else "")
