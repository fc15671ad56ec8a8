"""Records -> variants: what was trained, exported, verified and timed, joined by hash, else by label."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edgeacts.records import ExportRecord, LatencyRecord, LatencySeries, TrainingRecord, Verdict
from edgeacts.report.evidence import Evidence, Problem, Source, Sourced

RUNTIME_NAMES = {
    "onnxruntime": "ONNX Runtime",
    "accelerated": "accelerated ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "PyTorch",
}


@dataclass(frozen=True, order=True)
class Setting:
    """Times are compared within one setting only."""

    runtime: str
    threads: int
    batch: int

    @property
    def runtime_name(self) -> str:
        """The runtime as its makers write it."""
        return RUNTIME_NAMES.get(self.runtime, self.runtime)

    @property
    def name(self) -> str:
        """Runtime, threads and batch in words."""
        plural = "" if self.threads == 1 else "s"
        batch = "" if self.batch == 1 else f", batch {self.batch}"
        return f"{self.runtime_name}, {self.threads} thread{plural}{batch}"


@dataclass(frozen=True)
class Timing:
    """One series with its setting, its file and the label its ratio refers to."""

    setting: Setting
    series: LatencySeries
    source: Source
    reference: str
    time_utc: str


@dataclass
class Variant:
    """Everything known under one label."""

    label: str
    model: str = ""
    activation: str = ""
    folder: str = ""
    training: Sourced[TrainingRecord] | None = None
    exports: list[Sourced[ExportRecord]] = field(default_factory=list)
    verdicts: list[Sourced[Verdict]] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)

    @property
    def look(self) -> str:
        """Key of the colour: the activation's name, or the label when the activation is not known."""
        return self.activation or self.label

    def timing(self, setting: Setting) -> Timing | None:
        """The newest series in that setting."""
        found = [timing for timing in self.timings if timing.setting == setting]
        return max(found, key=lambda timing: timing.time_utc) if found else None


def join(evidence: Evidence, catalogue: Iterable[str] = ()) -> list[Variant]:
    """One Variant per label, in the order of the files. A record whose hashes disagree becomes a problem.

    `catalogue` are activation names by which a label without a training record is understood.
    """
    variants = [_of_training(item) for item in evidence.training]
    _disambiguate(variants)
    names = {*catalogue, *(v.activation for v in variants), *(e.record.activation for e in evidence.exports)}
    for export in evidence.exports:
        record = export.record
        owner = _find(variants, {record.parent_sha256}, (export.folder,)) or _new(
            variants, export.folder or f"{record.activation} ({export.source.path})", names
        )
        owner.activation = owner.activation or record.activation
        owner.exports.append(export)
    for verdict in evidence.verdicts:
        hashes = {verdict.record.candidate_sha256, verdict.record.reference_sha256}
        label = verdict.folder or PurePosixPath(verdict.record.candidate).stem or verdict.source.path
        (_find(variants, hashes, (verdict.folder,)) or _new(variants, label, names)).verdicts.append(verdict)
    for latency in evidence.latencies:
        _join_latency(variants, latency, names, evidence)
    _check_parents(variants, evidence)
    return variants


def settings_of(variants: Iterable[Variant]) -> list[Setting]:
    """The settings that were timed, ONNX Runtime first."""
    found = {timing.setting for variant in variants for timing in variant.timings}
    order = list(RUNTIME_NAMES)
    return sorted(found, key=lambda s: (order.index(s.runtime) if s.runtime in order else len(order), s))


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
    return found | ({variant.training.record.checkpoint_sha256} if variant.training else set())


def _find(variants: list[Variant], hashes: set[str], labels: Iterable[str]) -> Variant | None:
    """The variant that owns one of `hashes`; else the only one of that label or folder."""
    for variant in variants:
        if (hashes - {""}) & _hashes(variant):
            return variant
    wanted = set(labels) - {""}
    same = [v for v in variants if v.label in wanted] or [v for v in variants if v.folder in wanted]
    return same[0] if len(same) == 1 else None


def _new(variants: list[Variant], label: str, names: set[str]) -> Variant:
    model, _, last = label.rpartition("-")
    known = bool(model) and last in names
    variant = Variant(label, model if known else "", last if known else "", folder=label)
    variants.append(variant)
    return variant


def _join_latency(
    variants: list[Variant], latency: Sourced[LatencyRecord], names: set[str], evidence: Evidence
) -> None:
    record, references = latency.record, dict[str, str]()
    for series in record.series:
        references.setdefault(series.runtime, series.label)
        owner = _find(variants, {series.model_sha256}, (series.label,)) or _new(variants, series.label, names)
        setting = Setting(series.runtime, record.threads, record.batch)
        if owner.exports and series.model_sha256 not in _hashes(owner):
            text = (
                f"{series.label} on {setting.runtime_name} timed {series.model} ({series.model_sha256[:8]}), "
                f"which is not a file of the export in {owner.exports[0].source.path}: run bench again"
            )
            evidence.problems.append(Problem(latency.source.path, text))
        time_utc = record.circumstances.time_utc
        owner.timings.append(Timing(setting, series, latency.source, references[series.runtime], time_utc))


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


def short_names(variants: Iterable[Variant]) -> dict[str, str]:
    """Label -> name for people: the activation alone when there is one model and one run of each."""
    listed = list(variants)
    activations = [variant.activation for variant in listed]
    alone = (
        len({variant.model for variant in listed}) == 1 and len({*activations, ""}) == len(activations) + 1
    )
    return {variant.label: variant.activation if alone else variant.label for variant in listed}
