"""The records of one 8-bit file together: how it was quantized, what the gate, the prediction and a fine-tuning said."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from edgeacts.records import GateRecord, QatRecord, QuantizationRecord, SaturationRecord
from edgeacts.report.evidence import Evidence, Problem, Source, Sourced


@dataclass
class EightBits:
    """One 8-bit file for ONNX Runtime; a part is None where there is no record of it."""

    quantization: Sourced[QuantizationRecord]
    gate: Sourced[GateRecord] | None = None
    saturation: Sourced[SaturationRecord] | None = None
    qat: Sourced[QatRecord] | None = None

    @property
    def hashes(self) -> set[str]:
        """Of the portable file and of its inlined twin."""
        record = self.quantization.record
        return {record.portable_sha256, record.inlined_sha256}

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files of all its records."""
        found = (self.quantization, self.gate, self.saturation, self.qat)
        return tuple(item.source for item in found if item is not None)


def eight_bit_files(evidence: Evidence) -> list[EightBits]:
    """One per quantization; the gate and the prediction are found by the file's hash, a fine-tuning by its folder.

    Records of a file without a quantization record become problems.
    """
    found = [EightBits(item) for item in evidence.of(QuantizationRecord)]
    by_hash = {one.quantization.record.portable_sha256: one for one in found}
    by_folder = {_folder(one.quantization.source): one for one in found}
    for gate in evidence.of(GateRecord):
        if (owner := by_hash.get(gate.record.model_sha256)) is not None:
            owner.gate = gate
        else:
            evidence.problems.append(_stray(gate.source, gate.record.model_sha256))
    for saturation in evidence.of(SaturationRecord):
        if (owner := by_hash.get(saturation.record.model_sha256)) is not None:
            owner.saturation = saturation
        else:
            evidence.problems.append(_stray(saturation.source, saturation.record.model_sha256))
    for qat in evidence.of(QatRecord):
        if (owner := by_folder.get(_folder(qat.source))) is not None:
            owner.qat = qat
        else:
            text = "is a fine-tuning without the quantization.json that is written beside it: quantize again"
            evidence.problems.append(Problem(qat.source.path, text))
    return found


def _folder(source: Source) -> str:
    return str(PurePosixPath(source.path).parent)


def _stray(source: Source, sha256: str) -> Problem:
    about = f"an INT8 file ({sha256[:8]})" if sha256 else "an INT8 file that was not written"
    return Problem(source.path, f"is about {about} of which no quantization record is here: quantize again")
