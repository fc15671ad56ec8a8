"""ONNX Runtime with models compiled for this machine, under a name of its own: it is measured beside the plain one."""

from __future__ import annotations

from pathlib import Path

from edgeacts.runtimes import onnxruntime
from edgeacts.runtimes.base import Session

LEVELS = onnxruntime.LEVELS[-1:]
precisions = onnxruntime.precisions


def open_model(
    path: Path,
    *,
    threads: int,
    level: str,
    provider: str,
    precision: str,
    accelerate: bool,
    streams: int = 1,
    batch: int | None = None,
) -> Session:
    """As onnxruntime's with `accelerate`, whatever is asked for. Raises what that raises."""
    return onnxruntime.open_model(
        path,
        threads=threads,
        level=level,
        provider=provider,
        precision=precision,
        accelerate=True,
        streams=streams,
        batch=batch,
    )
