"""The 8-bit model, its inlined twin and the record, written to a folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import inliner

from edgeacts.circumstances import circumstances
from edgeacts.files import sha256_file, write_bytes_atomic
from edgeacts.forms import DOMAIN
from edgeacts.quantization.metadata import say_also
from edgeacts.records.quantization import LayerNoise, OutputError, QuantizationRecord, RangeTrial

PORTABLE, INLINED, RECORD = "model.int8.onnx", "model.int8.inlined.onnx", "quantization.json"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the record says besides the files: see QuantizationRecord."""

    images: int
    held_out: int
    settings: dict[str, str | int | float | bool | None]
    chosen: str
    trials: tuple[RangeTrial, ...] = ()
    layers: tuple[LayerNoise, ...] = ()
    float_layers: tuple[str, ...] = ()
    exact: OutputError
    deployed: OutputError
    seconds: float


@dataclass(frozen=True)
class QuantizeResult:
    """The files that were written, and the record."""

    portable: Path
    inlined: Path
    record: QuantizationRecord


def write_model(quantized: onnx.ModelProto, source: Path, out: Path, found: Findings) -> QuantizeResult:
    """OUT/model.int8.onnx, its inlined twin and OUT/quantization.json; the file states the float file's hash."""
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    say_also(model, {"float_sha256": sha256_file(source)})
    onnx.checker.check_model(model, full_check=True)
    twin = inliner.inline_local_functions(model)
    for which, name in ((model, PORTABLE), (twin, INLINED)):
        write_bytes_atomic(out / name, which.SerializeToString(deterministic=True))
    record = QuantizationRecord(
        model=source.name,
        model_sha256=sha256_file(source),
        portable=PORTABLE,
        portable_sha256=sha256_file(out / PORTABLE),
        inlined=INLINED,
        inlined_sha256=sha256_file(out / INLINED),
        size_bytes=(out / PORTABLE).stat().st_size,
        float_size_bytes=source.stat().st_size,
        images=found.images,
        held_out=found.held_out,
        settings=found.settings,
        chosen=found.chosen,
        trials=found.trials,
        layers=found.layers,
        float_layers=found.float_layers,
        activations=dict(Counter(node.op_type for node in model.graph.node if node.domain == DOMAIN)),
        exact=found.exact,
        deployed=found.deployed,
        seconds=found.seconds,
        circumstances=circumstances(),
    )
    record.write(out / RECORD)
    return QuantizeResult(out / PORTABLE, out / INLINED, record)
