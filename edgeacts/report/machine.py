"""What really ran: machines and versions, what each series executed, what was skipped, and every file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgeacts.circumstances import Circumstances
from edgeacts.records import ExecutedActivation, ExecutedGraph
from edgeacts.report.cells import MISSING, Cell, Table, bytes_cell, count_cell, figure, source_cell, words
from edgeacts.report.evidence import Evidence, Source, Sourced
from edgeacts.report.variants import RUNTIME_NAMES, Setting, Variant

MAX_KEYS = 24
"""Columns of what was executed; a record with more is no record of ours."""


def machine_table(evidence: Evidence) -> Table:
    """One row per machine with its set of versions; records that share both share the row."""
    groups: dict[tuple[object, ...], list[tuple[Circumstances, Source]]] = {}
    for ran, source in _circumstances(evidence):
        key = (
            ran.cpu,
            ran.cpu_count,
            ran.cpu_features,
            ran.system,
            ran.python,
            tuple(sorted(ran.versions.items())),
        )
        groups.setdefault(key, []).append((ran, source))
    rows = []
    for members in groups.values():
        ran, sources = members[0][0], tuple(source for _, source in members)
        hours = sorted(member.time_utc for member, _ in members)
        loads = [member.load_average_1min for member, _ in members if member.load_average_1min is not None]
        rows.append(
            (
                Cell(ran.cpu, f"{ran.cpu_count} logical CPUs, {ran.system}"),
                words(", ".join(ran.cpu_features) or "not known"),
                words(
                    f"python {ran.python}, "
                    + ", ".join(f"{name} {version}" for name, version in ran.versions.items())
                ),
                words(hours[0] if hours[0] == hours[-1] else f"{hours[0]} to {hours[-1]}"),
                figure(f"{min(loads):.2f} to {max(loads):.2f}" if loads else MISSING),
                _many(sources),
            )
        )
    columns = ("CPU", "instruction sets", "versions", "time (UTC)", "load (1 min)", "source")
    return Table("machines", "Machines and versions", columns, tuple(rows), cards=True)


def _circumstances(evidence: Evidence) -> list[tuple[Circumstances, Source]]:
    items: list[Sourced[Any]] = list(evidence.records)
    return [(item.record.circumstances, item.source) for item in items]


def _many(sources: tuple[Source, ...]) -> Cell:
    sources = tuple(sorted(sources, key=lambda source: source.number))
    return source_cell(*sources) if len(sources) <= 3 else Cell(f"{len(sources)} files", sources=sources)


def executed_table(variants: Sequence[Variant], settings: Sequence[Setting]) -> Table | None:
    """What each timed series executed, as the runtime told it: provider, precision, threads, shape."""
    found = [
        *(
            (v, t.setting.name, t.series, t.source)
            for setting in settings
            for v in variants
            for t in v.timings
            if t.setting == setting
        ),
        *((v, f"{m.runtime_name}, {m.source.kind}", m.series, m.source) for v in variants for m in v.modes),
    ]
    keys = list(dict.fromkeys(key for _, _, series, _ in found for key in series.executed))[:MAX_KEYS]
    rows = []
    for variant, where, series, source in found:
        told = (MISSING if (value := series.executed.get(key)) is None else str(value) for key in keys)
        cells = (
            words(where),
            *map(words, told),
            bytes_cell(getattr(series, "size_bytes", None)),
            words(f"{series.model} {series.model_sha256[:8]}"),
        )
        rows.append((words(variant.label), *cells, source_cell(source)))
    columns = ("variant", "setting", *keys, "file size", "model file", "source")
    return Table("executed", "What each series executed", columns, tuple(rows)) if rows else None


def layers_table(evidence: Evidence) -> Table | None:
    """How each activation runs: in which layers, by which kernel, in which precision, fused into what; alike ones share a row."""
    rows = []
    for item in evidence.of(ExecutedGraph):
        types = {layer.name: layer.layer_type for layer in item.record.layers}
        alike = Counter(_how(one, types) for one in item.record.activations)
        for (operator, form, bound, where, kernel, precision), count in alike.items():
            told = (operator, form or MISSING, bound, where, kernel or MISSING, precision or MISSING)
            rows.append(
                (
                    words(item.record.model),
                    words(f"{item.record.runtime}, {item.record.precision_asked}"),
                    *map(words, told),
                    count_cell(count),
                    source_cell(item.source),
                )
            )
    columns = (
        *("model", "runtime, asked for", "activation", "form", "bound", "runs", "kernel", "precision"),
        *("nodes", "source"),
    )
    note = (
        "Read from the runtime's own executed graph. A kernel is of the layer that the activation is fused into, or of "
        "the last of its own layers."
    )
    return (
        Table("executed-activations", "How each activation was executed", columns, tuple(rows), note=note)
        if rows
        else None
    )


def _how(one: ExecutedActivation, types: Mapping[str, str]) -> tuple[str, str, str, str, str, str]:
    kinds = Counter(types.get(name, "?") for name in one.layers)
    apart = ", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in kinds.items())
    where = (
        f"fused into {types.get(one.fused_into, '?')}"
        if one.fused_into
        else f"as {apart}"
        if apart
        else "folded away"
    )
    bound = MISSING if one.bound is None else f"{one.bound:.1e}"
    return one.operator, one.form, bound, where, one.primitive, one.precision


def skipped_table(evidence: Evidence) -> Table | None:
    """What verify and bench did not do, with the reason."""
    records: list[Sourced[Any]] = list(evidence.records)
    items = [(getattr(item.record, "skipped", {}), item.source) for item in records]
    reasons: dict[tuple[str, str], list[Source]] = {}
    for skipped, source in items:
        for name, reason in skipped.items():
            reasons.setdefault((RUNTIME_NAMES.get(name, name), reason), []).append(source)
    rows = tuple((words(what), words(why), _many(tuple(found))) for (what, why), found in reasons.items())
    columns = ("what", "why", "source")
    return Table("skipped", "What was not done", columns, rows, cards=True) if rows else None


def source_table(sources: Sequence[Source]) -> Table:
    """Every file with its size and SHA-256; numbers in brackets elsewhere refer to it."""
    rows = tuple(
        (
            Cell(f"[{s.number}]"),
            words(s.path),
            words(s.kind),
            figure(f"{s.size_bytes:,} bytes"),
            words(s.sha256),
        )
        for s in sources
    )
    return Table("sources", "Files the numbers came from", ("no.", "file", "kind", "size", "SHA-256"), rows)
