"""Conformance: how exactly each runtime computes each activation, in ULP against the mpmath oracle."""

import re
from collections.abc import Sequence

from edgeacts.records import ConformanceRecord, ConformanceRow
from edgeacts.report.cells import (
    TONES,
    Cell,
    Table,
    count_cell,
    error_cell,
    log_heat,
    number,
    outcome_cell,
    small,
    source_cell,
    words,
)
from edgeacts.report.evidence import Evidence, Problem, Sourced
from edgeacts.report.variants import RUNTIME_NAMES

MAX_TABLES = 12
EXACT_ULP, USELESS_ULP = 0.5, 1e5
"""Half an ULP is correctly rounded and drawn without shade; from 1e5 on, float32 has three digits left."""
DTYPES = ("float32", "float16", "bfloat16")
PLAIN = re.compile(r"[+-]?(nan|inf|0|\d+(\.\d*)?(e[+-]?\d+)?)", re.IGNORECASE)
"""A special's result when it is right; where it differs, what is right stands behind it."""


def heat_tables(evidence: Evidence) -> list[Table]:
    """Largest error in ULP, activation x way, one table per runtime and dtype."""
    tables: list[Table] = []
    for item in evidence.of(ConformanceRecord):
        dtypes = {row.dtype for row in item.record.rows}
        tables += [
            _heat(item, dtype, len(tables) + i) for i, dtype in enumerate(d for d in DTYPES if d in dtypes)
        ]
    return tables[:MAX_TABLES]


def _heat(item: Sourced[ConformanceRecord], dtype: str, index: int) -> Table:
    record = item.record
    rows = [row for row in record.rows if row.dtype == dtype]
    ways = list(dict.fromkeys(_column(row) for row in rows))
    found: dict[tuple[str, str], ConformanceRow] = {}
    for row in rows:
        known = found.setdefault((row.activation, _column(row)), row)
        if _rank(row) > _rank(known):
            found[row.activation, _column(row)] = row
    made = tuple(
        (Cell(name, sources=(item.source,)), *(_ulp_cell(found.get((name, way))) for way in ways))
        for name in dict.fromkeys(row.activation for row in rows)
    )
    version = record.runtime_version.split("-")[0]
    runtime = f"{RUNTIME_NAMES.get(record.runtime, record.runtime)} {version}"
    return Table(f"ulp-{index}", f"{runtime}, {dtype}", ("activation", *ways), made)


def _way(row: ConformanceRow) -> str:
    """Kind and form in words, each once."""
    return row.form if row.form.startswith(row.kind) else f"{row.kind} {row.form}".strip()


def _column(row: ConformanceRow) -> str:
    """Operators of the runtime share a column: each activation has its own."""
    return "native operator" if row.kind == "native" else _way(row)


def _rank(row: ConformanceRow) -> tuple[int, float]:
    """The higher the worse."""
    order = ("refused", "reported", "pass", "fail")
    return order.index(row.outcome), float("inf") if row.max_ulp is None else row.max_ulp


def _ulp_cell(row: ConformanceRow | None) -> Cell:
    if row is None:
        return Cell(number=True)
    if row.outcome == "refused":
        return Cell("refused", tone=TONES["refused"], number=True)
    differ = differing(row)
    notes = [row.form.removeprefix("native ")] if row.kind == "native" and row.form != "native" else []
    if row.outcome != "reported":
        notes.append(f"{row.outcome}, {small(row.scaled_error)}")
    if differ:
        notes.append("1 special differs" if len(differ) == 1 else f"{len(differ)} specials differ")
    if row.not_finite:
        notes.append(f"{row.not_finite:,} not finite")
    heat = 1.0 if row.max_ulp is None else log_heat(row.max_ulp, EXACT_ULP, USELESS_ULP)
    return Cell(
        ulp_words(row.max_ulp),
        ", ".join(notes),
        TONES[row.outcome],
        number=True,
        value=row.max_ulp,
        unit="ULP",
        heat=heat,
    )


def ulp_words(ulp: float | None) -> str:
    """2.345 -> "2.3", 123456 -> "1.2e5"."""
    if ulp is None:
        return "not finite"
    return (
        f"{ulp:.1f}"
        if ulp < 100
        else f"{ulp:.0f}"
        if ulp < 1e4
        else f"{ulp:.1e}".replace("e+0", "e").replace("e+", "e")
    )


def differing(row: ConformanceRow) -> dict[str, str]:
    """The special inputs whose result is not the right one: both stand in the text then."""
    return {name: told for name, told in row.specials.items() if not PLAIN.fullmatch(told.strip())}


def special_table(evidence: Evidence) -> Table | None:
    """NaN, infinities and signed zeros that come out differently."""
    rows = []
    for item in evidence.of(ConformanceRecord):
        for row in item.record.rows:
            for name, told in differing(row).items():
                runtime = RUNTIME_NAMES.get(item.record.runtime, item.record.runtime)
                where = (row.activation, _way(row), row.dtype, runtime, name, told)
                rows.append((*map(words, where), source_cell(item.source)))
    columns = ("activation", "way", "dtype", "runtime", "input", "result", "source")
    return (
        Table("specials", "Special inputs that come out differently", columns, tuple(rows)) if rows else None
    )


def conformance_table(evidence: Evidence) -> Table | None:
    """Every row that was measured."""
    items = evidence.of(ConformanceRecord)
    rows = tuple(_row(item, row) for item in items for row in item.record.rows)
    columns = (
        *("activation", "way", "dtype", "executed", "runtime", "verdict", "largest ULP", "99.9th percentile", "mean"),
        *("worst x", "got", "right", "scaled error", "allowed", "not finite", "values", "source"),
    )  # fmt: skip
    return Table("conformance-rows", "Every activation, way and dtype", columns, rows) if rows else None


def _row(item: Sourced[ConformanceRecord], row: ConformanceRow) -> tuple[Cell, ...]:
    runtime = RUNTIME_NAMES.get(item.record.runtime, item.record.runtime)
    ulps = (row.max_ulp, row.p999_ulp, row.mean_ulp)
    return (
        *map(words, (row.activation, _way(row), row.dtype, row.executed_precision, runtime)),
        outcome_cell(row.outcome, "" if row.outcome == "pass" else row.reason),
        *(Cell(ulp_words(ulp), number=True, value=ulp, unit="ULP") for ulp in ulps),
        *(Cell(number(x, 6), number=True, value=x) for x in (row.worst_x, row.worst_got, row.worst_expected)),
        error_cell(row.scaled_error, "of max(1, |x|)"),
        Cell(number=True) if row.allowed is None else error_cell(row.allowed, "of max(1, |x|)"),
        count_cell(row.not_finite),
        count_cell(row.value_count),
        source_cell(item.source),
    )


def conformance_problems(evidence: Evidence) -> list[Problem]:
    """Ways beyond their stated bound, a line a file."""
    problems = []
    for item in evidence.of(ConformanceRecord):
        failed = [row for row in item.record.rows if row.outcome == "fail"]
        if failed:
            told = _listed([f"{row.activation} {_way(row)} {row.dtype}" for row in failed])
            problems.append(Problem(item.source.path, f"beyond their stated bound: {told}"))
    return problems


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
