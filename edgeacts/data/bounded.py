"""Reading of compressed files that cannot fill memory or disk: bounded sizes, nothing unpacked to disk."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from edgeacts.errors import DamagedFile, UsageError

MAX_MEMBER_BYTES = 256 * 2**20
MAX_ARCHIVE_BYTES = 1024 * 2**20
MAX_MEMBERS = 10_000
_CHUNK_BYTES = 2**20


class Readable(Protocol):
    """What a plain and a decompressing file have in common."""

    def read(self, size: int = ..., /) -> bytes:
        """At most `size` bytes; none at the end."""


@contextmanager
def open_plain_or_gzip(path: Path) -> Iterator[Readable]:
    """The bytes of a file, decompressed if its name ends in .gz.

    Raises UsageError or DamagedFile, also for what goes wrong in the block.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file, a file is needed")
    with _one_line_errors(path), path.open("rb") as file:
        yield gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file


def read_tar_members(
    path: Path, wanted: Collection[str], max_bytes: int = MAX_MEMBER_BYTES
) -> dict[str, bytes]:
    """Bytes of the regular members of a .tar.gz whose base name is in `wanted`, kept in memory only.

    Raises DamagedFile: unreadable, a member missing, twice there or larger than `max_bytes`, too much in all.
    """
    found: dict[str, bytes] = {}
    with open_plain_or_gzip(path) as stream:
        bounded = _Bounded(stream, path)
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise DamagedFile(f"{path} has more than the {MAX_MEMBERS:,} members allowed")
                name = member.name.rpartition("/")[2]
                if name not in wanted or not member.isreg():
                    continue
                if name in found:
                    raise DamagedFile(f"{path} is damaged: it has more than one {name}")
                if member.size > max_bytes:
                    raise DamagedFile(
                        f"{path}: {name} has {member.size:,} bytes, more than the {max_bytes:,} allowed"
                    )
                content = archive.extractfile(member)
                found[name] = content.read() if content is not None else b""
        while bounded.read(_CHUNK_BYTES):  # to the end: there gzip compares its checksum
            pass
    absent = sorted(set(wanted) - set(found))
    if absent:
        raise DamagedFile(f"{path} is damaged: it has no {', '.join(absent)}")
    return found


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than MAX_ARCHIVE_BYTES."""

    def __init__(self, stream: Readable, path: Path) -> None:
        self._stream, self._path, self._left = stream, path, MAX_ARCHIVE_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise DamagedFile(f"{self._path} holds more than the {MAX_ARCHIVE_BYTES:,} bytes allowed")
        return data


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise DamagedFile(f"{path} is truncated: get it again") from None
    except (
        gzip.BadGzipFile,
        zlib.error,
        tarfile.TarError,
        RecursionError,
        MemoryError,
        UnicodeError,
    ) as error:
        raise DamagedFile(f"{path} is damaged: {error or type(error).__name__}; get it again") from None
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
