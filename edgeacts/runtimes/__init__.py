"""ONNX files on the runtimes that deploy them, each behind the same `Session`.

Adding a runtime: write its adapter module (`LEVELS`, `open_model`) here, add one entry to `_ADAPTERS` and to `_LIBRARIES`.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from edgeacts.errors import NotAvailable, UsageError
from edgeacts.names import check_name
from edgeacts.onnx_metadata import read_metadata
from edgeacts.runtimes.base import Executed, Session, TensorSpec

__all__ = [
    "PRECISIONS",
    "Executed",
    "Session",
    "TensorSpec",
    "levels",
    "load_runtime",
    "model_metadata",
    "open_runtime",
    "open_session",
    "precisions",
    "resolve_threads",
    "runtime_names",
    "unreadable",
]

_ADAPTERS = {
    "onnxruntime": "edgeacts.runtimes.onnxruntime",
    "accelerated": "edgeacts.runtimes.accelerated",
    "openvino": "edgeacts.runtimes.openvino",
}

_LIBRARIES = {"onnxruntime": "onnxruntime", "accelerated": "onnxruntime", "openvino": "openvino"}
PRECISIONS = ("f32", "bf16", "f16")


class _Adapter(Protocol):
    """What an adapter module offers: its optimization levels, the default one last, `precisions` and `open_model`."""

    LEVELS: tuple[str, ...]

    def precisions(self) -> tuple[str, ...]:
        """What can be asked for on this machine's CPU, f32 first. Raises NotAvailable."""

    def open_model(
        self,
        path: Path,
        *,
        threads: int,
        level: str,
        provider: str,
        precision: str,
        accelerate: bool,
        streams: int,
        batch: int | None,
    ) -> Session:
        """A session of the model; arguments are already checked, except `provider` and `accelerate`."""


def runtime_names() -> tuple[str, ...]:
    """Names that `open_runtime` takes, installed or not."""
    return tuple(_ADAPTERS)


def levels(runtime: str) -> tuple[str, ...]:
    """Graph optimization levels of a runtime, from none to all; the last is the default.

    Raises UsageError (unknown runtime).
    """
    return _adapter(runtime).LEVELS


def precisions(runtime: str) -> tuple[str, ...]:
    """Precisions that a runtime can be asked for on this machine's CPU, `f32` first.

    Raises UsageError (unknown runtime) or NotAvailable (not installed).
    """
    return _adapter(runtime).precisions()


def load_runtime(runtime: str) -> None:
    """Import a runtime's library and its adapter: what the first session of a process pays besides its opening.

    Raises UsageError (unknown runtime) or NotAvailable (not installed).
    """
    _adapter(runtime)
    try:
        import_module(_LIBRARIES[runtime])
    except ImportError:
        raise NotAvailable(f"{runtime} is not installed: pip install edgeacts[{runtime}]") from None


def open_runtime(
    path: str | Path,
    runtime: str = "onnxruntime",
    *,
    threads: int = 1,
    level: str | None = None,
    provider: str = "cpu",
    precision: str = "f32",
    accelerate: bool = False,
    streams: int = 1,
    batch: int | None = None,
) -> Session:
    """The model at `path`, opened and checked: close it, or use it in a `with` block.

    `threads` = 0 means every core this process may use. `provider` is `cpu`, `cuda`, or any name that the
    runtime itself knows. `accelerate` (onnxruntime on the CPU) runs the model compiled for this machine: made
    and checked when it is first opened, then cached. Where that fails or does not pay, the model as it is
    runs, and `executed()` says why. An 8-bit model gives ONNX Runtime's bits, unless it has layers in float, behind which
    a value may be a step apart (`acceleration.int8_agreement` says how often). With `streams` above 1, so many runs at
    once share the threads: each thread of yours runs a call of its own from `bind`. `batch` (openvino) is the first
    dimension of every input where the file leaves it open: OpenVINO fuses activations only where it knows all shapes.
    Raises UsageError (unknown name, missing file), DamagedFile, NotAvailable (runtime, provider) or CheckFailed
    (something else than what was asked for would run).
    """
    adapter = _adapter(runtime)
    chosen = adapter.LEVELS[-1] if level is None else check_name(level, adapter.LEVELS, f"{runtime} level")
    check_name(precision, PRECISIONS, "precision")
    threads = resolve_threads(threads)
    _check_streams(streams, threads)
    model = Path(path)
    if not model.is_file():
        raise UsageError(
            f"model {path} {'is a folder, a file is needed' if model.is_dir() else 'does not exist'}"
        )
    return adapter.open_model(
        model,
        threads=threads,
        level=chosen,
        provider=provider,
        precision=precision,
        accelerate=accelerate,
        streams=streams,
        batch=batch,
    )


def open_session(
    path: str | Path,
    runtime: str = "onnxruntime",
    *,
    threads: int = 1,
    level: str | None = None,
    provider: str = "cpu",
    precision: str = "f32",
    accelerate: bool = False,
    batch: int | None = None,
) -> Any:
    """A real `onnxruntime.InferenceSession` (or `openvino.CompiledModel`) of the model at `path`.

    Arguments and errors are those of `open_runtime`.
    """
    return open_runtime(
        path,
        runtime,
        threads=threads,
        level=level,
        provider=provider,
        precision=precision,
        accelerate=accelerate,
        batch=batch,
    ).native


def unreadable(runtime: str, path: Path) -> str:
    """Why a runtime cannot read a file of this suffix, "" where it can: OpenVINO alone reads its own .xml."""
    own = path.suffix.lower() == ".xml" and runtime != "openvino"
    return (
        f"{path.name} is an OpenVINO model, which {runtime} does not read: give the .onnx file" if own else ""
    )


def model_metadata(path: Path) -> dict[str, str]:
    """What an .onnx or .xml file says of itself. Raises UsageError, DamagedFile, or NotAvailable (.xml without openvino)."""
    if path.suffix.lower() == ".xml":
        from edgeacts.runtimes.openvino_ir import new_core, read_ir

        return read_ir(new_core(), path)[1].metadata
    return read_metadata(path)


def resolve_threads(threads: int) -> int:
    """`threads`, 0 replaced by the cores this process may use. Raises UsageError outside 0 to 4 per core."""
    cores = os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= 4 * cores:
        raise UsageError(f"threads must be an integer from 1 to {4 * cores} (0 = all cores), got {threads!r}")
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores


def _check_streams(streams: int, threads: int) -> None:
    if isinstance(streams, bool) or not isinstance(streams, int) or streams < 1:
        raise UsageError(f"streams must be an integer of at least 1, got {streams!r}")
    if streams > threads:
        raise UsageError(
            f"{streams} streams need at least as many threads, {threads} given: "
            f"give fewer streams, or {streams} threads"
        )


def _adapter(runtime: str) -> _Adapter:
    return cast(_Adapter, import_module(_ADAPTERS[check_name(runtime, _ADAPTERS, "runtime")]))
