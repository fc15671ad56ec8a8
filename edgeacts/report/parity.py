"""Parity: does what was exported equal what was trained? By variant and runtime, and every comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeacts.records import ParityRow
from edgeacts.report.cells import MISSING, Cell, Table, figure, number, small, source_cell, words
from edgeacts.report.evidence import Problem, Source
from edgeacts.report.variants import RUNTIME_NAMES, Variant


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


def comparisons(variant: Variant) -> list[Comparison]:
    """Every comparison made for a variant, over all its verdicts."""
    return [Comparison(row, verdict.source) for verdict in variant.verdicts for row in verdict.record.rows]


def parity_passed(variant: Variant) -> bool | None:
    """True when every verdict passed, None when there is none."""
    return all(verdict.record.passed for verdict in variant.verdicts) if variant.verdicts else None


def parity_cell(variant: Variant) -> Cell:
    """Passed or failed, with the number of comparisons and the one that used most of its allowed error."""
    passed, rows = parity_passed(variant), comparisons(variant)
    if passed is None:
        return Cell(note="not verified")
    sources = tuple(verdict.source for verdict in variant.verdicts)
    if not rows:
        return Cell("failed", "nothing was compared", "bad", sources=sources)
    worst = max(rows, key=lambda item: item.used)
    error, allowed = small(worst.row.relative_error), small(worst.row.allowed_relative_error)
    note = f"{len(rows)} comparisons, worst error {error} (allowed {allowed})"
    return Cell("passed" if passed else "failed", note, "good" if passed else "bad", sources=sources)


def parity_table(variants: Sequence[Variant]) -> Table | None:
    """Per variant, runtime and precision: the comparison that used most of its allowed error."""
    rows = []
    for variant in variants:
        groups: dict[tuple[str, str], list[Comparison]] = {}
        for item in comparisons(variant):
            groups.setdefault((item.row.runtime, item.row.precision), []).append(item)
        for (runtime, precision), items in groups.items():
            rows.append(
                (
                    words(variant.label),
                    words(f"{RUNTIME_NAMES.get(runtime, runtime)} {precision}"),
                    *_worst(items),
                )
            )
    columns = (
        "variant",
        "runtime",
        "verdict",
        "comparisons",
        "worst error",
        "allowed",
        "changed predictions",
        "source",
    )
    return Table("parity", "Parity by runtime", columns, tuple(rows)) if rows else None


def _worst(items: Sequence[Comparison]) -> tuple[Cell, ...]:
    worst = max(items, key=lambda item: item.used)
    failed = sum(not item.row.passed for item in items)
    changed = [
        (i.row.predictions_differ, i.row.predictions_total)
        for i in items
        if i.row.predictions_differ is not None
    ]
    most = max(changed, default=None)
    return (
        _outcome(not failed, f"{failed} of {len(items)} failed" if failed else ""),
        figure(str(len(items))),
        figure(small(worst.row.relative_error)),
        figure(small(worst.row.allowed_relative_error)),
        figure(f"{most[0]} of {most[1]}" if most else MISSING),
        source_cell(*dict.fromkeys(item.source for item in items)),
    )


def _outcome(passed: bool, note: str = "") -> Cell:
    return Cell("passed" if passed else "failed", note, "good" if passed else "bad")


def comparison_table(variants: Sequence[Variant]) -> Table | None:
    """Every comparison that was made, with the reason of each verdict."""
    rows = []
    for variant in variants:
        for item in comparisons(variant):
            row = item.row
            differ = (
                MISSING
                if row.predictions_differ is None
                else f"{row.predictions_differ} of {row.predictions_total}"
            )
            numbers = (
                small(row.max_error),
                number(row.movement, 3),
                small(row.relative_error),
                small(row.allowed_relative_error),
            )
            where = (row.runtime, row.level, row.precision, f"{row.inputs} ({row.input_count:,})", row.output)
            outcome = _outcome(row.passed, "" if row.passed else row.reason)
            cells = (outcome, *map(figure, numbers), figure(differ), source_cell(item.source))
            rows.append((words(variant.label), *map(words, where), *cells))
    columns = (
        *(
            "variant",
            "runtime",
            "level",
            "precision",
            "inputs",
            "output",
            "verdict",
            "largest error",
            "movement",
        ),
        *("relative error", "allowed", "changed predictions", "source"),
    )
    return Table("comparisons", "Every comparison", columns, tuple(rows)) if rows else None


def export_table(variants: Sequence[Variant]) -> Table | None:
    """What each export wrote: files with hashes, opset, activation nodes, operators."""
    rows = []
    for variant in variants:
        for export in variant.exports:
            record = export.record
            operators = ", ".join(f"{name} {count}" for name, count in sorted(record.operators.items()))
            written = ((record.portable, record.portable_sha256), (record.inlined, record.inlined_sha256))
            files = ", ".join(f"{name} {sha256[:8]}" for name, sha256 in written)
            numbers = (figure(str(record.opset)), figure(str(record.activation_nodes)))
            outcome = _outcome(record.verdict_passed, record.verdict_summary)
            rows.append(
                (
                    words(variant.label),
                    words(files),
                    *numbers,
                    words(operators),
                    outcome,
                    source_cell(export.source),
                )
            )
    columns = ("variant", "files", "opset", "activation nodes", "operators", "verdict", "source")
    return Table("exports", "What was exported", columns, tuple(rows)) if rows else None


def parity_problems(variants: Sequence[Variant]) -> list[Problem]:
    """Verdicts that failed and exports that ended badly, each with its reason."""
    verdicts = [(v.label, item) for v in variants for item in v.verdicts if not item.record.passed]
    exports = [(v.label, item) for v in variants for item in v.exports if not item.record.verdict_passed]
    return [
        *(
            Problem(item.source.path, f"parity failed for {label}: {item.record.summary}")
            for label, item in verdicts
        ),
        *(
            Problem(e.source.path, f"export of {label} failed: {e.record.verdict_summary}")
            for label, e in exports
        ),
    ]
