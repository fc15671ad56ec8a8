"""Every way a file can run here: runtime, optimization level, executed precision, threads; and what each computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeacts.errors import EdgeactsError, NotAvailable, UsageError
from edgeacts.names import check_name
from edgeacts.parity.budgets import coarsest
from edgeacts.parity.claims import file_precisions, form_bound
from edgeacts.parity.comparing import Place, bare_row, compare
from edgeacts.parity.inputs import InputSet
from edgeacts.parity.noise import Measured, run_all
from edgeacts.records import Budget, ParityRow
from edgeacts.runtimes import (
    PRECISIONS,
    Session,
    levels,
    open_runtime,
    precisions,
    resolve_threads,
    runtime_names,
)

_MADE_UP = ("random", "extremes")  # not what the model was trained for


@dataclass(frozen=True)
class Cell:
    """One session: everything that is decided when a model is opened."""

    runtime: str
    level: str
    precision: str
    threads: int


def cells(
    runtimes: Sequence[str], asked: Sequence[str] | None, threads: Sequence[int]
) -> tuple[list[Cell], dict[str, str]]:
    """The sessions to try, and what is left out: name -> reason. `asked` None: every precision that runs here.

    Raises UsageError for an unknown or empty choice.
    """
    for what, values in (("runtime", runtimes), ("precision", asked), ("number of threads", threads)):
        if values is not None and not values:
            raise UsageError(f"no {what} to verify on: give at least one")
    for name in runtimes:
        check_name(name, runtime_names(), "runtime")
    for name in asked or ():
        check_name(name, PRECISIONS, "precision")
    found, skipped = [], dict[str, str]()
    counts = dict.fromkeys(map(resolve_threads, threads))
    for runtime in runtimes:
        try:
            able = precisions(runtime)
        except NotAvailable as error:
            skipped[runtime] = str(error)
            continue
        for precision in able if asked is None else dict.fromkeys(asked):
            if precision not in able:
                skipped[f"{runtime} {precision}"] = _unable(runtime, precision)
                continue
            found += [Cell(runtime, level, precision, n) for level in levels(runtime) for n in counts]
    return found, skipped


def _unable(runtime: str, precision: str) -> str:
    if runtime == "openvino":
        return f"this CPU does not compute in {precision}, openvino would run f32"
    return (
        f"{runtime} runs a model in the precision of its file: for {precision} give it a {precision} "
        "model (openvino converts while loading)"
    )


class Candidate:
    """An ONNX file against a measured reference; `budgets` are those that were used."""

    def __init__(self, path: Path, measured: Sequence[Measured], tolerance: float) -> None:
        self.path = path
        self._measured = measured
        self._form_bound = min(form_bound(path), tolerance)
        self._own_precisions = file_precisions(path)
        self._executed: dict[tuple[str, str, str], str] = {}
        self._budgets: dict[tuple[str, str], dict[str, Budget]] = {}

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
                for one in self._sets(judged):
                    for batch in batches:
                        place = self._place(cell, executed, one.inputs.name, batch)
                        for row in self._compare(session, place, one, self._budget(judged, one), batch):
                            yield (
                                row
                                if not wrong
                                else msgspec.structs.replace(row, outcome="fail", reason=wrong)
                            )
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

    def _sets(self, judged: str) -> list[Measured]:
        """8-bit ranges are made for real inputs: others say nothing about such a model, if there are real ones."""
        if judged != "int8":
            return list(self._measured)
        given = [m for m in self._measured if m.inputs.name not in _MADE_UP]
        return given or [m for m in self._measured if m.inputs.name == "random"]

    def _budget(self, precision: str, one: Measured) -> Mapping[str, Budget]:
        key = (precision, one.inputs.name)
        if key not in self._budgets:
            self._budgets[key] = {b.output: b for b in one.budgets(precision, self._form_bound)}
        return self._budgets[key]

    def _compare(
        self, session: Session, place: Place, one: Measured, budgets: Mapping[str, Budget], batch: int
    ) -> Iterator[ParityRow]:
        own = [s.name for s in session.inputs]
        renamed = InputSet(one.inputs.name, dict(zip(own, one.inputs.feeds.values(), strict=True)))
        found = run_all(session.infer, renamed, batch)
        for name, values in one.expected.items():
            yield compare(place, name, values, found.get(name), budgets.get(name))
        for name in found.keys() - one.expected.keys():
            yield bare_row(place, name, "the reference has no output of this name")

    def _place(self, cell: Cell, precision: str, inputs: str, batch: int) -> Place:
        return Place(self.path.name, cell.runtime, cell.level, precision, inputs, batch, cell.threads)
