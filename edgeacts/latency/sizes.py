"""What a model takes on the disk."""

from pathlib import Path

import onnx
from onnx.external_data_helper import uses_external_data

from edgeacts.runtimes.onnx_file import load_onnx


def file_bytes(path: Path) -> int:
    """The file with its weights: those of an OpenVINO .xml, and the external data of an ONNX file, each file once."""
    files = {path}
    if path.suffix.lower() == ".xml":
        files.add(path.with_suffix(".bin"))
    elif path.suffix.lower() == ".onnx":
        files |= {path.parent / place for place in _external(load_onnx(path))}
    return sum(file.stat().st_size for file in files if file.is_file())


def _external(model: onnx.ModelProto) -> set[str]:
    return {
        entry.value
        for tensor in model.graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
