"""Other ways to look at latency than a comparison: one file a mode, one row in `MODES`.

A mode's module offers `measure(models, ...) -> record`, `table(record) -> str`, and `OPTIONS`, the names of the arguments that it
takes besides the common ones. What it measures runs in fresh processes, a model in each.
"""

from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol, cast

from edgeacts.names import check_name

MODES = MappingProxyType(
    {
        "cold": "edgeacts.latency.modes.cold",
        "paced": "edgeacts.latency.modes.paced",
        "sustained": "edgeacts.latency.modes.sustained",
        "throughput": "edgeacts.latency.modes.throughput",
        "memory": "edgeacts.latency.modes.memory",
        "profile": "edgeacts.latency.modes.profile",
    }
)


class Mode(Protocol):
    """What a mode's module offers."""

    OPTIONS: tuple[str, ...]

    def measure(self, models: Any, **options: Any) -> Any:
        """The mode's record."""

    def table(self, record: Any) -> str:
        """The record as text of 80 columns."""


def mode(name: str) -> Mode:
    """The module of a mode. Raises UsageError for a name that is not in `MODES`."""
    return cast(Mode, import_module(MODES[check_name(name, MODES, "mode")]))
