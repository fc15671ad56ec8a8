"""Evidence -> Report: the records joined, the answer worded, and the sections with their plots and tables.

Everything that page, Markdown, CSV and JSON show is in a `Report`, so that they cannot differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeacts.report import (
    answer,
    conformance,
    cost,
    curves,
    divergence,
    front,
    int8,
    int8_plots,
    int8_tables,
    learning,
    machine,
    matrix,
    modes,
    noise,
    parity,
    profiles,
    timing,
)
from edgeacts.report.cells import Table
from edgeacts.report.drawing import Plot
from edgeacts.report.evidence import Evidence, Problem
from edgeacts.report.joining import join
from edgeacts.report.palette import Look, looks
from edgeacts.report.variants import Setting, Variant, settings_of


@dataclass(frozen=True)
class Section:
    """A part of the page: its plots side by side, then its tables (open), then the long ones (folded)."""

    name: str
    title: str
    lead: str
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()

    @property
    def all_tables(self) -> list[Table]:
        """Those of the plots, the open and the folded ones."""
        return [*(plot.table for plot in self.plots), *self.tables, *self.folded]


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
    sections: list[Section]


def understand(evidence: Evidence) -> Report:
    """Join the records, word the answer, fill the sections."""
    from edgeacts.activations import names

    variants = join(evidence, names())
    settings = settings_of(variants)
    colours = looks(dict.fromkeys(variant.look for variant in variants))
    evidence.problems += [
        *parity.parity_problems(variants),
        *int8.gate_problems(variants),
        *divergence.divergence_problems(evidence),
        *conformance.conformance_problems(evidence),
        *noise.noise_problems(evidence),
    ]
    return Report(
        evidence=evidence,
        variants=variants,
        settings=settings,
        looks=colours,
        headline=_headline(evidence, variants, settings),
        sentences=[*answer.sentences(variants, settings), *int8.sentences(variants, settings)]
        if variants
        else [],
        summary=answer.summary_table(variants, settings),
        sections=_sections(evidence, variants, settings, colours),
    )


def _headline(evidence: Evidence, variants: Sequence[Variant], settings: Sequence[Setting]) -> str:
    if not evidence.sources:
        return "None of the records could be read."
    if settings or any(variant.training or variant.verdicts for variant in variants):
        return answer.headline(variants, settings)
    kinds = ", ".join(dict.fromkeys(source.kind for source in evidence.sources))
    count = len(evidence.sources)
    return f"{count} record{'s' if count > 1 else ''} of {kinds}; nothing was trained, verified or compared in time."


def _sections(
    evidence: Evidence, variants: list[Variant], settings: list[Setting], colours: dict[str, Look]
) -> list[Section]:
    made = [
        *_of_choices(variants, settings, colours),
        *_of_int8(variants, settings, colours),
        *_of_parity(evidence, variants),
        *_of_time(evidence, variants, settings, colours),
        *_of_origin(evidence, variants, settings, colours),
    ]
    return [section for section in made if section.plots or section.tables or section.folded]


def _of_choices(variants: list[Variant], settings: list[Setting], colours: dict[str, Look]) -> list[Section]:
    return [
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
            front.front_plots(variants, colours, settings),
        ),
        Section(
            "cost",
            "Cost of an activation",
            "Latency over that of the baseline, the first model on the same runtime. "
            "A verdict is said only when the whole interval is on one side of 1. Ratios are taken within blocks, which a "
            "change of the machine's speed hardly touches: they may differ from the ratio of two medians.",
            cost.cost_plots(variants, colours, settings),
        ),
    ]


def _of_int8(variants: list[Variant], settings: list[Setting], colours: dict[str, Look]) -> list[Section]:
    return [
        Section(
            int8.SECTION,
            "INT8",
            "What 8 bits cost in accuracy and gain in latency and size: the file as quantized, judged by the accuracy gate, and "
            "timed in turn with its float model and with ReLU's INT8 file.",
            [
                *int8_plots.drop_plots(variants, colours),
                *int8_plots.latency_plots(variants, colours, settings),
            ],
            _present(
                int8.summary_table(variants, settings),
                int8_tables.cpu_table(variants),
                int8_tables.openvino_table(variants),
            ),
            _present(
                int8_tables.method_table(variants),
                int8_tables.tries_table(variants),
                int8_tables.tuning_table(variants),
                int8_tables.ranges_table(variants),
                int8_tables.layers_table(variants),
            ),
        )
    ]


def _of_parity(evidence: Evidence, variants: list[Variant]) -> list[Section]:
    matrices = matrix.matrix_tables(variants)
    return [
        Section(
            "parity",
            "Parity",
            "Does what was exported equal what was trained? Errors are shares of how far the output moves between inputs; "
            "what is allowed is derived, not chosen; the worst comparison counts.",
            tables=[*matrices[:1], *_present(parity.parity_table(variants), parity.file_table(variants))],
            folded=_present(
                *matrices[1:],
                matrix.verdict_table(variants),
                matrix.budget_table(variants),
                parity.comparison_table(variants),
                parity.export_table(variants),
            ),
        ),
        Section(
            "divergence",
            "First divergence",
            "The first layer at which two models part beyond their budget.",
            divergence.divergence_plots(evidence),
            _present(divergence.divergence_table(evidence)),
        ),
        Section(
            "conformance",
            "Conformance of the activations",
            "Largest error of each activation in units in the last place (ULP), by runtime, way and dtype; 0.5 is correctly "
            "rounded, and the shade is the logarithm of the error. Bounds are stated in |error| / max(1, |x|), whose largest "
            "stands beside pass or fail: where f(x) is almost 0, an error within it is many ULP. Without a bound it is reported.",
            tables=conformance.heat_tables(evidence),
            folded=_present(conformance.special_table(evidence), conformance.conformance_table(evidence)),
        ),
    ]


def _of_time(
    evidence: Evidence, variants: list[Variant], settings: list[Setting], colours: dict[str, Look]
) -> list[Section]:
    return [
        Section(
            "latency",
            "Latency",
            "Time of one inference, variants interleaved in random blocks.",
            timing.latency_plots(variants, colours, settings),
        ),
        Section(
            "modes",
            "Other ways to run",
            "Cold start, paced, sustained, throughput, memory.",
            [
                plot
                for plots in (modes.cold_plots, modes.paced_plots, modes.sustained_plots, modes.throughput_plots,
                              modes.memory_plots)
                for plot in plots(variants, colours)
            ],
        ),
        Section(
            "profile",
            "Where the time goes",
            "Operators of the executed graph, by the runtime's own profiler.",
            profiles.profile_plots(variants),
        ),
        Section(
            "noise",
            "Noise and circumstances",
            "What a ratio of 1 looks like here, and what else the machine did while it was measured.",
            noise.time_plots(evidence, variants, colours),
            _present(
                noise.floor_table(evidence), noise.machine_noise_table(evidence), noise.benchmark_table(evidence)
            ),
        ),
    ]  # fmt: skip


def _of_origin(
    evidence: Evidence, variants: list[Variant], settings: list[Setting], colours: dict[str, Look]
) -> list[Section]:
    used = dict.fromkeys(v.activation for v in variants if v.activation)
    known, unknown = curves.known_activations(list(used))
    evidence.problems += [Problem(name, f"no curve is drawn: {reason}") for name, reason in unknown.items()]
    return [
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
            folded=_present(machine.layers_table(evidence), machine.executed_table(variants, settings)),
        ),
    ]


def _present(*tables: Table | None) -> list[Table]:
    return [table for table in tables if table]
