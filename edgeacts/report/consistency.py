"""A record that contradicts itself is not evidence: totals, medians, intervals and verdicts are recomputed."""

from collections.abc import Callable, Iterable
from typing import Any

from edgeacts.records import (
    ColdRecord,
    ConformanceRecord,
    DivergenceRecord,
    GateRecord,
    LatencyRecord,
    MemoryRecord,
    OpenVinoQuantizationRecord,
    PacedRecord,
    ProfileRecord,
    QatRecord,
    QuantizationRecord,
    Record,
    SaturationRecord,
    SustainedRecord,
    ThroughputRecord,
    TrainingRecord,
    Verdict,
    to_builtins,
)
from edgeacts.report import consistency_accuracy, consistency_errors, consistency_modes, consistency_times

MAX_TEXT = 20_000
MAX_INTEGER = 2**63
ACCURACY_SLACK = 1e-3
"""Room for rounded values in records."""


def contradiction(record: Record) -> str:
    """Why `record` cannot be true, or cannot be shown; an empty string when nothing speaks against it."""
    if reason := _unwieldy(record):
        return reason
    check = _CHECKS.get(type(record))
    return check(record) if check else ""


def _unwieldy(record: Record) -> str:
    """Texts and integers that no measurement writes, and that no page could show."""
    waiting: list[Any] = [to_builtins(record)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and len(value) > MAX_TEXT:
            return f"it holds a text of {len(value):,} characters; at most {MAX_TEXT:,} are shown"
        if isinstance(value, int) and not -MAX_INTEGER < value < MAX_INTEGER:
            return f"it holds an integer of {value.bit_length()} bits"
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, Iterable) and not isinstance(value, str):
            waiting += value
    return ""


def _training(record: TrainingRecord) -> str:
    if not 0 <= record.test_correct <= record.test_total or record.test_total == 0:
        return f"{record.test_correct} of {record.test_total} test images correct"
    accuracy = record.test_correct / record.test_total
    if abs(accuracy - record.test_accuracy) > ACCURACY_SLACK:
        return f"test accuracy {record.test_accuracy} is not {record.test_correct} of {record.test_total}"
    low, high = record.test_interval
    if (
        not -ACCURACY_SLACK <= low <= record.test_accuracy + ACCURACY_SLACK
        or high < record.test_accuracy - ACCURACY_SLACK
    ):
        return f"the interval {low} to {high} does not hold the test accuracy {record.test_accuracy}"
    return ""


_CHECKS: dict[type[Record], Callable[[Any], str]] = {
    TrainingRecord: _training,
    Verdict: consistency_errors.verdict,
    DivergenceRecord: consistency_errors.divergence,
    ConformanceRecord: consistency_errors.conformance,
    LatencyRecord: consistency_times.latency,
    ColdRecord: consistency_modes.cold,
    PacedRecord: consistency_modes.paced,
    SustainedRecord: consistency_modes.sustained,
    ThroughputRecord: consistency_modes.throughput,
    MemoryRecord: consistency_modes.memory,
    ProfileRecord: consistency_modes.profile,
    QuantizationRecord: consistency_accuracy.quantization,
    GateRecord: consistency_accuracy.gate,
    SaturationRecord: consistency_accuracy.saturation,
    QatRecord: consistency_accuracy.qat,
    OpenVinoQuantizationRecord: consistency_accuracy.openvino,
}
