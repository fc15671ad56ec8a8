"""The reference on all inputs, and its own float32 noise: how far runs that are equal on paper lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError
from edgeacts.parity.budgets import BLIND, FORM_BOUND_AT_MOST, make_budget
from edgeacts.parity.inputs import REFERENCE_BATCH, InputSet
from edgeacts.parity.references import Arrays, Reference, Run
from edgeacts.records import Budget

NOISE_INPUTS = 9  # the first of a set: they show the noise as well as all do, and take less time
_NOT_YET: dict[str, float] = {}
# Other threads and batches mostly give the same bits, so they are tried on the first set only.
_SELDOM = ("threads", "batch")


def run_all(run: Run, inputs: InputSet, batch: int) -> Arrays:
    """Every output over all inputs, in float64. Raises EdgeactsError for outputs that are not numbers."""
    parts: list[Arrays] = [run(feeds) for feeds in inputs.batches(batch)]
    joined = {}
    for name in parts[0]:
        try:
            joined[name] = np.concatenate([_with_batch(p[name]) for p in parts]).astype(np.float64)
        except ValueError as error:  # text, or a shape that depends on the values
            raise EdgeactsError(f"output {name} cannot be compared as numbers: {error}") from None
    return joined


def _with_batch(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.ndim else array[None]


def movement(values: NDArray[np.float64]) -> float:
    """How far an output moves between inputs: standard deviation over the first dimension, the largest of all elements."""
    if len(values) < 2 or not values.size:
        return 0.0
    still = values.max(axis=0) == values.min(axis=0)  # the deviation of equal numbers is rounding
    return float(np.max(np.where(still, 0.0, np.std(values, axis=0))))


def size(values: NDArray[np.float64]) -> float:
    """The largest absolute value; 0 of nothing."""
    return float(np.max(np.abs(values))) if values.size else 0.0


def moves(values: NDArray[np.float64]) -> bool:
    """Whether an output moves enough with its input for agreement to mean something."""
    return movement(values) > BLIND * size(values)


class Measured:
    """A reference on one set of inputs: the values to be met, and the budget of each output in any precision."""

    def __init__(self, reference: Reference, inputs: InputSet, fixed: int | None) -> None:
        self.inputs = inputs if fixed is None else inputs.filled(fixed)
        self.fixed = fixed
        self._reference = reference
        self._batch = fixed or REFERENCE_BATCH
        self.expected = run_all(reference.exact, self.inputs, self._batch)
        self.noise: dict[str, dict[str, float]] = {name: {} for name in self.expected}
        self._lowered: dict[str, dict[str, float] | None] = {}
        self._growth: dict[str, float] | None = _NOT_YET
        if not reference.arithmetic:
            self._record("rounding", run_all(reference.rounded, self.inputs, self._batch))

    def add(self, source: str, run: Run, batch: int | None = None) -> None:
        """Take the distance of one more float32 run into the noise."""
        self._record(source, run_all(run, self.few(NOISE_INPUTS), batch or self._batch))

    def at(self, inputs: InputSet, batch: int) -> Arrays:
        """What a candidate must give for the first inputs in batches of that size."""
        count = self.inputs.count
        if all(len(values) == count for values in self.expected.values()):
            return {name: values[: inputs.count] for name, values in self.expected.items()}
        if batch == self._batch and inputs.count == count:
            return self.expected
        return run_all(self._reference.exact, inputs, batch)  # an output has no dimension of inputs

    def few(self, count: int) -> InputSet:
        """The first inputs, about `count` of them, in whole batches if the model has only one size."""
        whole = self.fixed or 1
        return self.inputs.first(max(whole, count // whole * whole))

    def budgets(self, precision: str, form_bound: float) -> Iterator[Budget]:
        """The budget of each output that moves, finite values provided."""
        lowered = self._lowered_errors(precision)
        growth = self._form_growth() if form_bound else None
        for name, values in self.expected.items():
            if not (np.all(np.isfinite(values)) and moves(values)):
                continue
            yield make_budget(
                self.inputs.name, name, precision, noise_sources=self.noise[name],
                lowered=None if lowered is None else lowered[name], size=size(values) / movement(values),
                form_bound=form_bound, form_growth=None if growth is None else growth[name],
            )  # fmt: skip

    def _record(self, source: str, found: Arrays) -> None:
        for name, error in self._errors(found).items():
            self.noise[name][source] = max(error, self.noise[name].get(source, 0.0))

    def _lowered_errors(self, precision: str) -> dict[str, float] | None:
        if precision not in ("bf16", "f16"):
            return None
        if precision not in self._lowered:
            run = self._reference.lowered(precision)
            self._lowered[precision] = (
                None if run is None else self._errors(run_all(run, self.inputs, self._batch))
            )
        return self._lowered[precision]

    def _form_growth(self) -> dict[str, float] | None:
        """What becomes of an error of 1 in every activation, by output; measured once, by errors as forms may have."""
        if self._growth is _NOT_YET:
            run = self._reference.shifted(FORM_BOUND_AT_MOST)
            found = None if run is None else run_all(run, self.few(NOISE_INPUTS), self._batch)
            shares = None if found is None else self._errors(found)
            self._growth = shares and {name: share / FORM_BOUND_AT_MOST for name, share in shares.items()}
        return self._growth

    def _errors(self, found: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
        return {name: relative_noise(values, found[name]) for name, values in self.expected.items()}


def relative_noise(exact: NDArray[np.float64], rounded: NDArray[np.float64]) -> float:
    """Largest error of a run on the first inputs of `exact`, as a share of the output's movement; 0 if not finite."""
    moved, first = movement(exact), exact[: len(rounded)]
    if not moved > 0 or first.shape != rounded.shape or not rounded.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        share = float(np.max(np.abs(first - rounded))) / moved
    return share if np.isfinite(share) else 0.0


def measure(reference: Reference, sets: list[InputSet], fixed: int | None) -> list[Measured]:
    """The reference on each set, every source of noise measured."""
    measured = [Measured(reference, inputs, fixed) for inputs in sets]
    if fixed is None:
        measured[0].add("batch", reference.rounded, batch=1)
    for source, run in reference.variants():
        for one in measured[:1] if source in _SELDOM else measured:
            one.add(source, run)
    return measured
