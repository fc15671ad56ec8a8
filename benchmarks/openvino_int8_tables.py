"""The tables of docs/openvino_int8.md, one for each kind of CPU, from benchmarks/openvino_int8.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeacts.report.insertion import insert_summary

MADE_BY = "python benchmarks/openvino_int8.py"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, the first column to the left."""
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _number(value: float | None, spec: str = ".2f") -> str:
    return "" if value is None else format(value, spec)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def bodies(rows: Sequence[Mapping[str, Any]]) -> str:
    """Ratio to ReLU INT8, cheapest first, and the passes that were added to the network."""
    ordered = sorted(rows, key=lambda row: row["ratio"])
    both = "ratio_all" in rows[0]
    return markdown(
        ("body of the activation", "to ReLU INT8", *(("all layers in INT8",) if both else ()), "further passes over memory"),
        [
            (row["name"], _number(row["ratio"]), *((_number(row["ratio_all"]),) if both else ()), str(row["passes"]))
            for row in ordered
        ],
    )  # fmt: skip


def placements(rows: Sequence[Mapping[str, Any]]) -> str:
    """To ReLU INT8 and to the float model of the same activation."""
    return markdown(
        ("variant", "ms", "to ReLU INT8", "to its own float"),
        [(r["name"], _number(r["ms"]), _number(r["ratio"]), _number(r["to_float"])) for r in rows],
    )


def networks(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A row an activation: what was kept and what it gained."""
    coarse = any(r.get("coarse") for rows in found.values() for r in rows)
    return markdown(
        ("network", "activation", "float ms", "INT8 ms", "to own float", "to ReLU INT8", "kept", "form error",
         "SQNR, dB", *(("with 3 steps", "to ReLU INT8") if coarse else ())),
        [
            (
                network, r["activation"], _number(r["float_ms"]), _number(r["int8_ms"]), f"**{_number(r['to_float'])}**",
                f"**{_number(r['to_relu_int8'])}**", r["chosen"], _number(r["form_error"], ".4f") if r["form_error"] else "",
                _number(r["sqnr_db"], ".1f"), *(_coarse(r) if coarse else ()),
            )
            for network, rows in found.items()
            for r in rows
        ],
    )  # fmt: skip


def _coarse(row: Mapping[str, Any]) -> tuple[str, str]:
    found = row.get("coarse")
    return (found["chosen"], f"**{_number(found['to_relu_int8'])}**") if found else ("", "")


def trained(rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy in per cent of each variant."""
    names = list(dict.fromkeys(name for row in rows for name in row["accuracy"]))
    return markdown(
        ("network", "images", *names),
        [
            (row["network"], str(row["images"]), *(_percent(row["accuracy"].get(name)) for name in names))
            for row in rows
        ],
    )  # fmt: skip


def about(cpu: str, record: Mapping[str, Any]) -> str:
    """Machine and versions."""
    found = record["circumstances"]
    versions = found["versions"]
    summed = "in 16 bits, so weights have 7" if record["saturates"] else "in 32 bits"
    return (
        f"- **{cpu}**: {found['cpu']}, one thread, OpenVINO {versions['openvino']}, NNCF {versions.get('nncf', 'unknown')}; "
        f"sums of two 8-bit products are kept {summed}."
    )


TABLES: Mapping[str, Callable[[Any], str]] = {
    "operations": bodies, "forms": bodies, "placements": placements, "networks": networks, "trained": trained,
}  # fmt: skip


def write_document(page: Path, every: Mapping[str, Mapping[str, Any]]) -> None:
    """Each part between its markers, for each kind of CPU that it was measured on, and the circumstances."""
    for name, table in TABLES.items():
        found = [f"**{cpu}**\n\n{table(record[name])}" for cpu, record in every.items() if name in record]
        if found:
            insert_summary(page, "\n\n".join(found), f"{MADE_BY} {name}", name)
    told = "\n".join(about(cpu, record) for cpu, record in every.items())
    insert_summary(page, told, MADE_BY, "circumstances")
