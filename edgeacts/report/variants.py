"""Variants: what is known under one label, from training to the times it took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from edgeacts.records import (
    ExportRecord,
    LatencyRecord,
    LatencySeries,
    NoiseFloor,
    OpenVinoQuantizationRecord,
    Subject,
    TrainingRecord,
    Verdict,
)
from edgeacts.report.accuracies import Accuracy, of_gate, of_openvino, of_training
from edgeacts.report.eight_bits import EightBits
from edgeacts.report.evidence import Source, Sourced

RUNTIME_NAMES = {
    "onnxruntime": "ONNX Runtime",
    "accelerated": "accelerated ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "PyTorch",
}
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
    eight: EightBits | None = None
    openvino: Sourced[OpenVinoQuantizationRecord] | None = None
    base: "Variant | None" = None
    """The float variant that it was quantized from."""

    @property
    def in_8_bits(self) -> bool:
        """Whether it is the 8-bit file of a network."""
        return self.eight is not None or self.openvino is not None

    @property
    def accuracy(self) -> Accuracy | None:
        """Of the trained network, or of the 8-bit file; None where it was not measured."""
        if self.training is not None:
            return of_training(self.training)
        if self.openvino is not None:
            return of_openvino(self.openvino)
        return of_gate(self.eight.gate) if self.eight and self.eight.gate else None

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


def settings_of(variants: Iterable[Variant]) -> list[Setting]:
    """The settings that were timed, ONNX Runtime first."""
    found = {timing.setting for variant in variants for timing in variant.timings}
    order = list(RUNTIME_NAMES)
    return sorted(found, key=lambda s: (order.index(s.runtime) if s.runtime in order else len(order), s))


def seen(variants: Iterable[Variant], kind: type[S]) -> list[Seen[S]]:
    """Every series of one mode, in the order of the variants."""
    return [item for variant in variants for item in variant.modes if isinstance(item.series, kind)]


def measured_accuracies(variants: Iterable[Variant]) -> list[tuple[Variant, Accuracy]]:
    """The variants whose accuracy is known, with it."""
    return [(variant, found) for variant in variants if (found := variant.accuracy) is not None]


def short_names(variants: Iterable[Variant]) -> dict[str, str]:
    """Label -> name for people: the activation, with "int8" for an 8-bit file, where that is told apart from all others."""
    listed = list(variants)
    names = [_short_name(variant) for variant in listed]
    alone = len({variant.model for variant in listed}) == 1 and len({*names, ""}) == len(names) + 1
    return {v.label: name if alone else v.label for v, name in zip(listed, names, strict=True)}


def _short_name(variant: Variant) -> str:
    kind = " int8" if variant.eight else " int8 for OpenVINO" if variant.openvino else ""
    return f"{variant.activation}{kind}" if variant.activation else ""


def timing_names(timings: Iterable[tuple[Variant, Timing]]) -> list[str]:
    """A name per timing: the variant's, with the executed precision where they differ and the name does not say it."""
    listed = list(timings)
    names = short_names({variant.label: variant for variant, _ in listed}.values())
    several = len({timing.precision for variant, timing in listed if not variant.in_8_bits}) > 1
    return [
        f"{names[variant.label]} {timing.precision}".strip()
        if several and not variant.in_8_bits
        else names[variant.label]
        for variant, timing in listed
    ]
