"""How far an 8-bit model's outputs are from the float model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.quantization.sessions import open_here, outputs_for
from edgeacts.records.quantization import OutputError

BATCH = 16
_LARGEST_DB = 200.0


class Judge:
    """The float model's outputs on held-out images; `error(model)` relates another model's to them."""

    def __init__(self, model: onnx.ModelProto, images: NDArray[np.float32], batch: int = BATCH) -> None:
        self.images, self._batch = images, batch
        self.expected = self.run(model)

    def run(self, model: onnx.ModelProto, *, exact: bool = False) -> list[NDArray[np.float64]]:
        """Floating-point outputs in float64."""
        session = open_here(model, exact=exact)
        found = outputs_for(session, model, self.images, self._batch)
        return [values.astype(np.float64) for values in found if values.dtype.kind == "f"]

    def error(self, model: onnx.ModelProto, *, exact: bool = True) -> OutputError:
        """In exact arithmetic, or as ONNX Runtime runs it here."""
        return compare(self.expected, self.run(model, exact=exact))


def compare(expected: Sequence[NDArray[np.float64]], given: Sequence[NDArray[np.float64]]) -> OutputError:
    """The error of all outputs together; classes are those of the first output of two dimensions."""
    signal, noise = 0.0, 0.0
    for wanted, found in zip(expected, given, strict=True):
        moving = wanted - wanted.mean(axis=0)
        size = float(np.mean(np.square(moving))) or 1.0
        signal += 1.0
        noise += float(np.mean(np.square(wanted - found))) / size
    logits = next(
        ((w, g) for w, g in zip(expected, given, strict=True) if w.ndim == 2 and w.shape[1] > 1), None
    )
    kl, agreement = (None, None) if logits is None else _classes(*logits)
    return OutputError(sqnr_db=decibel(signal, noise), kl=kl, agreement=agreement)


def decibel(signal: float, noise: float) -> float:
    """10·log10(signal / noise), at most 200."""
    return float(min(_LARGEST_DB, 10.0 * np.log10(max(signal, 1e-300) / max(noise, 1e-300))))


def _classes(wanted: NDArray[np.float64], given: NDArray[np.float64]) -> tuple[float, float]:
    p, q = _log_softmax(wanted), _log_softmax(given)
    divergence = float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))
    return divergence, float(np.mean(wanted.argmax(axis=1) == given.argmax(axis=1)))


def _log_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted: NDArray[Any] = values - values.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return result
