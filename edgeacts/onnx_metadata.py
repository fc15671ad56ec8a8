"""The metadata of an ONNX file, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeacts.errors import DamagedFile
from edgeacts.files import read_bytes

MAX_MODEL_BYTES = 2**31 - 1


def read_model(path: Path) -> Any:
    """The ModelProto of a file of at most 2 GiB. Raises UsageError (missing) or DamagedFile (not an ONNX model)."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(read_bytes(path, "ONNX file", MAX_MODEL_BYTES))
    except DecodeError:
        raise DamagedFile(f"{path} is not an ONNX file, or a damaged one") from None
    if not model.graph.output:
        raise DamagedFile(f"{path} is not an ONNX model: it has no outputs")
    return model


def read_metadata(path: Path) -> dict[str, str]:
    """Key -> value of the file's metadata."""
    return {p.key: p.value for p in read_model(path).metadata_props}
