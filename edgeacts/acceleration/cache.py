"""Compiled models on disk: a folder an entry, whole or absent, found by what the result depends on."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx.external_data_helper import uses_external_data

from edgeacts.acceleration.graph import subgraphs
from edgeacts.acceleration.manifest import Manifest
from edgeacts.errors import DamagedFile, EdgeactsError, UsageError
from edgeacts.files import read_bytes, sha256_file
from edgeacts.onnx_metadata import MAX_MODEL_BYTES, read_model

CACHE_VARIABLE = "EDGEACTS_CACHE"
MODEL, MANIFEST = "model.onnx", "manifest.json"


def cache_folder() -> Path:
    """Where entries are kept: EDGEACTS_CACHE, or edgeacts in the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeacts"


def entry_key(**parts: str | int) -> str:
    """The name of an entry: a hash of everything that its content depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def read_entry(key: str) -> tuple[Path | None, Manifest] | None:
    """(compiled model, manifest) of a whole entry; None for a missing or damaged one. No model where the stock one was chosen."""
    folder = cache_folder() / key
    try:
        manifest = Manifest.read(folder / MANIFEST)
        if manifest.chosen == "stock":
            return None, manifest
        if sha256_file(folder / MODEL) != manifest.file_sha256:
            return None
    except (DamagedFile, UsageError):
        return None
    return folder / MODEL, manifest


def write_entry(key: str, data: bytes | None, manifest: Manifest) -> Path:
    """Put an entry in place at once. Raises EdgeactsError when the disk does not let it be written."""
    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=root, prefix=f".{key}."))
        try:
            if data is not None:
                _write(temporary / MODEL, data)
            _write(temporary / MANIFEST, manifest.to_json())
            target = root / key
            if target.is_dir():
                shutil.rmtree(target, ignore_errors=True)  # a damaged one, or the same
            else:
                target.unlink(missing_ok=True)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise EdgeactsError(f"cannot write to the cache {root}: {error.strerror or error}") from error
    return root / key


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def entry_lock(key: str) -> Iterator[None]:
    """One builder an entry: others wait, and find the result. A killed builder's lock ends with it. Without a disk, no lock."""
    root = cache_folder()
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((root / f".{key}.lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a folder that cannot be written to, a file system without locks
            yield
            return
        for left in root.glob(f".{key}.*"):  # of a builder that was killed
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        yield


def model_hash(path: Path) -> str:
    """SHA-256 of a model file and of the files that hold its weights. Raises UsageError or DamagedFile."""
    data = read_bytes(path, "model", MAX_MODEL_BYTES)
    digest = hashlib.sha256(data)
    if b"location" in data:  # the key of a place outside the file
        for external in sorted(external_files(path)):
            digest.update(sha256_file(external).encode())
    return digest.hexdigest()


def external_files(path: Path) -> set[Path]:
    """The files beside a model that hold its weights. Raises UsageError or DamagedFile."""
    names = {
        entry.value
        for tensor in _tensors(read_model(path))
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return {file for name in names if (file := path.parent / name).is_file()}


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Weights and constants, those of branches, loops and functions included."""
    nodes = [node for function in model.functions for node in function.node]
    graphs = [model.graph]
    while graphs or nodes:
        while graphs:
            graph = graphs.pop()
            yield from graph.initializer
            nodes.extend(graph.node)
        node = nodes.pop() if nodes else onnx.NodeProto()
        yield from (a.t for a in node.attribute if a.HasField("t"))
        graphs.extend(subgraphs(node))
