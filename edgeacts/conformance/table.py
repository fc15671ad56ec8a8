"""A conformance record as text that fits 80 columns."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from edgeacts.records import ConformanceRecord, ConformanceRow

WIDTH = 80
_HEADING = (
    f"{'activation':<11}{'what':<17}{'dtype':<9}{'max ULP':>8} {'mean':>8} {'worst x':>10} {'error':>8}  ok"
)
_OWN = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_ABOUT = {
    "+inf": "x = inf",
    "-inf": "x = -inf",
    "nan": "x = NaN",
    "+0": "x = 0",
    "-0": "x = -0",
}


def format_conformance(record: ConformanceRecord) -> str:
    """A line for each way to compute an activation; below it what failed, was refused, or is wrong at NaN, ±inf and ±0.

    `error` is the largest |error|/max(1, |x|). `ok` is "-" where no bound is stated.
    """
    shown = [row for row in record.rows if row.outcome != "refused"]
    lines = [f"{record.runtime} {record.runtime_version}", _HEADING, "-" * WIDTH]
    lines += [_line(row) for row in shown]
    for note in (*_notes(record), _summary(record)):
        lines += textwrap.wrap(
            note, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def _line(row: ConformanceRow) -> str:
    ok = {"pass": "yes", "fail": "NO", "reported": "-"}[row.outcome]
    where = "-" if row.worst_x is None else f"{row.worst_x:.5g}"
    return (
        f"{row.activation:<10.10} {row.form:<16.16} {row.dtype:<8} {_number(row.max_ulp):>8} {_number(row.mean_ulp):>8} "
        f"{where:>10} {_number(row.scaled_error):>8}  {ok}"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value == 0 or 0.01 <= value < 1000 else f"{value:.1e}"


def _notes(record: ConformanceRecord) -> Iterator[str]:
    for row in record.rows:
        if row.outcome == "fail":
            yield f"FAILED: {row.activation} {row.form} {row.dtype}: {row.reason}"
    for texts in (_wrong_specials, _other_precision, _refusal):
        yield from _grouped(record.rows, texts)
    if any(row.kind == "kernel" for row in record.rows):
        yield (
            "Tables are right to their bound of max(1, |x|), not relatively: where the function is nearly 0, ULP are large."
        )
    for name, reason in record.skipped.items():
        yield f"not tried: {name}: {reason}"


def _wrong_specials(row: ConformanceRow) -> list[str]:
    return [
        f"{_ABOUT[name]} gives {text.replace(', right: ', ' instead of ')}"
        for name, text in row.specials.items()
        if ", right: " in text
    ]


def _other_precision(row: ConformanceRow) -> list[str]:
    if row.outcome == "refused" or row.executed_precision == _OWN[row.dtype]:
        return []
    return [f"{row.dtype} runs in {row.executed_precision}"]


def _refusal(row: ConformanceRow) -> list[str]:
    return [f"refused ({row.reason})"] if row.outcome == "refused" else []


def _grouped(rows: Sequence[ConformanceRow], texts: Callable[[ConformanceRow], list[str]]) -> Iterator[str]:
    """Each text once, with the ways that have it; "all" where these are all rows of the type."""
    places: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for text in texts(row):
            places.setdefault(text, {}).setdefault(row.dtype, []).append(f"{row.activation} {row.form}")
    for text, found in places.items():
        parts = []
        for dtype, names in found.items():
            count = sum(row.dtype == dtype for row in rows)
            parts.append(f"{dtype}: {f'all {count}' if len(names) == count else ', '.join(names)}")
        yield f"{text}: {'; '.join(parts)}"


def _summary(record: ConformanceRecord) -> str:
    counts = Counter(row.outcome for row in record.rows)
    sizes = {row.dtype: row.value_count for row in record.rows if row.value_count}
    tried = ", ".join(f"{count:,} of {dtype}" for dtype, count in sizes.items()) or "no values"
    told = (
        f"{counts['pass']} within their bounds, {counts['fail']} not, {counts['reported']} without a bound, "
    )
    verdict = "FAIL" if counts["fail"] or not sizes else "PASS"
    return f"{verdict}: {told}{counts['refused']} refused; {tried}; {record.seconds:.0f} s"
