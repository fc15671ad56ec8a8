"""One output of a candidate against the reference: error, movement, predictions, and whether that passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeacts.parity.budgets import BLIND
from edgeacts.records import ParityRow


@dataclass(frozen=True)
class Place:
    """Where a comparison was made."""

    candidate: str
    runtime: str
    level: str
    precision: str
    inputs: str


def movement(values: NDArray[np.float64]) -> float:
    """How far an output moves between inputs: standard deviation over the first dimension, the largest of all elements."""
    return float(np.max(np.std(values, axis=0))) if len(values) > 1 and values.size else 0.0


def relative_noise(exact: NDArray[np.float64], rounded: NDArray[np.float64]) -> float:
    """Largest float32 error of the reference itself in one output, as a share of the output's movement; 0 if not finite."""
    moved = movement(exact)
    if not moved > 0 or exact.shape != rounded.shape:
        return 0.0
    share = float(np.max(np.abs(exact - rounded))) / moved
    return share if np.isfinite(share) else 0.0


def compare(
    place: Place,
    output: str,
    expected: NDArray[np.float64],
    found: NDArray[np.float64] | None,
    allowed: float,
) -> ParityRow:
    """The row of one output. A missing output, another shape, a NaN on either side or nothing to compare fails."""
    problem = _problem(expected, found)
    if problem is not None or found is None:
        return _row(place, output, expected, allowed, passed=False, reason=problem or "")
    error = float(np.max(np.abs(expected - found)))
    moved = movement(expected)
    size = float(np.max(np.abs(expected)))
    differ, total = _predictions(expected, found)
    relative = error / moved if moved > 0 else None
    if moved <= BLIND * size or relative is None:
        reason = "blind: the output hardly moves with the input, so agreement means nothing; use trained weights and real inputs"
        passed = False
    else:
        passed = relative <= allowed
        reason = "" if passed else f"error {relative:.2g} of the movement, {allowed:.2g} allowed"
    return _row(place, output, expected, allowed, passed=passed, reason=reason, error=error, moved=moved, relative=relative,
                differ=differ, total=total)  # fmt: skip


def _problem(expected: NDArray[np.float64], found: NDArray[np.float64] | None) -> str | None:
    if found is None:
        return "the output is missing"
    if expected.size == 0:
        return "nothing to compare: the output is empty"
    if expected.shape != found.shape:
        return f"shape {list(found.shape)}, the reference has {list(expected.shape)}"
    for side, values in (("the reference", expected), ("the candidate", found)):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            return f"{bad} of {values.size} values of {side} are not finite"
    return None


def _predictions(expected: NDArray[np.float64], found: NDArray[np.float64]) -> tuple[int | None, int | None]:
    """How many rows have another largest element; None for outputs that are not class scores."""
    if expected.ndim != 2 or expected.shape[1] < 2:
        return None, None
    return int(np.count_nonzero(expected.argmax(1) != found.argmax(1))), len(expected)


def _row(
    place: Place,
    output: str,
    expected: NDArray[np.float64],
    allowed: float,
    *,
    passed: bool,
    reason: str,
    error: float | None = None,
    moved: float | None = None,
    relative: float | None = None,
    differ: int | None = None,
    total: int | None = None,
) -> ParityRow:
    return ParityRow(
        candidate=place.candidate,
        runtime=place.runtime,
        level=place.level,
        precision=place.precision,
        inputs=place.inputs,
        output=output,
        input_count=len(expected) if expected.ndim else 0,
        value_count=int(expected.size),
        max_error=error,
        movement=moved,
        relative_error=relative,
        allowed_relative_error=allowed,
        predictions_differ=differ,
        predictions_total=total,
        passed=passed,
        reason=reason,
    )
