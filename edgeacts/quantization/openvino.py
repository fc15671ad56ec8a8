"""`quantize_openvino(path, images, out)`: NNCF with activations as units, the fastest acceptable variant, and the proof of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from edgeacts.circumstances import circumstances
from edgeacts.errors import CheckFailed, UsageError
from edgeacts.files import sha256_file
from edgeacts.latency.sizes import file_bytes
from edgeacts.quantization.checking import check_images, load_model
from edgeacts.quantization.openvino_choosing import AsExported, fastest, reason, with_verdict
from edgeacts.quantization.openvino_judging import FLOAT, OpenVinoJudge, Timing, executed, measured
from edgeacts.quantization.openvino_saturation import saturates
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_variants import Variant, Variants
from edgeacts.quantization.progress import stage
from edgeacts.quantization.sessions import fixed_batch
from edgeacts.quantization.settings import AUTO
from edgeacts.records.openvino_quantization import Int8Candidate, OpenVinoQuantizationRecord, Timed

XML, RECORD = "model.int8.xml", "quantization.json"


@dataclass(frozen=True)
class OpenVinoQuantizeResult:
    """The files that were written, which `edgeacts.open_session(xml, runtime="openvino")` opens, and the record."""

    xml: Path
    weights: Path
    record: OpenVinoQuantizationRecord


def quantize_openvino(
    model_path: str | Path,
    images: NDArray[np.float32],
    out: str | Path,
    *,
    settings: OpenVinoSettings | None = None,
    labels: Sequence[int] | NDArray[Any] | None = None,
    judge_images: NDArray[np.float32] | None = None,
    judge_labels: Sequence[int] | NDArray[Any] | None = None,
    keep_slower: bool = False,
    timing: Timing | None = None,
    progress: bool = False,
) -> OpenVinoQuantizeResult:
    """OUT/model.int8.xml, model.int8.bin and OUT/quantization.json of a float32 ONNX file, ours or not.

    `images` float32 [N, ...] as the model takes them calibrate; a share of them (`settings.held_out`) only judges, unless
    `judge_images` do. Variants are made by NNCF with each activation as a unit, judged, and timed against the float model in
    the same run; the fastest acceptable one is written. If none is surely faster than the float model, no model is
    written (with `keep_slower` it is) and CheckFailed says why; quantization.json is written all the same.
    Raises UsageError for a model or images that cannot be used, NotAvailable without nncf or openvino, EdgeactsError for what
    they refuse.
    """
    begin, path, folder = time.perf_counter(), Path(model_path), Path(out)
    chosen = settings or OpenVinoSettings()
    data = _Data.prepare(path, images, labels, judge_images, judge_labels, chosen)
    half = saturates() if chosen.reduce_range == AUTO else chosen.reduce_range == "yes"
    clock = timing or measured(chosen.threads, chosen.budget_s, progress)
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as scratch:
        variants = Variants(path, data.calibration, half_range=half, batch=data.batch)
        search = _Search(path, variants, data, chosen, clock, Path(scratch), progress)
        kept = search.run()
        record = OpenVinoQuantizationRecord(
            model=path.name, model_sha256=sha256_file(path), xml="", xml_sha256="", weights_sha256="",
            images=len(data.calibration), held_out=len(data.judge), half_range=half,
            settings=msgspec.to_builtins(chosen), float_accuracy=search.judge.accuracy,
            candidates=tuple(search.candidates.values()), chosen=kept.name,
            faster=kept.time is not None and kept.time.comparison == "faster",
            reason=reason(path.name, kept), threads=chosen.threads,
            seconds=time.perf_counter() - begin, circumstances=circumstances(),
        )  # fmt: skip
        if not ((record.faster and kept.acceptable) or keep_slower):
            record.write(folder / RECORD)
            raise CheckFailed(f"{record.reason}; {folder / RECORD} has every variant")
        xml = variants.write(search.made[kept.name], folder / XML, chosen.batch)
    weights = xml.with_suffix(".bin")
    record = replace(record, xml=XML, xml_sha256=sha256_file(xml), weights_sha256=sha256_file(weights))
    record.write(folder / RECORD)
    return OpenVinoQuantizeResult(xml, weights, record)


@dataclass(frozen=True)
class _Data:
    """Checked images: those that calibrate, and those that judge with their labels; `batch` is the model's own, or 1."""

    calibration: NDArray[np.float32]
    judge: NDArray[np.float32]
    labels: NDArray[Any] | None
    batch: int

    @classmethod
    def prepare(
        cls,
        path: Path,
        images: Any,
        labels: Any,
        judge_images: Any,
        judge_labels: Any,
        settings: OpenVinoSettings,
    ) -> _Data:
        if path.suffix.lower() != ".onnx" and path.is_file():
            raise UsageError(f"{path} is no ONNX file: give the float portable .onnx that it was made from")
        proto = load_model(path)
        checked = check_images(proto, images, labels)
        batch = fixed_batch(proto) or 1
        if judge_images is not None:
            judge = check_images(proto, judge_images, judge_labels)
            return cls(checked, judge, None if judge_labels is None else np.asarray(judge_labels), batch)
        if judge_labels is not None:
            raise UsageError("judge_labels without judge_images: labels of `images` are given as labels")
        order = np.random.default_rng(settings.seed).permutation(len(checked))
        judging = max(batch, round(settings.held_out * len(checked)) // batch * batch)
        of_judge, of_calibration = np.sort(order[:judging]), np.sort(order[judging:])
        kept = None if labels is None else np.asarray(labels)[of_judge]
        return cls(checked[of_calibration], checked[of_judge], kept, batch)


class _Search:
    """Makes, judges and times variants: first where layers stay in float, then what activations are computed by."""

    def __init__(
        self,
        path: Path,
        variants: Variants,
        data: _Data,
        settings: OpenVinoSettings,
        timing: Timing,
        scratch: Path,
        progress: bool,
    ) -> None:
        self.judge = OpenVinoJudge(path, data.judge, data.labels, batch=data.batch)
        self.candidates: dict[str, Int8Candidate] = {}
        self.made: dict[str, Variant] = {}
        self._path, self._variants, self._data = path, variants, data
        self._settings, self._timing = settings, timing
        self._scratch, self._progress = scratch, progress
        self._files: dict[str, Path] = {}

    def run(self) -> Int8Candidate:
        """The fastest acceptable candidate, or the fastest of all if none is acceptable."""
        for placement in self._variants.placements:
            with stage(self._progress, f"quantize {placement}", len(self._data.calibration)) as step:
                self._add(self._variants.exported(placement, step))
        for base in list(self.made.values()):
            self._polynomials(base)
        acceptable = [name for name, one in self.candidates.items() if one.acceptable]
        self._time(acceptable or list(self.candidates))
        return fastest(self.candidates.values())

    def _polynomials(self, base: Variant) -> None:
        """Variants of `base` with polynomials, without those that are like the one before."""
        gates: dict[str, Any] = {}
        with stage(self._progress, "polynomials", len(self._data.calibration)) as step:
            for share in self._settings.step_shares:
                variant = self._variants.polynomials(base, share, step)
                if variant.gates != gates:
                    gates = variant.gates
                    self._add(variant)

    def _add(self, variant: Variant) -> None:
        xml = self._variants.write(variant, self._scratch / f"{len(self.made)}.xml")
        error, accuracy = self.judge.judge(xml)
        layers, activations = executed(xml, self._settings.threads)
        rules = AsExported.of(self.candidates.values(), self.judge.accuracy, self._settings)
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
