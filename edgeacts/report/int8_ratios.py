"""Latency of an 8-bit file over that of another file of the same record, by the rounds they ran in together."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeacts.errors import EdgeactsError
from edgeacts.latency.intervals import Interval
from edgeacts.latency.judging import log_blocks, ratio_of, verdict
from edgeacts.records import LatencySeries, NoiseFloor
from edgeacts.records.latency import Comparison
from edgeacts.report.variants import Setting, Timing, Variant

RELU = "relu"


@dataclass(frozen=True)
class Compared:
    """A ratio with its interval at the record's confidence, and whether that is faster, slower, or cannot be told."""

    interval: Interval
    comparison: Comparison


@dataclass(frozen=True)
class EightTiming:
    """An 8-bit file in one setting: over its float file, and over ReLU's 8-bit file of the same network, where those ran too."""

    variant: Variant
    timing: Timing
    over_float: Compared | None
    over_relu: Compared | None

    @property
    def ratio(self) -> float:
        """Over the float model; 1 where that did not run beside it."""
        return 1.0 if self.over_float is None else self.over_float.interval.ratio


def eight_timings(variants: Sequence[Variant], setting: Setting) -> list[EightTiming]:
    """Every 8-bit file that was timed in the setting, in the order of the variants."""
    found = []
    for variant in variants:
        for timing in variant.timings_in(setting) if variant.in_8_bits else ():
            base = None if variant.base is None else _beside(variant.base, timing)
            relu = next((t for v in _relu_of(variant, variants) if (t := _beside(v, timing))), None)
            over = [None if other is None else compare(timing, other) for other in (base, relu)]
            found.append(EightTiming(variant, timing, *over))
    return found


def compare(own: Timing, base: Timing) -> Compared | None:
    """`own` over `base` of the same record; None where they did not run in the same rounds."""
    if own.series is base.series:
        return Compared(Interval(1.0, 1.0, 1.0), "baseline")
    if own.series.block_of != base.series.block_of:
        return None
    record, floor = own.record, own.floor
    sessions: list[LatencySeries | NoiseFloor] = [base.series]
    if floor is not None and base.series.comparison == "baseline" and floor.block_of == own.series.block_of:
        sessions.append(floor)  # the same file in a second session
    process_of = [record.blocks[block].process for block in dict.fromkeys(own.series.block_of)]
    try:
        ratio = ratio_of(
            log_blocks(own.series.label, own.series.samples_ns, own.series.block_of),
            [log_blocks(base.series.label, one.samples_ns, one.block_of) for one in sessions],
            process_of, seed=record.seed, confidence=record.confidence,
        )  # fmt: skip
    except EdgeactsError:
        return None
    return Compared(ratio, verdict(ratio, 1.0 if floor is None else floor.ratio))


def _beside(variant: Variant, timing: Timing) -> Timing | None:
    """The variant's series in the same record and setting."""
    same = (one for one in variant.timings if one.record is timing.record and one.setting == timing.setting)
    return next(same, None)


def _relu_of(variant: Variant, variants: Sequence[Variant]) -> list[Variant]:
    """ReLU's 8-bit file of the same network, quantized for the same runtime."""
    kind = variant.eight is None
    return [
        one
        for one in variants
        if one.in_8_bits
        and one.activation == RELU
        and one.model == variant.model
        and (one.eight is None) == kind
    ]
