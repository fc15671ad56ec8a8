"""From rows to a verdict: pass, fail or blind, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgeacts.records import Outcome, ParityRow
from edgeacts.runtimes import levels, runtime_names


def overall(rows: Sequence[ParityRow]) -> Outcome:
    """`fail` if a row failed; `blind` if an output could not be judged on any set of inputs in some session; else `pass`.

    An output that never moves at all, such as a detector's anchors, was compared for what it is worth: it blinds nothing, unless
    nothing else could be judged.
    """
    if any(row.outcome == "fail" for row in rows):
        return "fail"
    judged = {_output(row) for row in rows if row.passed}
    moving = {row.output for row in rows if row.movement}
    seen = all(_output(row) in judged or row.output not in moving for row in rows)
    return "pass" if judged and seen else "blind"


def _output(row: ParityRow) -> tuple[object, ...]:
    return row.runtime, row.level, row.precision, row.threads, row.batch, row.output


def is_deployed(row: ParityRow) -> bool:
    """Whether the row is of the level that the runtime uses when nothing else is asked for."""
    return row.runtime in runtime_names() and row.level == levels(row.runtime)[-1]


def severity(row: ParityRow) -> float:
    """The error as a multiple of what is allowed; infinite for a failure that is not a matter of size."""
    if row.relative_error is not None and row.allowed_relative_error > 0:
        return row.relative_error / row.allowed_relative_error
    return 0.0 if row.passed else float("inf")


def worst(rows: Iterable[ParityRow]) -> ParityRow:
    """The row to tell of first: failed, then blind, then passed; deployed levels first; then the largest error."""
    order = ("pass", "blind", "fail")
    return max(rows, key=lambda r: (order.index(r.outcome), is_deployed(r), severity(r)))


def place_of(row: ParityRow) -> str:
    """`onnxruntime, all, batch 2, random, logits`."""
    batch = f"batch {row.batch}" if row.batch else ""
    threads = f"{row.threads} threads" if row.threads > 1 else ""
    return ", ".join(t for t in (row.runtime, row.level, batch, threads, row.inputs, row.output) if t)


def summary(rows: Sequence[ParityRow], outcome: Outcome, skipped: Mapping[str, str], arithmetic: str) -> str:
    """Counts, the worst comparison and where it was, what was not checked."""
    failed = [r for r in rows if r.outcome == "fail"]
    blind = [r for r in rows if r.outcome == "blind"]
    parts = [f"{len(rows) - len(failed) - len(blind)} of {len(rows)} comparisons passed"]
    if blind:
        parts.append(f"{len(blind)} blind")
    if failed:
        first = worst(failed)
        deployed = (
            "" if is_deployed(first) or not first.batch else ", though none at a level that is deployed"
        )
        parts.append(f"worst failure ({place_of(first)}{deployed}): {first.reason}")
    elif outcome == "blind":
        first = worst(blind)
        parts.append(f"({place_of(first)}) {first.reason}")
    else:
        first = worst(r for r in rows if r.passed)
        parts.append(
            f"the largest error is {severity(first):.0%} of what is allowed"
            if severity(first)
            else "no error at all"
        )
    if arithmetic:
        parts.append(f"the reference ran in {arithmetic}")
    if skipped:
        parts.append(f"not checked: {', '.join(skipped)}")
    return "; ".join(parts)
