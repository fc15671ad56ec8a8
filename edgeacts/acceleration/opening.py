"""Open a model accelerated: from the cache, or compiled now; or as it is, with the reason."""

from __future__ import annotations

import functools
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgeacts import native
from edgeacts.acceleration.cache import MODEL, entry_key, entry_lock, model_hash, read_entry, write_entry
from edgeacts.acceleration.compiling import Compiled, compile_model, kernel_options, load_whole
from edgeacts.acceleration.manifest import Manifest
from edgeacts.circumstances import cpu
from edgeacts.errors import EdgeactsError, one_line

_VERSION = 11  # of the compilation: raised when the same model would be compiled differently
log = logging.getLogger("edgeacts")


@dataclass(frozen=True)
class Opened:
    """`native` is an onnxruntime.InferenceSession; of the compiled file `compiled`, or of the model as it is (None)."""

    native: Any
    manifest: Manifest
    compiled: Path | None


def open_accelerated(path: Path, stock: Any, *, threads: int) -> Opened:
    """The compiled model, checked once and cached; `stock`, a function that opens the model as it is, whenever that fails.

    The reason is in the manifest, and logged as a warning where something went wrong.
    """
    try:
        compiled, manifest = compiled_model(path, stock, threads=threads)
    except EdgeactsError as error:
        log.warning("%s runs as it is: %s", path, error)
        return Opened(stock(), _failed(str(error), threads), None)
    if compiled is None:
        return Opened(stock(), manifest, None)
    try:
        session = ort.InferenceSession(
            str(compiled), kernel_options(threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's classes share nothing but Exception
        reason = f"the compiled file does not open: {one_line(error)}"
        log.warning("%s runs as it is: %s", path, reason)
        return Opened(stock(), _failed(reason, threads), None)
    return Opened(session, manifest, compiled)


def compiled_model(path: Path, stock: Any, *, threads: int) -> tuple[Path | None, Manifest]:
    """(compiled file, manifest) from the cache, made first if need be; None for a model that is best as it is."""
    reason = native.missing()
    if reason is not None:
        return None, _failed(reason, threads)
    digest = model_hash(path)
    key = entry_key(
        version=_VERSION,
        model=digest,
        onnxruntime=ort.__version__,
        kernels=native.version(),
        isa=native.isa(),
        cpu=_cpu(),
        threads=threads,
    )
    found = read_entry(key)
    if found is None:
        with entry_lock(key):
            found = read_entry(key)  # another opener may have made it meanwhile
            if found is None:
                found = _make(path, stock, threads, key, digest)
    return found


def _make(path: Path, stock: Any, threads: int, key: str, digest: str) -> tuple[Path | None, Manifest]:
    result = compile_model(load_whole(path), stock(), threads=threads, where=str(path))
    manifest = _manifest(result, threads, digest)
    folder = write_entry(key, result.data, manifest)
    return (None if result.data is None else folder / MODEL), manifest


def _manifest(result: Compiled, threads: int, digest: str) -> Manifest:
    return Manifest(
        chosen=result.chosen,
        reason=result.reason,
        model_sha256=digest,
        file_sha256="" if result.data is None else hashlib.sha256(result.data).hexdigest(),
        onnxruntime=ort.__version__,
        kernels=native.version() if native.available() else "",
        isa=native.isa() if native.available() else "",
        cpu=_cpu(),
        threads=threads,
        allowed=result.allowed,
        candidates=result.candidates,
        sites=result.sites,
    )


def _failed(reason: str, threads: int) -> Manifest:
    return _manifest(Compiled("stock", reason, None, 0.0, {}, ()), threads, "")


@functools.cache
def _cpu() -> str:
    model, features = cpu()
    return " ".join((model, *features))
