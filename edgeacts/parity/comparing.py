"""One output of a candidate against the reference: error, movement, predictions, and whether that passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeacts.parity.budgets import INT8_FLIPS_AT_MOST, STILL_ROUNDINGS, UNIT_ROUNDOFF, coarsest, limits
from edgeacts.parity.noise import movement, size
from edgeacts.parity.predictions import count_flips
from edgeacts.records import Budget, Outcome, ParityRow
from edgeacts.shares import wilson_interval

CURE = "verify trained weights on real inputs"


@dataclass(frozen=True)
class Place:
    """Where a comparison was made."""

    candidate: str
    runtime: str
    level: str
    precision: str
    inputs: str
    batch: int = 0
    threads: int = 0


def compare(
    place: Place,
    output: str,
    expected: NDArray[np.float64],
    found: NDArray[np.float64] | None,
    budget: Budget | None,
    moved: float | None = None,
) -> ParityRow:
    """The row of one output; `moved` is its movement, if that is known over more inputs than these.

    A missing output, another shape, a value that is not finite or nothing to compare fails. `budget` None: the output does
    not move. Then a large error fails, and agreement is blind.
    """
    counts: dict[str, Any] = {
        "input_count": len(expected) if expected.ndim else 0,
        "value_count": int(expected.size),
        "allowed_relative_error": 0.0 if budget is None else budget.allowed,
    }
    problem = _problem(expected, found)
    if problem is not None or found is None:
        return bare_row(place, output, problem or "", **counts)
    numbers = _numbers(expected, found, movement(expected) if moved is None else moved)
    outcome, reason = _still(place, expected, numbers) if budget is None else _judge(budget, numbers)
    row = bare_row(place, output, reason, **counts, **numbers, outcome=outcome)
    return _with_flips(row, expected, found)


def bare_row(
    place: Place, output: str, reason: str, *, outcome: Outcome = "fail", **numbers: Any
) -> ParityRow:
    """A row with the given numbers, None for the others; without any it is a failure that was not a comparison."""
    nothing: dict[str, Any] = {
        "input_count": 0, "value_count": 0, "worst_input": None, "max_error": None, "p999_error": None, "mean_error": None,
        "movement": None, "relative_error": None, "allowed_relative_error": 0.0, "snr_db": None, "predictions_differ": None,
        "predictions_total": None, "flip_interval": None, "flip_margin": None,
    }  # fmt: skip
    return ParityRow(
        candidate=place.candidate, runtime=place.runtime, level=place.level, precision=place.precision, batch=place.batch,
        threads=place.threads, inputs=place.inputs, output=output, outcome=outcome, reason=reason, **{**nothing, **numbers},
    )  # fmt: skip


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


def _numbers(expected: NDArray[np.float64], found: NDArray[np.float64], moved: float) -> dict[str, Any]:
    error = np.abs(expected - found)
    largest = float(error.max())
    return {
        "worst_input": int(error.argmax()) // max(1, error.size // len(error)),
        "max_error": largest,
        "p999_error": float(np.quantile(error, 0.999)),
        "mean_error": float(error.mean()),
        "movement": moved,
        "relative_error": largest / moved if moved > 0 else None,
        "snr_db": _snr_db(expected - expected.mean(axis=0), error),
    }


def _snr_db(signal: NDArray[np.float64], error: NDArray[np.float64]) -> float | None:
    """10·log10 of signal power over error power; None when either is zero."""
    signal_power, error_power = float(np.mean(np.square(signal))), float(np.mean(np.square(error)))
    if not (0 < signal_power < math.inf and 0 < error_power < math.inf):
        return None
    return 10 * math.log10(signal_power / error_power)


def _judge(budget: Budget, numbers: dict[str, Any]) -> tuple[Outcome, str]:
    error, limit = numbers["relative_error"], limits(budget)
    if error <= limit.passes:
        return "pass", ""
    if error <= limit.explained:
        return "blind", (
            f"blind: error {error:.2g} of the movement is within what the model's own noise ({budget.noise:.2g}) and "
            f"{budget.precision} explain ({limit.explained:.2g}), but above {limit.passes:.2g} nobody can tell; {CURE}"
        )
    return "fail", f"error {error:.2g} of the movement, {limit.passes:.2g} allowed"


def _still(place: Place, expected: NDArray[np.float64], numbers: dict[str, Any]) -> tuple[Outcome, str]:
    """An output that does not move: wrong when it is off by many roundings of its size, otherwise blind."""
    largest = size(expected)
    allowed = STILL_ROUNDINGS * UNIT_ROUNDOFF[coarsest(place.precision)] * largest
    if numbers["max_error"] > allowed:
        return "fail", (
            f"error {numbers['max_error']:.2g} of an output that hardly moves with the input, {allowed:.2g} allowed"
        )
    share = numbers["movement"] / largest if largest else 0.0
    return "blind", (
        f"blind: the output hardly moves with the input ({share:.1g} of its size), so agreement means nothing; {CURE}"
    )


def _with_flips(row: ParityRow, expected: NDArray[np.float64], found: NDArray[np.float64]) -> ParityRow:
    """The row with its predictions; an 8-bit candidate fails when too many flip for sure."""
    flips = count_flips(expected, found)
    if flips is None:
        return row
    interval = wilson_interval(flips.differ, flips.total)
    moved = row.movement or 0.0
    margin = flips.margin / moved if flips.margin is not None and moved > 0 else None
    row = msgspec.structs.replace(
        row,
        predictions_differ=flips.differ,
        predictions_total=flips.total,
        flip_interval=interval,
        flip_margin=margin,
    )
    if row.passed and coarsest(row.precision) == "int8" and interval[0] > INT8_FLIPS_AT_MOST:
        reason = (
            f"{flips.differ} of {flips.total} predictions flip: at least {interval[0]:.0%} with 95 % confidence, "
            f"{INT8_FLIPS_AT_MOST:.0%} allowed for 8 bits"
        )
        return msgspec.structs.replace(row, outcome="fail", reason=reason)
    return row
