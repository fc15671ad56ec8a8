"""Report -> one HTML file that opens without a network: style, script, plotly.js and data are inside."""

import json
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from edgeacts.names import check_name
from edgeacts.report import machine
from edgeacts.report.cells import Table
from edgeacts.report.drawing import GRID, INK, SOFT
from edgeacts.report.palette import COLOURS, DASHES, PARTS, SYMBOLS
from edgeacts.report.sections import Report

MAX_TABLE_ROWS = 400
"""Rows of a table in the page; report.json has all of them."""
DARK = {INK: "#e6eaf0", SOFT: "#a8b3c0", GRID: "#343c47"}


def render(report: Report, title: str) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("edgeacts.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    plots = [plot for section in report.sections for plot in section.plots]
    return environment.get_template("report.html").render(
        title=title,
        report=report,
        problems=report.evidence.problems,
        sources=machine.source_table(report.evidence.sources),
        sections=report.sections,
        shown=shown,
        symbols=SYMBOLS,
        dashes=DASHES,
        colours=script_json({**dict(COLOURS), **dict(PARTS), **DARK}),
        figures={plot.name: script_json(plot.figure.to_plotly_json()) for plot in plots},
        style=_asset("report.css"),
        script=_asset("report.js"),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")) if plots else "",  # noqa: S704  # the library's own text
    )


def shown(table: Table) -> Table:
    """The table as the page has it: a very long one is cut, and says so."""
    if len(table.rows) <= MAX_TABLE_ROWS:
        return table
    note = f"The first {MAX_TABLE_ROWS} of {len(table.rows):,} rows; report.json beside this page has all. {table.note}"
    return replace(table, rows=table.rows[:MAX_TABLE_ROWS], note=note.strip())


def unbroken(text: str) -> str:
    """Text in which a number and its unit stay on one line."""
    return re.sub(r"(?<=\d) (?=(?:%|ms|µs|×|thread)(?!\w|-))", "\u00a0", text)


def script_json(value: Any) -> Markup:
    """JSON that is safe within a script element: nothing in it can close the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # every character that HTML reads was escaped


def _asset(name: str) -> Markup:
    check_name(name, ("report.css", "report.js"), "part of the report")
    return Markup(files("edgeacts.report").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704  # our own file
