"""A verdict as text that fits 80 columns."""

from __future__ import annotations

from edgeacts.records import ParityRow, Verdict


def format_verdict(verdict: Verdict) -> str:
    """The verdict's table: a line per runtime, level and kind of input; reasons below it."""
    lines = [f"{'runtime':<12} {'level':<9} {'inputs':<11} {'error':>8} {'of move':>8} {'allowed':>8} {'flips':>8}  ok"]
    lines += [_line(row) for row in verdict.rows]
    lines += [f"{row.runtime} {row.level} {row.inputs} {row.output}: {row.reason}" for row in verdict.rows if row.reason]
    lines += [f"not checked: {name}: {why}" for name, why in verdict.skipped.items()]
    lines.append(f"{'PASS' if verdict.passed else 'FAIL'}: {verdict.summary}")
    return "\n".join(lines)


def _line(row: ParityRow) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}"

    flips = "-" if row.predictions_total is None else f"{row.predictions_differ}/{row.predictions_total}"
    return (
        f"{row.runtime:<12} {row.level:<9} {row.inputs:<11} {number(row.max_error):>8} {number(row.relative_error):>8} "
        f"{number(row.allowed_relative_error):>8} {flips:>8}  {'yes' if row.passed else 'NO'}"
    )
