"""State files that are written atomically, carry their own SHA-256, and are read without running code."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from edgeacts.errors import DamagedFile
from edgeacts.files import read_bytes, write_bytes_atomic

MAX_BYTES = 16 * 2**30
# torch.save writes a zip archive, which ends with a comment's length and the comment: here the hash.
SEAL_BYTES = 32
LENGTH = SEAL_BYTES.to_bytes(2, "little")
NO_COMMENT = bytes(2)


def seal(archive: bytes) -> bytes:
    """The zip archive with the SHA-256 of everything before it as its comment; torch reads it as before."""
    if not archive.endswith(NO_COMMENT):
        raise ValueError("not a zip archive without a comment")
    content = archive[: -len(NO_COMMENT)] + LENGTH
    return content + hashlib.sha256(content).digest()


def save_sealed(state: dict[str, Any], path: Path) -> None:
    """Tensors, numbers, strings, lists and dicts, by torch.save. Raises EdgeactsError if the disk refuses."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes_atomic(path, seal(buffer.getvalue()))


def load_sealed(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """What `save_sealed` wrote. Raises UsageError (missing, unreadable) or DamagedFile."""
    data = read_bytes(path, "resume point", MAX_BYTES)
    content, found = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
    if not content.endswith(LENGTH) or hashlib.sha256(content).digest() != found:
        raise DamagedFile(f"{path} does not match the hash it carries: truncated, altered or of another kind")
    try:
        state = torch.load(io.BytesIO(data), map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise DamagedFile(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict):
        raise DamagedFile(f"{path} holds a {type(state).__name__}, not the state of a run")
    return state


class SealedIO(CheckpointIO):
    """Lightning's place for how states are written and read."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """`save_sealed`."""
        save_sealed(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """`load_sealed`, always without running code."""
        return load_sealed(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file if it is there."""
        Path(path).unlink(missing_ok=True)
