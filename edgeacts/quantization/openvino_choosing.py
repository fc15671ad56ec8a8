"""Which INT8 variant is acceptable, which one is kept, and the sentence that says what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from edgeacts.latency.table import interval_text
from edgeacts.quantization.gate_verdict import verdict_on, why_not_told
from edgeacts.quantization.openvino_nncf import PLACEMENTS
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.records.accuracy import PairedDrop
from edgeacts.records.openvino_quantization import Int8Candidate


@dataclass(frozen=True)
class AsExported:
    """What others are held against: the noise of a variant whose activations are exact, and the float model's right answers.

    It is the one with all layers in INT8 or, before that is made, the first (`of_all` is False). `sqnr_db` is None for the
    first variant itself, which is held against its accuracy alone. `drops`: a variant's name -> what it gets wrong that the float
    model has right, and the reverse; none without labels.
    """

    sqnr_db: float | None
    drops: Mapping[str, PairedDrop]
    settings: OpenVinoSettings
    of_all: bool = True

    @classmethod
    def of(
        cls,
        candidates: Iterable[Int8Candidate],
        drops: Mapping[str, PairedDrop] | None,
        settings: OpenVinoSettings,
    ) -> AsExported:
        """From the candidates so far."""
        made = list(candidates)
        found = next((one for one in made if one.name == PLACEMENTS[0]), made[0] if made else None)
        of_all = found is None or found.name == PLACEMENTS[0]
        return cls(None if found is None else found.error.sqnr_db, drops or {}, settings, of_all)


def with_verdict(candidate: Int8Candidate, rules: AsExported) -> Int8Candidate:
    """The candidate with `acceptable`, `drop` and `why`. Only evidence refuses (`gate_verdict`), as for ONNX Runtime."""
    drop, limit = rules.drops.get(candidate.name), rules.settings.max_drop
    candidate = replace(candidate, drop=drop)
    if drop is not None and verdict_on(drop, limit, strict=False) == "failed":
        return replace(candidate, acceptable=False, why=_said(drop, limit))
    least, found = rules.sqnr_db, candidate.error.sqnr_db
    if least is not None and found is not None and found < least - rules.settings.extra_noise_db:
        than = "all layers in INT8 and exact activations" if rules.of_all else "exact activations"
        why = (
            f"{least - found:.1f} dB more noise than with {than}, "
            f"{rules.settings.extra_noise_db:g} are allowed"
        )
        return replace(candidate, acceptable=False, why=why)
    return replace(candidate, acceptable=True, why="" if drop is None else _said(drop, limit))


def _said(drop: PairedDrop, limit: float) -> str:
    """The verdict on the accuracy, and what it rests on."""
    seen = f"{drop} on {drop.total:,} images"
    verdict = verdict_on(drop, limit, strict=False)
    if verdict == "failed":
        return f"accuracy falls: {seen}, {limit:g} are allowed"
    if verdict == "held":
        return f"the drop is at most {limit:g} points: {seen}"
    return f"{why_not_told(drop, limit)}: {drop}"


def fastest(candidates: Iterable[Int8Candidate]) -> Int8Candidate:
    """The acceptable candidate of the lowest ratio; if none is acceptable, the lowest of all."""
    measured = [one for one in candidates if one.time is not None]
    allowed = [one for one in measured if one.acceptable] or measured
    return min(allowed, key=lambda one: math.inf if one.time is None else one.time.ratio)


def reason(model: str, kept: Int8Candidate) -> str:
    """What came of it, in a sentence."""
    if kept.time is None:
        return f"{model}: no INT8 variant was timed"
    ratio = interval_text(kept.time.ratio, kept.time.low, kept.time.high)
    took = f"{model}: INT8 ({kept.name}) takes {ratio} of the float model's time"
    if not kept.acceptable:
        return f"{took}, but it is not acceptable: {kept.why}"
    if kept.time.comparison == "faster":
        return f"{took}; {kept.why}" if kept.why else took
    return f"{took}: it is not faster; layers run in {kept.layers}, activations: {kept.activations or 'none'}"
