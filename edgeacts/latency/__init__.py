"""Interleaved latency measurement of ONNX files, and the other ways to look at it, each with what really ran.

Names are loaded when they are first used: a task in a fresh process imports what it needs and no more.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeacts.latency.measure import benchmark
    from edgeacts.latency.modes.cold import cold_start, format_cold
    from edgeacts.latency.modes.memory import format_memory, memory
    from edgeacts.latency.modes.paced import format_paced, paced
    from edgeacts.latency.modes.profile import format_profile, profile
    from edgeacts.latency.modes.sustained import format_sustained, sustained
    from edgeacts.latency.modes.throughput import format_throughput, throughput
    from edgeacts.latency.table import format_latency

_HOME = {
    "benchmark": "edgeacts.latency.measure",
    "format_latency": "edgeacts.latency.table",
    "cold_start": "edgeacts.latency.modes.cold",
    "format_cold": "edgeacts.latency.modes.cold",
    "format_memory": "edgeacts.latency.modes.memory",
    "memory": "edgeacts.latency.modes.memory",
    "format_paced": "edgeacts.latency.modes.paced",
    "paced": "edgeacts.latency.modes.paced",
    "format_profile": "edgeacts.latency.modes.profile",
    "profile": "edgeacts.latency.modes.profile",
    "format_sustained": "edgeacts.latency.modes.sustained",
    "sustained": "edgeacts.latency.modes.sustained",
    "format_throughput": "edgeacts.latency.modes.throughput",
    "throughput": "edgeacts.latency.modes.throughput",
}

__all__ = [
    "benchmark",
    "cold_start",
    "format_cold",
    "format_latency",
    "format_memory",
    "format_paced",
    "format_profile",
    "format_sustained",
    "format_throughput",
    "memory",
    "paced",
    "profile",
    "sustained",
    "throughput",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgeacts.latency' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
