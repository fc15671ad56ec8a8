"""Frozen records that stages exchange, one file a subject; `Record` says what they have in common."""

from edgeacts.records.accuracy import (
    GateRecord,
    GateTry,
    GateVerdict,
    Judgement,
    LatencyRatio,
    LayerSaturation,
    PairedDrop,
    SaturationRecord,
)
from edgeacts.records.base import Record, to_builtins
from edgeacts.records.conformance import ConformanceRecord, ConformanceRow
from edgeacts.records.divergence import DivergenceRecord, LayerRow
from edgeacts.records.executed import ExecutedActivation, ExecutedGraph, ExecutedLayer
from edgeacts.records.export import ExportRecord
from edgeacts.records.latency import LatencyBlock, LatencyRecord, LatencySeries, NoiseFloor
from edgeacts.records.modes import (
    ColdRecord,
    ColdSeries,
    MemoryRecord,
    MemorySeries,
    OperatorTime,
    PacedRecord,
    PacedSeries,
    ProfileRecord,
    ProfileSeries,
    Subject,
    SustainedRecord,
    SustainedSeries,
    ThroughputRecord,
    ThroughputSeries,
)
from edgeacts.records.openvino_quantization import Int8Candidate, OpenVinoQuantizationRecord, Timed
from edgeacts.records.parity import Budget, Outcome, ParityRow, Verdict
from edgeacts.records.qat import QatRecord
from edgeacts.records.quantization import LayerNoise, OutputError, QuantizationRecord, RangeTrial
from edgeacts.records.training import Epoch, TrainingRecord
from edgeacts.records.tuning import TunedActivation, TunedForm, TunedSetting, TuningEntry, TuningRecord

__all__ = [
    "Budget",
    "ColdRecord",
    "ColdSeries",
    "ConformanceRecord",
    "ConformanceRow",
    "DivergenceRecord",
    "Epoch",
    "ExecutedActivation",
    "ExecutedGraph",
    "ExecutedLayer",
    "ExportRecord",
    "GateRecord",
    "GateTry",
    "GateVerdict",
    "Int8Candidate",
    "Judgement",
    "LatencyBlock",
    "LatencyRatio",
    "LatencyRecord",
    "LatencySeries",
    "LayerNoise",
    "LayerRow",
    "LayerSaturation",
    "MemoryRecord",
    "MemorySeries",
    "NoiseFloor",
    "OpenVinoQuantizationRecord",
    "OperatorTime",
    "Outcome",
    "OutputError",
    "PacedRecord",
    "PacedSeries",
    "PairedDrop",
    "ParityRow",
    "ProfileRecord",
    "ProfileSeries",
    "QatRecord",
    "QuantizationRecord",
    "RangeTrial",
    "Record",
    "SaturationRecord",
    "Subject",
    "SustainedRecord",
    "SustainedSeries",
    "ThroughputRecord",
    "ThroughputSeries",
    "Timed",
    "TrainingRecord",
    "TunedActivation",
    "TunedForm",
    "TunedSetting",
    "TuningEntry",
    "TuningRecord",
    "Verdict",
    "to_builtins",
]
