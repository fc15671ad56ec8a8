"""Verdicts, divergences and conformance claim no more than their rows show."""

from collections.abc import Iterator

from edgeacts.parity.judging import overall
from edgeacts.records import Budget, ConformanceRecord, ConformanceRow, DivergenceRecord, ParityRow, Verdict

SLACK = 1e-2
"""Room for rounded values in records."""


def verdict(record: Verdict) -> str:
    """Why a verdict cannot be true."""
    outcomes = [row.outcome for row in record.rows]
    if record.outcome == "pass" and not outcomes:
        return "it says pass, but nothing was compared"
    shown = overall(record.rows)
    if record.outcome != shown:
        counts = ", ".join(f"{outcomes.count(one)} {one}" for one in ("pass", "fail", "blind"))
        return f"it says {record.outcome}, but its {len(outcomes)} comparisons ({counts}) say {shown}"
    rows = next((reason for row in record.rows if (reason := _row(row))), "")
    return rows or next((reason for budget in record.budgets if (reason := _budget(budget))), "")


def _row(row: ParityRow) -> str:
    what = f"{row.output} on {row.runtime} {row.level} {row.precision}"
    errors = (row.mean_error, row.p999_error, row.max_error, row.movement, row.relative_error)
    if any(value is not None and value < 0 for value in errors) or row.allowed_relative_error < 0:
        return f"{what}: an error is negative"
    if row.outcome == "pass" and row.relative_error is None:
        return f"{what} passed without an error that is finite"
    if (
        row.outcome == "pass"
        and row.relative_error is not None
        and row.relative_error > row.allowed_relative_error * (1 + SLACK)
    ):
        return (
            f"{what} passed with an error of {row.relative_error:g}, "
            f"but {row.allowed_relative_error:g} is allowed"
        )
    if _above(row.mean_error, row.max_error) or _above(row.p999_error, row.max_error):
        return f"{what}: the largest error {row.max_error} is below its mean or 99.9th percentile"
    if (
        row.max_error
        and row.movement
        and row.relative_error is not None
        and abs(row.max_error / row.movement - row.relative_error) > SLACK * row.relative_error
    ):
        return f"{what}: {row.max_error:g} of {row.movement:g} is not {row.relative_error:g}"
    return _flips(row, what)


def _above(part: float | None, whole: float | None) -> bool:
    return part is not None and whole is not None and part > whole * (1 + SLACK)


def _flips(row: ParityRow, what: str) -> str:
    differ, total = row.predictions_differ, row.predictions_total
    if differ is None or total is None:
        return f"{what}: changed predictions without their number" if differ != total else ""
    if not 0 <= differ <= total:
        return f"{what}: {differ} of {total} predictions changed"
    if row.flip_interval is not None and total:
        low, high = row.flip_interval
        if not low - SLACK <= differ / total <= high + SLACK:
            return f"{what}: the interval {low:g} to {high:g} does not hold {differ} of {total}"
    return ""


def _budget(budget: Budget) -> str:
    what = f"the budget of {budget.output} on {budget.inputs} in {budget.precision}"
    shares = (budget.noise_share, budget.precision_share, budget.form_share)
    if min(budget.noise, budget.allowed, *shares, *budget.noise_sources.values()) < 0:
        return f"{what} has a negative share"
    largest = max(budget.noise_sources.values(), default=budget.noise)
    if abs(budget.noise - largest) > SLACK * max(budget.noise, largest):
        return f"{what}: the noise {budget.noise:g} is not its largest source, {largest:g}"
    return ""


def divergence(record: DivergenceRecord) -> str:
    """Why a search for the first divergence cannot be true."""
    failed = [index for index, row in enumerate(record.rows) if row.outcome == "fail"]
    if record.first is None and failed:
        return f"it says that no layer is beyond its budget, but row {failed[0] + 1} is"
    if record.first is not None and record.first not in failed:
        return f"it says that row {record.first + 1} is the first beyond its budget, but that one is not"
    return ""


def conformance(record: ConformanceRecord) -> str:
    """Why a table of conformance cannot be true."""
    return next((reason for row in record.rows for reason in _conformance_row(row)), "")


def _conformance_row(row: ConformanceRow) -> Iterator[str]:
    what = f"{row.activation} {row.kind} {row.form} in {row.dtype}"
    if row.outcome == "pass" and (row.scaled_error is None or row.allowed is None):
        yield f"{what} passed without an error and a bound"
    if row.outcome == "pass" and _above(row.scaled_error, row.allowed):
        yield f"{what} passed with an error of {row.scaled_error:g}, but {row.allowed:g} is allowed"
    if _above(row.mean_ulp, row.max_ulp) or _above(row.p999_ulp, row.max_ulp):
        yield f"{what}: the largest error of {row.max_ulp:g} ULP is below its mean or 99.9th percentile"
    if any(value is not None and value < 0 for value in (row.mean_ulp, row.p999_ulp, row.max_ulp)):
        yield f"{what}: an error is negative"
    if row.not_finite < 0 or row.value_count < 0:
        yield f"{what}: a count is negative"
