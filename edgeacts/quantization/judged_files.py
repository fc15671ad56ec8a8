"""What a judgement leaves in a folder: the INT8 model and its records, which name the file that they are about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from edgeacts.quantization.judged import Judged
from edgeacts.quantization.workflow import write_quantized
from edgeacts.quantization.writing import QuantizeResult

GATE_FILE, SATURATION_FILE, QAT_FILE = "gate.json", "saturation.json", "qat.json"


def write_judged(judged: Judged, source: Path, out: Path) -> tuple[QuantizeResult, Judged]:
    """OUT/model.int8.onnx, its twin, quantization.json, gate.json, and saturation.json and qat.json where there is such a thing.

    `source` is the float file. Gives what was written, and `judged` with the written file's hash in its records.
    """
    result = write_quantized(judged.done, source, out)
    written = {"model_sha256": result.record.portable_sha256}
    gate, saturation = msgspec.structs.replace(judged.gate, **written), judged.saturation
    if saturation is not None:
        saturation = msgspec.structs.replace(saturation, **written)
    gate.write(out / GATE_FILE)
    for name, record in ((SATURATION_FILE, saturation), (QAT_FILE, judged.qat)):
        (out / name).unlink(missing_ok=True)
        if record is not None:
            record.write(out / name)
    return result, replace(judged, gate=gate, saturation=saturation)
