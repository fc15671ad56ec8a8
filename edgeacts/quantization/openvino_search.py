"""The search for the fastest acceptable INT8 variant for OpenVINO: variants are made, judged, and timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from edgeacts.latency.sizes import file_bytes
from edgeacts.quantization.openvino_choosing import AsExported, fastest, with_verdict
from edgeacts.quantization.openvino_curves import FUSED
from edgeacts.quantization.openvino_data import Data
from edgeacts.quantization.openvino_judging import FLOAT, OpenVinoJudge, Timing, executed
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_tuned import Advice
from edgeacts.quantization.openvino_variants import Variant, Variants
from edgeacts.quantization.progress import stage
from edgeacts.records import PairedDrop, TunedSetting
from edgeacts.records.openvino_quantization import Int8Candidate, Timed


class Search:
    """Makes, judges and times variants: first where layers stay in float, then what activations are computed by."""

    def __init__(
        self,
        path: Path,
        variants: Variants,
        data: Data,
        settings: OpenVinoSettings,
        timing: Timing,
        scratch: Path,
        progress: bool,
    ) -> None:
        self.judge = OpenVinoJudge(path, data.judge, data.labels, batch=data.batch)
        self.candidates: dict[str, Int8Candidate] = {}
        self.made: dict[str, Variant] = {}
        self.told = ""
        self._path, self._variants, self._data = path, variants, data
        self._settings, self._timing = settings, timing
        self._scratch, self._progress = scratch, progress
        self._files: dict[str, Path] = {}
        self._drops: dict[str, PairedDrop] = {}

    def run(self, advised: Advice | None) -> Int8Candidate:
        """The advised candidate if it is acceptable and faster; else the fastest acceptable one, or the fastest of all."""
        if advised is not None and (kept := self._try(advised)) is not None:
            return kept
        for base in [self._base(placement) for placement in self._variants.placements]:
            with stage(self._progress, "polynomials", len(self._data.calibration)) as step:
                for variant in self._variants.fitted(base, self._settings.step_shares, step):
                    self._add(variant)
                fused = self._variants.fused(base, self._settings.max_step_share, step)
                native = self._variants.with_native(base)
            for further in (fused, native):
                if further is not None:
                    self._add(further)
        self._judge_again()
        acceptable = [name for name, one in self.candidates.items() if one.acceptable]
        self._time(acceptable or list(self.candidates))
        return fastest(self.candidates.values())

    def _try(self, advised: Advice) -> Int8Candidate | None:
        """The advised variant if the model has it, and it is acceptable and faster than the float model."""
        variant = self._advised(advised.setting)
        if variant is None:
            self.told = f"{advised.told}: it cannot be made of this model, so that all were tried"
            return None
        self._add(variant)
        if self.candidates[variant.name].acceptable:
            self._time([variant.name])
        one = self.candidates[variant.name]
        if one.acceptable and one.time is not None and one.time.comparison == "faster":
            self.told = f"{advised.told}: it was tried first and holds, so that no other was"
            return one
        why = one.why if one.time is None else f"it takes {one.time.ratio:.2f} of the float model's time"
        self.told = f"{advised.told}: it was tried first and does not hold ({why}), so that all were tried"
        return None

    def _advised(self, setting: TunedSetting) -> Variant | None:
        # Without depthwise layers, to leave them in float is to quantize all.
        here = setting.placement in self._variants.placements
        base = self._base(setting.placement if here else self._variants.placements[0])
        if setting.body == FUSED:
            return self._variants.fused(base, setting.step_share or self._settings.max_step_share)
        if setting.body:
            return self._variants.with_native(base)
        if setting.step_share is None:
            return base
        with stage(self._progress, "polynomials", len(self._data.calibration)) as step:
            return next(iter(self._variants.fitted(base, [setting.step_share], step)), None)

    def _base(self, placement: str) -> Variant:
        """Activations as they were exported, made once."""
        if placement not in self.made:
            with stage(self._progress, f"quantize {placement}", len(self._data.calibration)) as step:
                self._add(self._variants.exported(placement, step))
        return self.made[placement]

    def _judge_again(self) -> None:
        """By the noise of the first placement, which an advised variant was not held against."""
        rules = AsExported.of(self.candidates.values(), self._drops, self._settings)
        for name, one in self.candidates.items():
            self.candidates[name] = with_verdict(one, rules)

    def _add(self, variant: Variant) -> None:
        if variant.name in self.made:
            return
        xml = self._variants.write(variant, self._scratch / f"{len(self.made)}.xml")
        error, drop = self.judge.compare(xml)
        accuracy = None
        if drop is not None:
            self._drops[variant.name], accuracy = drop, drop.accuracy
        layers, activations = executed(xml, self._settings.threads)
        rules = AsExported.of(self.candidates.values(), self._drops, self._settings)
        self.made[variant.name], self._files[variant.name] = variant, xml
        self.candidates[variant.name] = with_verdict(
            Int8Candidate(
                name=variant.name, placement=variant.placement, step_share=variant.step_share,
                polynomials=len(variant.gates), form_error=variant.form_error, error=error, accuracy=accuracy,
                time=None, layers=layers, activations=activations, size_bytes=file_bytes(xml),
                acceptable=False, why="",
            ),
            rules,
        )  # fmt: skip

    def _time(self, names: Sequence[str]) -> None:
        files: Mapping[str, Path] = {FLOAT: self._path} | {name: self._files[name] for name in names}
        found: Mapping[str, Timed] = self._timing(files)
        for name in names:
            self.candidates[name] = replace(self.candidates[name], time=found[name])
