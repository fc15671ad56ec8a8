"""`quantize_openvino(path, images, out)`: NNCF with activations as units, the fastest acceptable variant, and the proof of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from edgeacts.circumstances import circumstances
from edgeacts.errors import CheckFailed
from edgeacts.files import sha256_file
from edgeacts.quantization.openvino_choosing import reason
from edgeacts.quantization.openvino_data import Data
from edgeacts.quantization.openvino_judging import Timing, measured
from edgeacts.quantization.openvino_saturation import saturates
from edgeacts.quantization.openvino_search import Search
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_tuned import advice
from edgeacts.quantization.openvino_variants import Variants
from edgeacts.quantization.settings import AUTO
from edgeacts.records.openvino_quantization import OpenVinoQuantizationRecord

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
    tuning: str | Path | None = None,
    try_all: bool = False,
    timing: Timing | None = None,
    progress: bool = False,
) -> OpenVinoQuantizeResult:
    """OUT/model.int8.xml, model.int8.bin and OUT/quantization.json of a float32 ONNX file, ours or not.

    `images` float32 [N, ...] as the model takes them calibrate; a share of them (`settings.held_out`) only judges, unless
    `judge_images` do. Variants are made by NNCF with each activation as a unit, judged, and timed against the float model in
    the same run; the fastest acceptable one is written. If none is surely faster than the float model, no model is
    written (with `keep_slower` it is) and CheckFailed says why; quantization.json is written all the same.
    What a tuning file (`tuning`, or the machine's own) says is the fastest is tried first and, where it holds, alone,
    unless `try_all`.
    Raises UsageError for a model or images that cannot be used, NotAvailable without nncf or openvino, EdgeactsError for what
    they refuse.
    """
    begin, path, folder = time.perf_counter(), Path(model_path), Path(out)
    chosen = settings or OpenVinoSettings()
    data = Data.prepare(path, images, labels, judge_images, judge_labels, chosen)
    advised = None if try_all else advice(path, chosen, tuning)
    half = saturates() if chosen.reduce_range == AUTO else chosen.reduce_range == "yes"
    clock = timing or measured(chosen.threads, chosen.budget_s, progress)
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as scratch:
        variants = Variants(path, data.calibration, half_range=half, batch=data.batch)
        search = Search(path, variants, data, chosen, clock, Path(scratch), progress)
        kept = search.run(advised)
        record = OpenVinoQuantizationRecord(
            model=path.name, model_sha256=sha256_file(path), xml="", xml_sha256="", weights_sha256="",
            images=len(data.calibration), held_out=len(data.judge), half_range=half,
            settings=msgspec.to_builtins(chosen), float_accuracy=search.judge.accuracy,
            candidates=tuple(search.candidates.values()), chosen=kept.name,
            faster=kept.time is not None and kept.time.comparison == "faster",
            reason=reason(path.name, kept), tuned=search.told, threads=chosen.threads,
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
