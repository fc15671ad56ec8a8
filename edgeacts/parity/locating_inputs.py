"""The inputs on which two models differ most: that is where a divergence is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError
from edgeacts.parity.inputs import REFERENCE_BATCH, InputSet
from edgeacts.parity.layer_budgets import FLOOR
from edgeacts.parity.layers import Judgement, relative_error
from edgeacts.parity.truth import ReferenceLayers, Runs, Truth, by_name
from edgeacts.runtimes import Session

RUNS_AT_MOST = 8


@dataclass(frozen=True)
class Chosen:
    """Runs of the kind of input `name`, the candidate's undisturbed outputs on them, and the judgement of each output."""

    name: str
    runs: Runs
    found: Mapping[str, Sequence[NDArray[Any]]]
    judged: Mapping[str, Judgement]

    @property
    def failing(self) -> str | None:
        """The first output that is beyond its budget."""
        return next((n for n, j in self.judged.items() if j.outcome == "fail"), None)


def choose(
    sets: Sequence[InputSet],
    plain: Session,
    side: ReferenceLayers,
    outputs: Mapping[str, str],
    *,
    precision: str,
    form_bound: float,
) -> Chosen:
    """Runs on which an output of `plain` is beyond its budget; where none is, those that come nearest to it.

    `outputs` are the candidate's outputs and what they are called in the reference. One input is a run, so that what is in
    the batch beside it plays no part; where only whole batches differ, a batch is a run.
    """
    fixed = plain.inputs[0].shape[0] if plain.inputs[0].shape else None
    first: Chosen | None = None
    for share, inputs in sorted(
        (_spread(s, plain, side, outputs, fixed) for s in sets), key=lambda item: -item[0]
    ):
        for runs in _runs(inputs, fixed, batches=share > FLOOR[precision]):
            chosen = judged(
                inputs.name, runs, plain, side, outputs, precision=precision, form_bound=form_bound
            )
            if chosen.failing is not None:
                return chosen
            first = first or chosen
            if share <= FLOOR[precision]:
                return first  # this kind, and those behind it, are well within any budget
    assert first is not None  # noqa: S101  there is always a kind of input
    return first


def judged(
    name: str,
    runs: Runs,
    plain: Session,
    side: ReferenceLayers,
    outputs: Mapping[str, str],
    *,
    precision: str,
    form_bound: float,
) -> Chosen:
    """Every output on these runs."""
    found = by_name(plain.infer(feeds) for feeds in runs)
    truth = Truth(side, runs, {}, precision=precision, form_bound=form_bound)
    truth.fetch(outputs.values())
    return Chosen(name, runs, found, {n: truth.judge(r, found[n]) for n, r in outputs.items()})


def _runs(inputs: InputSet, fixed: int | None, *, batches: bool) -> Iterator[Runs]:
    yield _cut(inputs, fixed, 1)[:RUNS_AT_MOST]
    if batches and not fixed:
        whole = inputs.first(inputs.count // REFERENCE_BATCH * REFERENCE_BATCH).batches(REFERENCE_BATCH)
        if len(whole) > 1:
            yield whole[:RUNS_AT_MOST]


def _cut(inputs: InputSet, fixed: int | None, size: int) -> list[dict[str, NDArray[Any]]]:
    """Batches of `size`, or of the only size the model takes."""
    return inputs.filled(fixed).batches(fixed) if fixed else inputs.batches(size)


def _spread(
    inputs: InputSet, plain: Session, side: ReferenceLayers, outputs: Mapping[str, str], fixed: int | None
) -> tuple[float, InputSet]:
    """The largest error of any output in units of its movement, and the inputs ordered by it, the worst first."""
    runs = _cut(inputs, fixed, REFERENCE_BATCH)
    found = by_name(plain.infer(feeds) for feeds in runs)
    wanted = by_name(side.look(list(outputs.values()), runs, exact=False))
    lost = [n for n, r in outputs.items() if r not in wanted or n not in found]
    if lost:  # text, and numbers that numpy does not have
        raise EdgeactsError(f"output {lost[0]} cannot be compared as numbers")
    expected = {n: wanted[r] for n, r in outputs.items()}
    count = len(next(iter(inputs.feeds.values())))
    errors = np.zeros(count)
    for name, arrays in expected.items():
        for start, (a, b) in enumerate(zip(arrays, found[name], strict=True)):
            where = start * len(next(iter(runs[start].values())))
            if a.shape == b.shape and a.ndim and where + len(a) <= count:
                with np.errstate(invalid="ignore"):
                    gaps = np.abs(a.astype(np.float64) - b).reshape(len(a), -1).max(axis=1)
                errors[where : where + len(a)] = np.maximum(
                    errors[where : where + len(a)], np.nan_to_num(gaps, nan=np.inf)
                )
    order = np.argsort(-errors, kind="stable")
    return relative_error(expected, found), inputs.take(order)
