"""First divergence: the layer at which two models part, and the error of every layer that was looked at."""

from collections.abc import Sequence

from edgeacts.records import DivergenceRecord, LayerRow
from edgeacts.report.cells import Cell, Table, count_cell, error_cell, outcome_cell, small, source_cell, words
from edgeacts.report.drawing import INK, MAX_PLOTS, Plot, blank, safe, with_legend
from edgeacts.report.evidence import Evidence, Problem, Sourced
from edgeacts.report.palette import COLOURS

MAX_LAYERS = 2000
"""Layers drawn in one plot; of more, those around the first divergence."""


def divergence_table(evidence: Evidence) -> Table | None:
    """One row a search: where the models part, and the files that show it."""
    rows = []
    for item in evidence.of(DivergenceRecord):
        record = item.record
        minimal = ", ".join(name for name in (record.minimal_model, record.minimal_input) if name)
        rows.append(
            (
                Cell(record.candidate, f"against {record.reference}"),
                words(f"{record.runtime} {record.level}".strip()),
                _where(record),
                words(record.summary),
                count_cell(record.looks),
                words(record.observer_effect or "looking changed nothing"),
                words(minimal or "none"),
                source_cell(item.source),
            )
        )
    columns = (
        *("candidate", "runtime", "first divergence", "summary", "looks", "effect of looking"),
        *("minimal files", "source"),
    )
    return Table("divergences", "Where two models part", columns, tuple(rows), cards=True) if rows else None


def _where(record: DivergenceRecord) -> Cell:
    if record.first is None:
        return Cell("none", f"{len(record.rows)} layers", "good")
    row = record.rows[record.first]
    note = f"{row.operator}: error {small(row.relative_error)}, allowed {small(row.allowed)}"
    return Cell(row.candidate or row.reference, note, "bad")


def divergence_plots(evidence: Evidence) -> list[Plot]:
    """Error and budget along the layers, one plot a search."""
    found = [item for item in evidence.of(DivergenceRecord) if any(map(_positive, item.record.rows))]
    return [_layers(item, index) for index, item in enumerate(found[:MAX_PLOTS])]


def _positive(row: LayerRow) -> bool:
    return row.relative_error is not None and row.relative_error > 0


def _layers(item: Sourced[DivergenceRecord], index: int) -> Plot:
    record = item.record
    start = max(0, (record.first or 0) - MAX_LAYERS // 2)
    rows = list(enumerate(record.rows))[start : start + MAX_LAYERS]
    looked = [(number, row) for number, row in rows if row.relative_error is not None]
    plot = blank(
        340, "layer, in the order of computation", "share of the movement",
        yaxis={"type": "log", "exponentformat": "power", "dtick": _decades([row for _, row in looked])},
    )  # fmt: skip
    colours = {"error": INK, "allowed": COLOURS[1][0]}
    allowed = [(number, row.allowed) for number, row in looked if row.allowed]
    plot.add_scatter(
        x=[number + 1 for number, _ in allowed], y=[value for _, value in allowed], mode="lines", name="allowed",
        line={"color": colours["allowed"], "dash": "dash", "width": 2},
    )  # fmt: skip
    plot.add_scatter(
        x=[number + 1 for number, _ in looked],
        y=[row.relative_error or None for _, row in looked],
        mode="lines+markers" if len(looked) <= 80 else "lines",
        name="error",
        line={"color": colours["error"], "width": 1.5},
        marker={"color": colours["error"], "size": 6},
        text=[safe(f"{row.reference} / {row.candidate} ({row.operator})"[:120]) for _, row in looked],
        hovertemplate="%{text}<br>%{y:.2e}<extra></extra>",
    )
    if record.first is not None and record.rows[record.first].relative_error:
        plot.add_scatter(
            x=[record.first + 1], y=[record.rows[record.first].relative_error], mode="markers",
            name="first divergence",
            marker={"symbol": "circle-open", "size": 16, "color": INK, "line": {"width": 2}},
        )  # fmt: skip
    alt = f"Error of {len(looked)} layers of {record.candidate} against {record.reference}. {record.summary}"
    note = "Where the error rises above the dashed line, the models part."
    title = f"{record.candidate} on {record.runtime}"
    return Plot(f"layers-{index}", title, alt, with_legend(plot), _layer_table(item, index), note)


def _decades(rows: Sequence[LayerRow]) -> int:
    """Decades between two ticks, so that at most eight or so are written."""
    values = [v for row in rows for v in (row.relative_error, row.allowed) if v]
    decades = len(f"{max(values) / min(values):.0f}") if values else 1
    return max(1, -(-decades // 8))


def _layer_table(item: Sourced[DivergenceRecord], index: int) -> Table:
    rows = tuple(
        (
            Cell(
                str(number + 1), "first divergence" if number == item.record.first else "", value=number + 1
            ),
            *map(words, (row.reference, row.candidate, row.operator)),
            _known(row.max_error, "absolute", row),
            _known(row.relative_error, "share of the movement", row),
            _known(row.allowed, "share of the movement", row),
            outcome_cell(row.outcome),
            source_cell(item.source),
        )
        for number, row in enumerate(item.record.rows)
    )
    columns = (
        *("layer", "reference", "candidate", "operator", "largest error", "relative error", "allowed"),
        *("verdict", "source"),
    )
    return Table(f"table-layers-{index}", f"Layers of {item.record.candidate}", columns, rows)


def _known(value: float | None, unit: str, row: LayerRow) -> Cell:
    return Cell(number=True) if value is None and row.outcome == "not looked at" else error_cell(value, unit)


def divergence_problems(evidence: Evidence) -> list[Problem]:
    """Models that part, and searches that changed what they looked at."""
    problems = []
    for item in evidence.of(DivergenceRecord):
        record = item.record
        if record.first is not None:
            problems.append(Problem(item.source.path, f"the models part: {record.summary}"))
        if record.observer_effect:
            problems.append(
                Problem(item.source.path, f"looking changed the result: {record.observer_effect}")
            )
    return problems
