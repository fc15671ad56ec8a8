"""Interleaved latency measurement of ONNX files, with what really ran."""

from edgeacts.latency.measure import benchmark
from edgeacts.latency.table import format_latency

__all__ = ["benchmark", "format_latency"]
