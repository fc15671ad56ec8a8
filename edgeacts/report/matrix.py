"""The parity matrix: runtime x level x precision against batch x threads, and the budgets it was judged by."""

from collections.abc import Mapping, Sequence

from edgeacts.records import Budget, Verdict
from edgeacts.report.cells import TONES, Cell, Table, error_cell, log_heat, outcome_cell, source_cell, words
from edgeacts.report.evidence import Source, Sourced
from edgeacts.report.parity import Comparison, comparisons, judged
from edgeacts.report.variants import RUNTIME_NAMES, Variant, short_names

MAX_COLUMNS = 24
FAINT = 1e-3
"""Share of the budget that is drawn without shade; the whole budget is drawn darkest."""
SOURCES = {
    "rounding": "rounding of its weights and inputs",
    "accumulation order": "sums taken in another order",
    "threads": "other thread counts",
    "batch": "other batch sizes",
}

MAX_REFERENCES = 4
"""Files named beside a row; the matrix of each variant names its own."""

Place = tuple[int, int]
Named = tuple[str, Comparison]


def matrix_tables(variants: Sequence[Variant]) -> list[Table]:
    """Share of the budget that the worst comparison used, per runtime, level, precision (rows), batch and threads.

    First over all variants, then, when there are several, one table a variant.
    """
    verified = [variant for variant in variants if any(item.executed for item in comparisons(variant))]
    if not verified:
        return []
    names = short_names(verified)
    made = [
        (names[variant.label], item) for variant in verified for item in comparisons(variant) if item.executed
    ]
    if len(verified) == 1:
        return [_matrix("matrix", "Parity matrix: share of the error budget used", made, False)]
    whole = _matrix(
        "matrix", "Parity matrix: share of the error budget used, the worst of all variants", made, True
    )
    parts = [
        _matrix(
            f"matrix-{index}",
            f"Parity matrix: {variant.label}",
            [m for m in made if m[0] == names[variant.label]],
            False,
        )
        for index, variant in enumerate(verified)
    ]
    return [whole, *parts]


def _matrix(name: str, caption: str, made: Sequence[Named], several: bool) -> Table:
    rows: dict[tuple[str, bool], dict[Place, list[Named]]] = {}
    for named in made:
        row = named[1].row
        runtime = RUNTIME_NAMES.get(row.runtime, row.runtime)
        where = f"{runtime} · {row.level} · {row.precision}"
        cells = rows.setdefault((where, named[1].deployed), {})
        cells.setdefault((row.batch, row.threads), []).append(named)
    places = sorted({place for cells in rows.values() for place in cells})[:MAX_COLUMNS]
    shown = tuple(
        (_where(where, deployed, cells), *(_cell(cells.get(place, ()), several) for place in places))
        for (where, deployed), cells in rows.items()
    )
    note = (
        "A cell is the worst comparison there: the share of its error budget that was used. 100 % is the whole budget; "
        "blind: the output hardly moves with its input, so that agreement means nothing. The level that is deployed counts."
    )
    return Table(name, caption, ("runtime · level · precision", *map(_place, places)), shown, note=note)


def _place(place: Place) -> str:
    batch, threads = place
    return f"batch {batch}, {threads} thread{'' if threads == 1 else 's'}"


def _cell(items: Sequence[Named], several: bool) -> Cell:
    if not items:
        return Cell(number=True)
    outcome, worst = judged([item for _, item in items])
    name = next(name for name, item in items if item is worst)
    used = worst.used
    finite = used != float("inf")
    return Cell(
        used_words(used) if finite else "not finite", f"{outcome}, {name}" if several else outcome, TONES[outcome],
        number=True, value=used if finite else None, unit="share of the budget",
        heat=None if outcome == "blind" else log_heat(used, FAINT, 1.0) if finite else 1.0,
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


def _where(where: str, deployed: bool, cells: Mapping[Place, Sequence[Named]]) -> Cell:
    return Cell(where, "deployed" if deployed else "", sources=_sources(cells))


def _sources(cells: Mapping[Place, Sequence[Named]]) -> tuple[Source, ...]:
    found = dict.fromkeys(item.source for items in cells.values() for _, item in items)
    return tuple(found) if len(found) <= MAX_REFERENCES else ()


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
