"""Evidence -> one HTML file that opens without a network: style, script, plotly.js and data are inside."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from edgeacts.names import check_name
from edgeacts.report import answer, curves, learning, machine, parity, timing
from edgeacts.report.cells import Table
from edgeacts.report.drawing import Plot
from edgeacts.report.evidence import Evidence, Problem
from edgeacts.report.palette import DASHES, SYMBOLS, Look, looks
from edgeacts.report.variants import Setting, Variant, join, settings_of


@dataclass(frozen=True)
class Section:
    """A part of the page: its plots side by side, then its tables (open), then the long ones (folded)."""

    name: str
    title: str
    lead: str
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()


@dataclass(frozen=True)
class Report:
    """Everything that the page and the summaries show."""

    evidence: Evidence
    variants: list[Variant]
    settings: list[Setting]
    looks: dict[str, Look]
    headline: str
    sentences: list[str]
    summary: Table


def understand(evidence: Evidence) -> Report:
    """Join the records and word the answer."""
    from edgeacts.activations import names

    variants = join(evidence, names())
    settings = settings_of(variants)
    evidence.problems.extend(parity.parity_problems(variants))
    return Report(
        evidence=evidence,
        variants=variants,
        settings=settings,
        looks=looks(dict.fromkeys(variant.look for variant in variants)),
        headline=answer.headline(variants, settings) if variants else "None of the records could be read.",
        sentences=answer.sentences(variants, settings) if variants else [],
        summary=answer.summary_table(variants, settings),
    )


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
    sections = _sections(report)
    plots = [plot for section in sections for plot in section.plots]
    return environment.get_template("report.html").render(
        title=title,
        report=report,
        problems=report.evidence.problems,
        sources=machine.source_table(report.evidence.sources),
        sections=sections,
        symbols=SYMBOLS,
        dashes=DASHES,
        colours=script_json({look.light: look.dark for look in report.looks.values()}),
        figures={plot.name: script_json(plot.figure.to_plotly_json()) for plot in plots},
        style=_asset("report.css"),
        script=_asset("report.js"),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")) if plots else "",  # noqa: S704  # the library's own text
    )


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


def _sections(report: Report) -> list[Section]:
    variants, settings, colours, evidence = report.variants, report.settings, report.looks, report.evidence
    used = dict.fromkeys(v.activation for v in variants if v.activation)
    known, unknown = curves.known_activations(list(used))
    evidence.problems.extend(
        Problem(name, f"no curve is drawn: {reason}") for name, reason in unknown.items()
    )
    sections = [
        Section(
            "accuracy",
            "Accuracy",
            "Share of the test images that were classified correctly, by the trained network in PyTorch.",
            learning.accuracy_plots(variants, colours),
        ),
        Section(
            "tradeoff",
            "Accuracy against latency",
            "What an activation gains, and what it costs on each runtime.",
            timing.tradeoff_plots(variants, colours, settings),
        ),
        Section(
            "latency",
            "Latency",
            "Time of one inference, variants interleaved. A ratio compares medians on the same runtime.",
            timing.latency_plots(variants, colours, settings),
            _present(machine.benchmark_table(evidence)),
        ),
        Section(
            "parity",
            "Parity",
            "Errors are relative to how much the output moves between inputs; the worst comparison counts.",
            tables=_present(parity.parity_table(variants)),
            folded=_present(parity.comparison_table(variants), parity.export_table(variants)),
        ),
        Section(
            "training",
            "Training",
            "One curve per variant.",
            learning.training_plots(variants, colours),
            folded=_present(learning.training_table(variants)),
        ),
        Section(
            "activations",
            "Activations",
            "Function and derivative, drawn from the formulas below.",
            curves.curve_plots(known, colours),
            _present(curves.formula_table(known) if known else None),
        ),
        Section(
            "ran",
            "What really ran",
            "Machines, versions, and what each runtime said it executed.",
            tables=_present(
                machine.machine_table(evidence) if evidence.sources else None, machine.skipped_table(evidence)
            ),
            folded=_present(machine.executed_table(variants, settings)),
        ),
    ]
    return [section for section in sections if section.plots or section.tables or section.folded]


def _present(*tables: Table | None) -> list[Table]:
    return [table for table in tables if table]
