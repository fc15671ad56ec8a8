"""What every record is: a frozen struct that writes itself to JSON with its kind and version and is validated when read.

A number that is not finite is stored as null.
"""

from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from edgeacts.errors import DamagedFile
from edgeacts.files import read_bytes, write_bytes_atomic

T = TypeVar("T", bound="Record")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is written to disk: `record.write(path)`, `Kind.read(path)`. `version`, if any, is the last field."""

    def write(self, path: Path) -> None:
        """Write as indented JSON, atomically."""
        write_bytes_atomic(Path(path), self.to_json())

    def to_json(self) -> bytes:
        """Indented UTF-8 JSON with a `kind` and a `version` field."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate. Raises UsageError (missing) or DamagedFile (not such a record, other version)."""
        return cls.from_json(read_bytes(Path(path), f"{cls.__name__} file"), str(path))

    @classmethod
    def from_json(cls, data: bytes, where: str = "record") -> Self:
        """Decode and validate; `where` names the source in the error."""
        try:
            head = msgspec.json.decode(data, type=_Head)
            wanted = cls.__struct_defaults__[-1] if cls.__struct_fields__[-1] == "version" else head.version
            # Before the fields, which other versions have others of; but another kind is no other version.
            if head.kind == cls.__struct_config__.tag and head.version not in (None, wanted):
                raise DamagedFile(
                    f"{where} is a {cls.__name__} of version {head.version}; this edgeacts reads {wanted}"
                )
            return msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DamagedFile(f"{where} is not a valid {cls.__name__}: {error}") from None


class _Head(msgspec.Struct):
    kind: str | None = None
    version: int | None = None


def to_builtins(value: Any) -> Any:
    """Dicts, lists and scalars of a record, as they go into JSON."""
    return msgspec.to_builtins(value)
