"""What really ran: machines and versions, what each series executed, what was skipped, and every file."""

from collections.abc import Sequence

from edgeacts.circumstances import Circumstances
from edgeacts.report.cells import MISSING, Cell, Table, figure, megabytes, source_cell, words
from edgeacts.report.evidence import Evidence, Source
from edgeacts.report.variants import RUNTIME_NAMES, Setting, Variant


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
    trained = [(item.record.circumstances, item.source) for item in evidence.training]
    exported = [(item.record.circumstances, item.source) for item in evidence.exports]
    verified = [(item.record.circumstances, item.source) for item in evidence.verdicts]
    timed = [(item.record.circumstances, item.source) for item in evidence.latencies]
    return [*trained, *exported, *verified, *timed]


def _many(sources: tuple[Source, ...]) -> Cell:
    sources = tuple(sorted(sources, key=lambda source: source.number))
    return source_cell(*sources) if len(sources) <= 3 else Cell(f"{len(sources)} files", sources=sources)


def executed_table(variants: Sequence[Variant], settings: Sequence[Setting]) -> Table | None:
    """What each timed series executed, as the runtime told it: provider, precision, threads, shape."""
    timings = [(v, t) for setting in settings for v in variants for t in v.timings if t.setting == setting]
    keys = list(dict.fromkeys(key for _, timing in timings for key in timing.series.executed))
    rows = []
    for variant, timing in timings:
        series = timing.series
        told = (MISSING if (value := series.executed.get(key)) is None else str(value) for key in keys)
        model = f"{series.model} {series.model_sha256[:8]}"
        cells = (
            words(timing.setting.name),
            *map(words, told),
            figure(megabytes(series.size_bytes)),
            words(model),
        )
        rows.append((words(variant.label), *cells, source_cell(timing.source)))
    columns = ("variant", "setting", *keys, "file size", "model file", "source")
    return Table("executed", "What each series executed", columns, tuple(rows)) if rows else None


def benchmark_table(evidence: Evidence) -> Table | None:
    """How each benchmark was taken: rounds, warm-up, threads, batch, seed."""
    rows = []
    for item in evidence.latencies:
        record = item.record
        values = (
            record.rounds,
            record.warmup_rounds,
            record.threads,
            record.batch,
            record.seed,
            f"{record.seconds:.0f} s",
        )
        rows.append(
            (words(item.source.path), *(figure(str(value)) for value in values), source_cell(item.source))
        )
    columns = ("benchmark", "rounds", "warm-up rounds", "threads", "batch", "seed", "time", "source")
    return Table("benchmarks", "How it was timed", columns, tuple(rows)) if rows else None


def skipped_table(evidence: Evidence) -> Table | None:
    """What verify and bench did not do, with the reason."""
    items = [(item.record.skipped, item.source) for item in evidence.verdicts]
    items += [(item.record.skipped, item.source) for item in evidence.latencies]
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
