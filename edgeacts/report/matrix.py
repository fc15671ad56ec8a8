"""The parity matrix: runtime x level x precision against batch x threads, and the budgets it was judged by."""

from collections.abc import Mapping, Sequence

from edgeacts.records import Budget, Verdict
from edgeacts.report.cells import Cell, Table, error_cell, log_heat, outcome_cell, source_cell, words
from edgeacts.report.evidence import Sourced
from edgeacts.report.parity import Comparison, comparisons
from edgeacts.report.variants import RUNTIME_NAMES, Variant

MAX_COLUMNS = 24
FAINT = 1e-3
"""Share of the budget that is drawn without shade; the whole budget is drawn darkest."""
SOURCES = {
    "rounding": "rounding of its weights and inputs",
    "accumulation order": "sums taken in another order",
    "threads": "other thread counts",
    "batch": "other batch sizes",
}

Place = tuple[int, int]


def matrix_table(variants: Sequence[Variant]) -> Table | None:
    """Share of the error budget that the worst comparison used, per runtime, level, precision (rows), batch and threads."""
    rows: dict[tuple[str, str], dict[Place, list[Comparison]]] = {}
    for variant in variants:
        for item in comparisons(variant):
            row, runtime = item.row, RUNTIME_NAMES.get(item.row.runtime, item.row.runtime)
            cells = rows.setdefault((variant.label, f"{runtime} · {row.level} · {row.precision}"), {})
            cells.setdefault((row.batch, row.threads), []).append(item)
    if not rows:
        return None
    places = sorted({place for cells in rows.values() for place in cells})[:MAX_COLUMNS]
    made = tuple(
        (Cell(where, label), *(_cell(cells.get(place, ())) for place in places), _source(cells))
        for (label, where), cells in rows.items()
    )
    columns = ("runtime · level · precision", *map(_place, places), "source")
    note = (
        "A cell is the worst comparison there: the share of its error budget that was used. 100 % is the whole budget; "
        "blind: the output hardly moves with its input, so that agreement means nothing."
    )
    return Table("matrix", "Parity matrix: share of the error budget used", columns, made, note=note)


def _place(place: Place) -> str:
    batch, threads = place
    return f"batch {batch}, {threads} thread{'' if threads == 1 else 's'}"


def _cell(items: Sequence[Comparison]) -> Cell:
    if not items:
        return Cell(number=True)
    worst = max(items, key=lambda item: item.rank)
    used = worst.used
    text = "not finite" if used == float("inf") else used_words(used)
    cell = outcome_cell(worst.row.outcome, worst.row.outcome)
    heat = None if worst.row.outcome == "blind" else log_heat(used, FAINT, 1.0)
    return Cell(
        text, cell.note, cell.tone, number=True, unit="share of the budget", heat=heat,
        value=None if used == float("inf") else used,
    )  # fmt: skip


def used_words(used: float) -> str:
    """0.1234 -> "12 %", 0.00012 -> "0.01 %", 23.4 -> "23 ×" for what is far beyond the budget."""
    if used >= 10:
        return f"{used:.0f} ×" if used < 1e6 else f"{used:.0e} ×"
    if used == 0:
        return "0 %"
    percent = 100 * used
    return (
        f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.1g} %"
    )


def _source(cells: Mapping[Place, Sequence[Comparison]]) -> Cell:
    return source_cell(*dict.fromkeys(item.source for items in cells.values() for item in items))


def budget_table(variants: Sequence[Variant]) -> Table | None:
    """What each error budget is made up of, as shares of how far the output moves."""
    rows = [
        (words(variant.label), *_budget(budget), source_cell(verdict.source))
        for variant in variants
        for verdict in variant.verdicts
        for budget in verdict.record.budgets
    ]
    columns = (
        *("variant", "inputs", "output", "precision", "own noise", "measured by", "for the noise", "for the precision"),
        *("for the form", "allowed", "source"),
    )  # fmt: skip
    note = (
        "Own noise: how far the reference itself moves in float32 when only "
        f"{', '.join(SOURCES.values())} differ. The budget is made of a share for that noise, one for the executed precision "
        "and one for the activation's form. All numbers are shares of how far the output moves between inputs."
    )
    return Table("budgets", "Error budgets", columns, tuple(rows), note=note) if rows else None


def _budget(budget: Budget) -> tuple[Cell, ...]:
    measured = ", ".join(f"{name} {value:.1e}" for name, value in budget.noise_sources.items())
    shares = (budget.noise_share, budget.precision_share, budget.form_share, budget.allowed)
    return (
        *map(words, (budget.inputs, budget.output, budget.precision)),
        error_cell(budget.noise),
        words(measured or "not measured"),
        *map(error_cell, shares),
    )


def verdict_table(variants: Sequence[Variant]) -> Table | None:
    """One row a verdict: what was compared with what, the outcome and its summary."""
    rows = [(words(variant.label), *_verdict(item)) for variant in variants for item in variant.verdicts]
    columns = ("variant", "verdict", "reference", "candidate", "comparisons", "time", "source")
    return Table("verdicts", "Verdicts", columns, tuple(rows), cards=True) if rows else None


def _verdict(item: Sourced[Verdict]) -> tuple[Cell, ...]:
    record = item.record
    return (
        outcome_cell(record.outcome, record.summary),
        words(f"{record.reference} {record.reference_sha256[:8]}"),
        words(f"{record.candidate} {record.candidate_sha256[:8]}"),
        Cell(str(len(record.rows)), number=True, value=len(record.rows)),
        Cell(f"{record.seconds:.1f} s", number=True, value=record.seconds, unit="s"),
        source_cell(item.source),
    )
