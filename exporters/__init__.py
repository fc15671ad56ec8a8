"""Exporters, one file per target: `to_onnx`. They know nothing of `models`."""

if __name__ != "edgeacts.exporters":
    raise ImportError(
        f"this package is edgeacts.exporters, not {__name__}: write `from edgeacts.exporters import ...`"
    )

from edgeacts.exporters.to_onnx import Exported, to_onnx

__all__ = ["Exported", "to_onnx"]
