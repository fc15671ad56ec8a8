"""The accuracy of a variant: of the network as it was trained, or of its 8-bit file as that ran."""

from dataclasses import dataclass

from edgeacts.records import GateRecord, OpenVinoQuantizationRecord, TrainingRecord
from edgeacts.report.evidence import Source, Sourced
from edgeacts.shares import wilson_interval

GATE_RUNTIMES = frozenset({"onnxruntime", "accelerated"})
"""Where the gate's answers hold: it asks ONNX Runtime, and an accelerated 8-bit session answers alike to the last bit."""


@dataclass(frozen=True)
class Accuracy:
    """`correct` of `total` images with the 95 % `interval` of the share; `of` says what answered.

    `runtimes` are those in which it holds, None: in all. `refused` is why it is no choice, "" where it is one.
    """

    correct: int
    total: int
    interval: tuple[float, float]
    of: str
    source: Source
    share: float
    runtimes: frozenset[str] | None = None
    refused: str = ""

    def holds_in(self, runtime: str) -> bool:
        """Whether it was measured there, or is the same there."""
        return self.runtimes is None or runtime in self.runtimes


def of_training(item: Sourced[TrainingRecord]) -> Accuracy:
    """Of the trained network in PyTorch; what changes in a runtime is counted by the verdicts."""
    record = item.record
    return Accuracy(
        record.test_correct, record.test_total, record.test_interval, "PyTorch", item.source, record.test_accuracy
    )  # fmt: skip


def of_gate(item: Sourced[GateRecord]) -> Accuracy:
    """Of the INT8 file as ONNX Runtime ran it on the machine of the gate."""
    drop = item.record.kept.drop
    refused = "" if item.record.passed else "gate failed"
    span = wilson_interval(drop.candidate_correct, drop.total)
    return Accuracy(
        drop.candidate_correct, drop.total, span, "INT8 in ONNX Runtime", item.source, drop.accuracy, GATE_RUNTIMES, refused
    )  # fmt: skip


def of_openvino(item: Sourced[OpenVinoQuantizationRecord]) -> Accuracy | None:
    """Of the INT8 variant that was kept for OpenVINO, on held-out validation images; None where there were no labels."""
    record = item.record
    if not record.xml or record.kept.accuracy is None:
        return None
    correct = round(record.kept.accuracy * record.held_out)
    span = wilson_interval(correct, record.held_out)
    return Accuracy(
        correct, record.held_out, span, "INT8 in OpenVINO", item.source, record.kept.accuracy, frozenset({"openvino"})
    )  # fmt: skip
