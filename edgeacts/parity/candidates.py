"""An ONNX file in one of its sessions after another, each output compared with the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edgeacts.errors import EdgeactsError, NotAvailable
from edgeacts.parity.budgets import coarsest
from edgeacts.parity.claims import file_precisions, form_bound, granted_bound
from edgeacts.parity.comparing import Place, bare_row, compare
from edgeacts.parity.inputs import InputSet
from edgeacts.parity.matrix import Cell
from edgeacts.parity.noise import Measured, movement, run_all
from edgeacts.records import Budget, ParityRow
from edgeacts.runtimes import Session, open_runtime

_MADE_UP = ("random", "extremes")  # not what the model was trained for
PROBES = 7  # inputs that show whether another batch or number of threads gives something else


class Candidate:
    """An ONNX file against a measured reference; `budgets` are those that were used."""

    def __init__(self, path: Path, measured: Sequence[Measured], tolerance: float) -> None:
        self.path = path
        self._measured = measured
        self._stated_bound, self._tolerance = form_bound(path), tolerance
        self._own_precisions = file_precisions(path)
        self._executed: dict[tuple[str, str, str], str] = {}
        self._budgets: dict[tuple[str, str, float], dict[str, Budget]] = {}

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Every budget that a comparison was judged by."""
        return tuple(b for of_set in self._budgets.values() for b in of_set.values())

    def rows(self, cell: Cell, batches: Sequence[int]) -> Iterator[ParityRow]:
        """All comparisons of one session: batches, sets of inputs, outputs. Raises NotAvailable."""
        try:
            with open_runtime(
                self.path, cell.runtime, level=cell.level, threads=cell.threads, precision=cell.precision
            ) as session:
                executed = self._what_ran(session, cell)
                wrong = self._not_as_asked(cell, executed)
                judged = coarsest("+".join([cell.precision if wrong else executed, *self._own_precisions]))
                bound = granted_bound(session, self._stated_bound, self._tolerance)
                for one, inputs, batch in self._work(cell, judged, batches):
                    place = self._place(cell, executed, inputs.name, batch)
                    for row in self._compare(session, place, one, inputs, self._budget(judged, one, bound)):
                        yield _failed(row, wrong) if wrong else row
        except NotAvailable:
            raise
        except EdgeactsError as error:
            yield bare_row(self._place(cell, cell.precision, "", 0), "", str(error))

    def _what_ran(self, session: Session, cell: Cell) -> str:
        """The executed precision; the number of threads does not change it, and finding out takes another session."""
        key = (cell.runtime, cell.level, cell.precision)
        if key not in self._executed:
            self._executed[key] = str(session.executed()["precision"])
        return self._executed[key]

    def _not_as_asked(self, cell: Cell, executed: str) -> str:
        """Why what ran is less than what was asked for; "" when it is not."""
        asked = {cell.precision, *self._own_precisions}
        lower = [p for p in ("bf16", "f16") if p in executed.split("+") and p not in asked]
        return "" if not lower else f"{cell.precision} was asked for, {lower[0]} was executed"

    def _work(
        self, cell: Cell, judged: str, batches: Sequence[int]
    ) -> Iterator[tuple[Measured, InputSet, int]]:
        """All inputs at the first batch and number of threads; a few of the first set at the others."""
        sets = self._sets(judged)
        for batch in batches:
            if cell.thorough and batch == batches[0]:
                yield from ((one, one.inputs, batch) for one in sets)
            else:
                yield sets[0], sets[0].few(max(PROBES, batch)), batch

    def _sets(self, judged: str) -> list[Measured]:
        """8-bit ranges are made for real inputs: others say nothing about such a model, if there are real ones."""
        if judged != "int8":
            return list(self._measured)
        given = [m for m in self._measured if m.inputs.name not in _MADE_UP]
        return given or [m for m in self._measured if m.inputs.name == "random"]

    def _budget(self, precision: str, one: Measured, form_bound: float) -> Mapping[str, Budget]:
        key = (precision, one.inputs.name, form_bound)
        if key not in self._budgets:
            self._budgets[key] = {b.output: b for b in one.budgets(precision, form_bound)}
        return self._budgets[key]

    def _compare(
        self, session: Session, place: Place, one: Measured, inputs: InputSet, budgets: Mapping[str, Budget]
    ) -> Iterator[ParityRow]:
        own = [s.name for s in session.inputs]
        renamed = InputSet(inputs.name, dict(zip(own, inputs.feeds.values(), strict=True)))
        expected = one.at(inputs, place.batch)
        try:
            found = run_all(session.infer, renamed, place.batch)
        except EdgeactsError as error:  # a batch it cannot take, or an output that is no number
            yield bare_row(place, "", str(error))
            return
        for name, values in expected.items():
            moved = movement(one.expected[name])
            row = compare(place, name, values, found.get(name), budgets.get(name), moved)
            yield _at_origin(row, inputs)
        for name in found.keys() - expected.keys():
            yield bare_row(place, name, "the reference has no output of this name")

    def _place(self, cell: Cell, precision: str, inputs: str, batch: int) -> Place:
        return Place(self.path.name, cell.runtime, cell.level, precision, inputs, batch, cell.threads)


def _at_origin(row: ParityRow, inputs: InputSet) -> ParityRow:
    """The row with the worst input's index among the inputs that were given, not among those that were taken."""
    if row.worst_input is None or row.worst_input >= inputs.count:
        return row
    return msgspec.structs.replace(row, worst_input=inputs.position(row.worst_input))


def _failed(row: ParityRow, reason: str) -> ParityRow:
    """The row as a failure, its own reason behind."""
    return msgspec.structs.replace(row, outcome="fail", reason="; ".join(filter(None, (reason, row.reason))))
