"""Records -> variants: what was trained, exported, verified, quantized and timed, joined by hash, else by label."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from edgeacts.records import (
    ColdRecord,
    ExportRecord,
    LatencyRecord,
    MemoryRecord,
    OpenVinoQuantizationRecord,
    PacedRecord,
    ProfileRecord,
    Record,
    SustainedRecord,
    ThroughputRecord,
    TrainingRecord,
    Verdict,
)
from edgeacts.report.eight_bits import EightBits, eight_bit_files
from edgeacts.report.evidence import Evidence, Problem, Sourced
from edgeacts.report.variants import Seen, Setting, Timing, Variant

MODES: tuple[type[Record], ...] = (
    ColdRecord,
    PacedRecord,
    SustainedRecord,
    ThroughputRecord,
    MemoryRecord,
    ProfileRecord,
)


def join(evidence: Evidence, catalogue: Iterable[str] = ()) -> list[Variant]:
    """One Variant per label, in the order of the files. A record whose hashes disagree becomes a problem.

    `catalogue` are activation names by which a label without a training record is understood.
    """
    variants = [_of_training(item) for item in evidence.of(TrainingRecord)]
    _disambiguate(variants)
    names = {
        *catalogue,
        *(v.activation for v in variants),
        *(e.record.activation for e in evidence.of(ExportRecord)),
    }
    for export in evidence.of(ExportRecord):
        record = export.record
        owner = _find(variants, {record.parent_sha256}, (export.folder,)) or _new(
            variants, export.folder or f"{record.activation} ({export.source.path})", names
        )
        owner.activation = owner.activation or record.activation
        owner.exports.append(export)
    for eight in eight_bit_files(evidence):
        _join_eight(variants, eight, names)
    for quantized in evidence.of(OpenVinoQuantizationRecord):
        _join_openvino(variants, quantized, names)
    for verdict in evidence.of(Verdict):
        _join_verdict(variants, verdict, names)
    for latency in evidence.of(LatencyRecord):
        _join_latency(variants, latency, names, evidence)
    for kind in MODES:
        for mode in evidence.of(kind):
            _join_mode(variants, mode, names)
    _check_parents(variants, evidence)
    return variants


def _of_training(item: Sourced[TrainingRecord]) -> Variant:
    record = item.record
    label = f"{record.model}-{record.activation}"
    return Variant(label, record.model, record.activation, item.folder, training=item)


def _disambiguate(variants: list[Variant]) -> None:
    """Several trainings of one name (seeds, widths) are told apart by their folder, or else by their file."""
    count = Counter(variant.label for variant in variants)
    for variant in variants:
        if count[variant.label] > 1 and variant.training:
            variant.label = f"{variant.label} ({variant.training.source.path})"


def _hashes(variant: Variant) -> set[str]:
    found = {h for e in variant.exports for h in (e.record.portable_sha256, e.record.inlined_sha256)}
    found |= variant.eight.hashes if variant.eight else set()
    found |= {variant.openvino.record.xml_sha256} if variant.openvino else set()
    return found | ({variant.training.record.checkpoint_sha256} if variant.training else set())


def _made_in(variant: Variant) -> str:
    """What wrote the variant's files, and where that is recorded."""
    if variant.exports:
        return f"export in {variant.exports[0].source.path}"
    if variant.eight:
        return f"quantization in {variant.eight.quantization.source.path}"
    return f"quantization in {variant.openvino.source.path}" if variant.openvino else ""


def _find(variants: list[Variant], hashes: set[str], labels: Iterable[str]) -> Variant | None:
    """The variant that owns one of `hashes`; else the only one of that label or folder."""
    for variant in variants:
        if (hashes - {""}) & _hashes(variant):
            return variant
    wanted = set(labels) - {""}
    same = [v for v in variants if v.label in wanted] or [v for v in variants if v.folder in wanted]
    return same[0] if len(same) == 1 else None


def _new(variants: list[Variant], label: str, names: set[str]) -> Variant:
    model, activation = _understood(label, names)
    variant = Variant(label, model, activation, folder=label)
    variants.append(variant)
    return variant


def _understood(label: str, names: set[str]) -> tuple[str, str]:
    """Model and activation in "mobilenet_v2-mish-int8"; both empty when no part of the label is an activation."""
    parts = label.replace(".", "-").split("-")
    for index, part in enumerate(parts):
        if index and part in names:
            return "-".join(parts[:index]), part
    return "", ""


def _join_eight(variants: list[Variant], eight: EightBits, names: set[str]) -> None:
    item = eight.quantization
    base, variant = _eight_of(variants, item.record.model_sha256, item, "int8", names)
    if base is None and not variant.activation and len(item.record.activations) == 1:
        (operator,) = item.record.activations
        variant.activation = next((n for n in sorted(names) if n.replace("_", "") == operator.lower()), "")
    variant.eight = eight


def _join_openvino(
    variants: list[Variant], item: Sourced[OpenVinoQuantizationRecord], names: set[str]
) -> None:
    _, variant = _eight_of(variants, item.record.model_sha256, item, "int8-openvino", names)
    variant.openvino = item


def _eight_of(
    variants: list[Variant], float_sha256: str, item: Sourced[Any], kind: str, names: set[str]
) -> tuple[Variant | None, Variant]:
    """(the float variant, where it is known; a new variant of its 8-bit file)."""
    base = _find(variants, {float_sha256}, (item.folder,))
    label = f"{base.label if base else item.folder or item.source.path}-{kind}"
    if any(variant.label == label for variant in variants):
        label = f"{label} ({item.source.path})"
    if base is None:
        return None, _new(variants, label, names)
    variants.append(Variant(label, base.model, base.activation, base=base))
    return base, variants[-1]


def _join_verdict(variants: list[Variant], verdict: Sourced[Verdict], names: set[str]) -> None:
    """Of the candidate, if that is known: an 8-bit file is verified against a float file that is a variant too."""
    candidate, reference = verdict.record.candidate_sha256, verdict.record.reference_sha256
    label = verdict.folder or PurePosixPath(verdict.record.candidate).stem or verdict.source.path
    owner = _find(variants, {candidate}, ()) or _find(variants, {candidate, reference}, (verdict.folder,))
    (owner or _new(variants, label, names)).verdicts.append(verdict)


def _join_latency(
    variants: list[Variant], latency: Sourced[LatencyRecord], names: set[str], evidence: Evidence
) -> None:
    record, references = latency.record, dict[str, str]()
    for series in record.series:
        references.setdefault(series.runtime, series.label)
        owner = _find(variants, {series.model_sha256}, (series.label,)) or _new(variants, series.label, names)
        setting = Setting(series.runtime, record.threads, record.batch)
        made = _made_in(owner)
        if made and series.model_sha256 not in _hashes(owner):
            text = (
                f"{series.label} on {setting.runtime_name} timed {series.model} ({series.model_sha256[:8]}), "
                f"which is not a file of the {made}: run bench again"
            )
            evidence.problems.append(Problem(latency.source.path, text))
        owner.timings.append(Timing(setting, series, latency.source, references[series.runtime], record))


def _join_mode(variants: list[Variant], mode: Sourced[Any], names: set[str]) -> None:
    for series in mode.record.series:
        owner = _find(variants, {series.model_sha256}, (series.label,)) or _new(variants, series.label, names)
        owner.modes.append(Seen(series, mode.record, mode.source, owner))


def _check_parents(variants: list[Variant], evidence: Evidence) -> None:
    for variant in variants:
        if variant.training is None:
            continue
        sha256 = variant.training.record.checkpoint_sha256
        for export in variant.exports:
            if export.record.parent_sha256 != sha256:
                text = (
                    f"exported {export.record.parent_sha256[:8]}, but {variant.training.source.path} "
                    f"describes the checkpoint {sha256[:8]}: export again"
                )
                evidence.problems.append(Problem(export.source.path, text))
