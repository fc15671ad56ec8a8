"""Parity: does what was exported equal what was trained? By variant and runtime, and every comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeacts.records import ExportRecord, ParityRow
from edgeacts.report.cells import (
    Cell,
    Table,
    count_cell,
    decibel_cell,
    error_cell,
    figure,
    interval,
    number,
    outcome_cell,
    small,
    source_cell,
    words,
)
from edgeacts.report.evidence import Problem, Source, Sourced
from edgeacts.report.variants import RUNTIME_NAMES, Variant
from edgeacts.runtimes import levels, runtime_names

PAST = {"pass": "passed", "fail": "failed", "blind": "blind"}


@dataclass(frozen=True)
class Comparison:
    """One row of a verdict with the file it came from."""

    row: ParityRow
    source: Source

    @property
    def used(self) -> float:
        """Share of the allowed error that was used; infinite when the error is not finite."""
        error, allowed = self.row.relative_error, self.row.allowed_relative_error
        if error is None:
            return float("inf")
        return error / allowed if allowed > 0 else (0.0 if error == 0 else float("inf"))

    @property
    def rank(self) -> tuple[int, float]:
        """The higher the worse: failed, then blind, then by what was used of the budget."""
        return ("pass", "blind", "fail").index(self.row.outcome), self.used

    @property
    def executed(self) -> bool:
        """Whether something ran; a check of the file itself (its metadata, its outputs) has no batch."""
        return self.row.batch > 0

    @property
    def deployed(self) -> bool:
        """Whether its level is the one that the runtime uses when nothing else is asked for."""
        return self.row.runtime in runtime_names() and self.row.level == levels(self.row.runtime)[-1]


def comparisons(variant: Variant) -> list[Comparison]:
    """Every comparison made for a variant, over all its verdicts."""
    return [Comparison(row, verdict.source) for verdict in variant.verdicts for row in verdict.record.rows]


def judged(items: Sequence[Comparison]) -> tuple[str, Comparison]:
    """Outcome of several comparisons, and the worst one that has it.

    Blind on one set of inputs does not matter where the same output passed on another.
    """
    by_outcome: dict[str, list[Comparison]] = {"fail": [], "blind": [], "pass": []}
    for item in items:
        by_outcome[item.row.outcome].append(item)
    passed = {_judged(item.row) for item in by_outcome["pass"]}
    by_outcome["blind"] = [item for item in by_outcome["blind"] if _judged(item.row) not in passed]
    outcome = next(name for name, found in by_outcome.items() if found)
    return outcome, max(by_outcome[outcome], key=lambda item: item.used)


def _judged(row: ParityRow) -> tuple[object, ...]:
    return row.runtime, row.level, row.precision, row.threads, row.batch, row.output, row.candidate


def parity_outcome(variant: Variant) -> str | None:
    """The worst of the verdicts: fail, then blind, then pass; None when there is none."""
    found = {verdict.record.outcome for verdict in variant.verdicts}
    return next((outcome for outcome in ("fail", "blind", "pass") if outcome in found), None)


def parity_cell(variant: Variant) -> Cell:
    """The outcome, with the number of comparisons and the one that used most of its allowed error."""
    outcome, rows = parity_outcome(variant), comparisons(variant)
    if outcome is None:
        return Cell(note="not verified")
    sources = tuple(verdict.source for verdict in variant.verdicts)
    if not rows:
        return outcome_cell(outcome, "nothing was compared", *sources)
    worst = max(
        (item for item in rows if item.row.outcome == outcome), key=lambda item: item.used, default=rows[0]
    )
    error, allowed = small(worst.row.relative_error), small(worst.row.allowed_relative_error)
    note = f"{len(rows)} comparisons, worst error {error} (allowed {allowed})"
    if not worst.executed:
        note = f"{len(rows)} comparisons; {worst.row.reason}"
    if outcome == "blind":
        blind = sum(item.row.outcome == "blind" for item in rows)
        note = f"{blind} of {len(rows)} comparisons mean nothing: the output hardly moves with its input"
    return outcome_cell(outcome, note, *sources)


def parity_table(variants: Sequence[Variant]) -> Table | None:
    """Per variant, runtime and precision: the comparison that used most of its allowed error."""
    rows = []
    for variant in variants:
        groups: dict[tuple[str, str], list[Comparison]] = {}
        for item in filter(lambda one: one.executed, comparisons(variant)):
            groups.setdefault((item.row.runtime, item.row.precision), []).append(item)
        for (runtime, precision), items in groups.items():
            name = f"{RUNTIME_NAMES.get(runtime, runtime)} {precision}"
            rows.append((words(variant.label), words(name), *_worst(items)))
    columns = (
        *("variant", "runtime", "verdict", "comparisons", "worst error", "allowed", "99.9th percentile", "mean"),
        *("signal to noise", "changed predictions", "source"),
    )  # fmt: skip
    note = "Errors are shares of how far the output moves between inputs; each column shows its worst comparison."
    return Table("parity", "Parity by runtime", columns, tuple(rows), note=note) if rows else None


def _worst(items: Sequence[Comparison]) -> tuple[Cell, ...]:
    outcome, worst = judged(items)
    count = sum(item.row.outcome == outcome for item in items)
    snr = [item.row.snr_db for item in items if item.row.snr_db is not None]
    return (
        outcome_cell(outcome, "" if outcome == "pass" else f"{count} of {len(items)} {PAST[outcome]}"),
        count_cell(len(items)),
        error_cell(worst.row.relative_error),
        error_cell(worst.row.allowed_relative_error),
        _largest([_relative(item.row, item.row.p999_error) for item in items]),
        _largest([_relative(item.row, item.row.mean_error) for item in items]),
        decibel_cell(min(snr, default=None)),
        changed_cell(items),
        source_cell(*dict.fromkeys(item.source for item in items)),
    )


def _relative(row: ParityRow, error: float | None) -> float | None:
    return error / row.movement if error is not None and row.movement else None


def _largest(errors: Sequence[float | None]) -> Cell:
    known = [error for error in errors if error is not None]
    return error_cell(max(known)) if known else Cell(number=True)


def changed_cell(items: Sequence[Comparison]) -> Cell:
    """The most predictions that changed in one comparison, with the interval of their share and how close they were."""
    known = [item.row for item in items if item.row.predictions_differ is not None]
    if not known:
        return Cell(number=True)
    row = max(
        known, key=lambda r: ((r.predictions_differ or 0) / max(r.predictions_total or 0, 1), r.input_count)
    )
    notes = []
    if row.flip_interval is not None:
        notes.append(interval(*row.flip_interval))
    if row.predictions_differ and row.flip_margin is not None:
        notes.append(f"lead up to {small(row.flip_margin)} of the movement")
    text = f"{row.predictions_differ} of {row.predictions_total}"
    return Cell(
        text,
        ", ".join(notes),
        number=True,
        value=row.predictions_differ,
        span=row.flip_interval,
        unit="predictions",
    )


def comparison_table(variants: Sequence[Variant]) -> Table | None:
    """Every comparison that was made, the worst first, with the reason of each verdict."""
    made = [(variant, item) for variant in variants for item in comparisons(variant)]
    made.sort(key=lambda pair: pair[1].rank, reverse=True)
    rows = tuple(_comparison(variant, item) for variant, item in made)
    columns = (
        *("variant", "runtime", "level", "precision", "batch", "threads", "inputs", "output", "verdict"),
        *("largest error", "99.9th percentile", "mean", "movement", "relative error", "allowed", "signal to noise"),
        *("changed predictions", "candidate", "source"),
    )  # fmt: skip
    return Table("comparisons", "Every comparison, the worst first", columns, rows) if rows else None


def _comparison(variant: Variant, item: Comparison) -> tuple[Cell, ...]:
    row = item.row
    return (
        *map(words, (variant.label, row.runtime, row.level, row.precision)),
        count_cell(row.batch),
        count_cell(row.threads),
        *map(words, (f"{row.inputs} ({row.input_count:,})", row.output)),
        outcome_cell(row.outcome, "" if row.outcome == "pass" else row.reason),
        *(error_cell(error, "absolute") for error in (row.max_error, row.p999_error, row.mean_error)),
        figure(number(row.movement, 3)),
        error_cell(row.relative_error),
        error_cell(row.allowed_relative_error),
        decibel_cell(row.snr_db),
        changed_cell([item]),
        words(row.candidate),
        source_cell(item.source),
    )


def file_table(variants: Sequence[Variant]) -> Table | None:
    """What was checked of the file itself, without running it."""
    rows = [
        (
            words(variant.label),
            words(f"{item.row.inputs} {item.row.output}".strip()),
            outcome_cell(item.row.outcome, item.row.reason),
            words(item.row.candidate),
            source_cell(item.source),
        )
        for variant in variants
        for item in comparisons(variant)
        if not item.executed
    ]
    columns = ("variant", "what", "verdict", "candidate", "source")
    return Table("file-checks", "Checks of the file itself", columns, tuple(rows)) if rows else None


def export_table(variants: Sequence[Variant]) -> Table | None:
    """What each export wrote: files with hashes, opset, activation nodes, operators."""
    rows = [(words(variant.label), *_export(item)) for variant in variants for item in variant.exports]
    columns = ("variant", "files", "opset", "activation nodes", "operators", "verdict", "source")
    return Table("exports", "What was exported", columns, tuple(rows)) if rows else None


def _export(export: Sourced[ExportRecord]) -> tuple[Cell, ...]:
    record = export.record
    operators = ", ".join(f"{name} {count}" for name, count in sorted(record.operators.items()))
    written = ((record.portable, record.portable_sha256), (record.inlined, record.inlined_sha256))
    return (
        words(", ".join(f"{name} {sha256[:8]}" for name, sha256 in written)),
        count_cell(record.opset),
        count_cell(record.activation_nodes),
        words(operators),
        outcome_cell("pass" if record.verdict_passed else "fail", record.verdict_summary),
        source_cell(export.source),
    )


def parity_problems(variants: Sequence[Variant]) -> list[Problem]:
    """Verdicts that failed or are blind and exports that ended badly, each with its reason."""
    verdicts = [(v.label, item) for v in variants for item in v.verdicts if not item.record.passed]
    exports = [(v.label, item) for v in variants for item in v.exports if not item.record.verdict_passed]
    said = {"fail": "parity failed for", "blind": "parity is blind for"}
    return [
        *(
            Problem(item.source.path, f"{said[item.record.outcome]} {label}: {item.record.summary}")
            for label, item in verdicts
        ),
        *(
            Problem(e.source.path, f"export of {label} failed: {e.record.verdict_summary}")
            for label, e in exports
        ),
    ]
