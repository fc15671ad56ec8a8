"""Files that are either whole or absent: atomic writes, hashes, bounded reads, locks."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgeacts.errors import DamagedFile, EdgeactsError, UsageError

LOCK = ".lock"
MAX_JSON_BYTES = 256 * 2**20


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name in the same folder, flush to disk, rename: readers never see half a file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: Path, text: str) -> None:
    """UTF-8 text, written as `write_bytes_atomic` writes."""
    write_bytes_atomic(path, text.encode())


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed to it when the block ends, removed when it raises.

    Raises EdgeactsError when the disk, or what stands there already, does not let it be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _flush_to_disk(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise EdgeactsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_bytes(path: Path, what: str, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """The bytes of a file of at most `max_bytes`. Raises UsageError (missing, unreadable) or DamagedFile (too large)."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DamagedFile(f"{what} {path} has {size:,} bytes, more than the {max_bytes:,} allowed")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{what} {path} does not exist") from None
    except IsADirectoryError:
        raise UsageError(f"{what} {path} is a folder, a file is needed") from None
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror or error}") from None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Exclusive use of `folder` until the block or the process ends. Raises EdgeactsError when another holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be used as a folder: {error.strerror or error}: give another --out"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip()
            raise EdgeactsError(
                f"{folder} is in use by another run{f' (process {owner})' if owner else ''}: "
                "wait for it to end, or give another --out"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
