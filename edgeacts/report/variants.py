"""Records -> variants: what was trained, exported, verified and timed, joined by hash, else by label."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Generic, TypeVar

from edgeacts.records import (
    ColdRecord,
    ExportRecord,
    LatencyRecord,
    LatencySeries,
    MemoryRecord,
    NoiseFloor,
    PacedRecord,
    ProfileRecord,
    Record,
    Subject,
    SustainedRecord,
    ThroughputRecord,
    TrainingRecord,
    Verdict,
)
from edgeacts.report.evidence import Evidence, Problem, Source, Sourced

RUNTIME_NAMES = {
    "onnxruntime": "ONNX Runtime",
    "accelerated": "accelerated ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "PyTorch",
}
MODES: tuple[type[Record], ...] = (
    ColdRecord,
    PacedRecord,
    SustainedRecord,
    ThroughputRecord,
    MemoryRecord,
    ProfileRecord,
)
S = TypeVar("S", bound=Subject)


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
    """One series with its setting, its record, its file and the label its ratio refers to."""

    setting: Setting
    series: LatencySeries
    source: Source
    reference: str
    record: LatencyRecord

    @property
    def time_utc(self) -> str:
        """When it was taken; ISO 8601, so that it sorts."""
        return self.record.circumstances.time_utc

    @property
    def precision(self) -> str:
        """What was executed, as the runtime told it."""
        return executed_precision(self.series.executed)

    @property
    def floor(self) -> NoiseFloor | None:
        """The runtime's A/A comparison in the same run."""
        floors = self.record.noise_floors
        return next((floor for floor in floors if floor.runtime == self.series.runtime), None)


@dataclass(frozen=True)
class Seen(Generic[S]):
    """One model in one of the other modes (cold, paced, ...), with its record and file."""

    series: S
    record: Any
    source: Source
    variant: "Variant"

    @property
    def runtime_name(self) -> str:
        """The runtime as its makers write it."""
        return RUNTIME_NAMES.get(self.series.runtime, self.series.runtime)


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
    modes: list[Seen[Any]] = field(default_factory=list)

    @property
    def look(self) -> str:
        """Key of the colour: the activation's name, or the label when the activation is not known."""
        return self.activation or self.label

    def timing(self, setting: Setting) -> Timing | None:
        """The newest series in that setting; of several precisions the one that was timed first."""
        found = self.timings_in(setting)
        return found[0] if found else None

    def timings_in(self, setting: Setting) -> list[Timing]:
        """The newest series per executed precision."""
        found: dict[str, Timing] = {}
        for timing in self.timings:
            if timing.setting == setting:
                known = found.get(timing.precision)
                if known is None or timing.time_utc > known.time_utc:
                    found[timing.precision] = timing
        return list(found.values())


def executed_precision(executed: Mapping[str, object]) -> str:
    """The precision a runtime said it executed; empty when it said none."""
    told = executed.get("precision")
    return "" if told is None else str(told)


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
    for verdict in evidence.of(Verdict):
        hashes = {verdict.record.candidate_sha256, verdict.record.reference_sha256}
        label = verdict.folder or PurePosixPath(verdict.record.candidate).stem or verdict.source.path
        (_find(variants, hashes, (verdict.folder,)) or _new(variants, label, names)).verdicts.append(verdict)
    for latency in evidence.of(LatencyRecord):
        _join_latency(variants, latency, names, evidence)
    for kind in MODES:
        for mode in evidence.of(kind):
            _join_mode(variants, mode, names)
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
        owner.timings.append(Timing(setting, series, latency.source, references[series.runtime], record))


def _join_mode(variants: list[Variant], mode: Sourced[Any], names: set[str]) -> None:
    for series in mode.record.series:
        owner = _find(variants, {series.model_sha256}, (series.label,)) or _new(variants, series.label, names)
        owner.modes.append(Seen(series, mode.record, mode.source, owner))


def seen(variants: Iterable[Variant], kind: type[S]) -> list[Seen[S]]:
    """Every series of one mode, in the order of the variants."""
    return [item for variant in variants for item in variant.modes if isinstance(item.series, kind)]


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


def timing_names(timings: Iterable[tuple[Variant, Timing]]) -> list[str]:
    """A name per timing: the variant's, with the executed precision where they differ."""
    listed = list(timings)
    names = short_names({variant.label: variant for variant, _ in listed}.values())
    several = len({timing.precision for _, timing in listed}) > 1
    return [
        f"{names[variant.label]} {timing.precision}".strip() if several else names[variant.label]
        for variant, timing in listed
    ]
