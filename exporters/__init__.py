"""Exporters, one file per target: `to_onnx`, `to_openvino`. They know nothing of `models`."""

if __name__ != "edgeacts.exporters":
    raise ImportError(
        f"this package is edgeacts.exporters, not {__name__}: write `from edgeacts.exporters import ...`"
    )

from typing import Any

from edgeacts.errors import missing_extra
from edgeacts.exporters.to_openvino import OpenVinoFiles, to_openvino

_missing: ModuleNotFoundError | None = None
try:
    from edgeacts.exporters.to_onnx import Exported, to_onnx
except ModuleNotFoundError as error:  # a device has no torch; OpenVINO's files are written without it
    if isinstance(missing_extra(error), ModuleNotFoundError):
        raise
    _missing = error

__all__ = ["Exported", "OpenVinoFiles", "to_onnx", "to_openvino"]


def __getattr__(name: str) -> Any:
    if _missing is not None and name in __all__:
        raise missing_extra(_missing) from _missing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
