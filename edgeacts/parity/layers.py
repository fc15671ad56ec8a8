"""Values inside a model: what they are, a sample of them to recognise them by, and whether two of them agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeacts.parity.layer_budgets import BLIND, allowed_error

Arrays = dict[str, NDArray[Any]]
SAMPLE = 4096  # elements of a value, in each run, by which it is recognised


@dataclass(frozen=True)
class Layer:
    """One value that a model computes: its name, what makes it, shape and dtype in the first run, a sample of it."""

    name: str
    operator: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sample: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Elements."""
        return int(np.prod(self.shape, dtype=np.int64))


def sample(array: NDArray[Any]) -> NDArray[np.float64]:
    """At most SAMPLE elements, spread evenly."""
    flat = np.asarray(array).reshape(-1)
    return flat[:: max(1, -(-flat.size // SAMPLE))].astype(np.float64)


def layer(name: str, operator: str, arrays: Sequence[NDArray[Any]]) -> Layer:
    """The layer of a value, from its arrays of all runs."""
    first = arrays[0]
    return Layer(name, operator, first.shape, first.dtype, np.concatenate([sample(a) for a in arrays]))


@dataclass(frozen=True)
class Judgement:
    """Whether a value agrees; errors as in `records.LayerRow`, `reason` in words where it fails."""

    outcome: Literal["pass", "fail", "blind"]
    max_error: float | None
    relative_error: float | None
    allowed: float | None
    reason: str = ""


def judge(
    expected: Sequence[NDArray[Any]],
    rounded: Sequence[NDArray[Any]],
    found: Sequence[NDArray[Any]],
    *,
    precision: str,
    form_bound: float,
) -> Judgement:
    """One value over all runs (each an array of its own). The allowed error is a share of how far it moves between runs.

    `rounded` is the reference in float32: its distance from `expected` is the noise. A NaN on either side fails; infinities of
    one sign in one place agree. Integers and booleans must be equal (8-bit integers up to one step).
    """
    for wanted, got in zip(expected, found, strict=True):
        if wanted.shape != got.shape:
            return _failed(f"shape {list(got.shape)}, the reference has {list(wanted.shape)}")
    if any(wanted.shape != expected[0].shape for wanted in expected):
        return Judgement("blind", None, None, None, "its shape changes with the input")
    e, n, f = (np.stack([np.asarray(a) for a in side]) for side in (expected, rounded, found))
    if e.dtype.kind not in "fc" or f.dtype.kind not in "fc":
        return _exact(e, n, f)
    return _close(e.astype(np.float64), n.astype(np.float64), f.astype(np.float64), precision, form_bound)


def _failed(reason: str) -> Judgement:
    return Judgement("fail", None, None, None, reason)


def _exact(expected: NDArray[Any], rounded: NDArray[Any], found: NDArray[Any]) -> Judgement:
    difference = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    largest = float(difference.max(initial=0.0))
    step = 1.0 if found.dtype.kind in "iu" and found.dtype.itemsize == 1 else 0.0
    if largest <= step:
        return Judgement("pass", largest, None, step)
    if not np.array_equal(expected, rounded):
        return Judgement("blind", largest, None, step, "rounding alone changes these integers")
    count = int(np.count_nonzero(difference > step))
    return Judgement("fail", largest, None, step, f"{count} of {found.size} integers differ")


def _close(
    expected: NDArray[np.float64],
    rounded: NDArray[np.float64],
    found: NDArray[np.float64],
    precision: str,
    form_bound: float,
) -> Judgement:
    for side, values in (("the reference", expected), ("the candidate", found)):
        if count := int(np.count_nonzero(np.isnan(values))):
            return _failed(f"{count} of {values.size} values of {side} are NaN")
    infinite = np.isinf(expected) | np.isinf(found)
    if not np.array_equal(expected[infinite], found[infinite]):
        return _failed("one side is infinite where the other is not")
    if expected.size == 0:
        return Judgement("blind", None, None, None, "it is empty")
    wanted, got = np.where(infinite, 0.0, expected), np.where(infinite, 0.0, found)
    error, size = float(np.max(np.abs(wanted - got))), float(np.max(np.abs(wanted)))
    moved = float(np.max(np.std(wanted, axis=0))) if len(wanted) > 1 else 0.0
    with np.errstate(invalid="ignore"):
        noise = np.nan_to_num(np.abs(expected - rounded), nan=0.0, posinf=0.0)
    dead = not moved > BLIND * size
    unit = (size or 1.0) if dead else moved
    allowed = allowed_error(precision, float(noise.max()) / unit, form_bound)
    share = error / unit
    if not share <= allowed:
        what = "size, it hardly moves with the input" if dead else "movement"
        return Judgement(
            "fail", error, share, allowed, f"error {share:.2g} of its {what}, {allowed:.2g} allowed"
        )
    return Judgement("blind" if dead else "pass", error, share, allowed)


def relative_error(
    expected: Mapping[str, Sequence[NDArray[Any]]], found: Mapping[str, Sequence[NDArray[Any]]]
) -> float:
    """The largest error of any output, as a share of its movement over all inputs; inf for what cannot be compared."""
    worst = 0.0
    for name, arrays in expected.items():
        got = found.get(name)
        if got is None or any(a.shape != b.shape for a, b in zip(arrays, got, strict=True)):
            return float("inf")
        e, f = (np.concatenate([np.atleast_1d(a).astype(np.float64) for a in side]) for side in (arrays, got))
        moved = float(np.max(np.std(e, axis=0))) if e.size else 0.0
        error = float(np.max(np.abs(e - f), initial=0.0))
        share = error / (moved or float(np.max(np.abs(e), initial=0.0)) or 1.0)
        worst = max(worst, share if np.isfinite(share) else float("inf"))
    return worst
