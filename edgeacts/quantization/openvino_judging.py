"""How far an INT8 variant's outputs are from the float model's, how often it is right, what it ran as, how long it took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError
from edgeacts.latency import benchmark
from edgeacts.quantization import paired
from edgeacts.quantization.measuring import compare
from edgeacts.records.accuracy import PairedDrop
from edgeacts.records.openvino_quantization import Timed
from edgeacts.records.quantization import OutputError
from edgeacts.runtimes import open_runtime

RUNTIME, FLOAT = "openvino", "float"
# Model files by label, the float model's under FLOAT -> times of all the others.
Timing = Callable[[Mapping[str, Path]], Mapping[str, Timed]]


class OpenVinoJudge:
    """The float model's outputs on held-out images, and its right answers where there are labels."""

    def __init__(
        self, path: Path, images: NDArray[np.float32], labels: NDArray[Any] | None, *, batch: int = 1
    ) -> None:
        self._images, self._labels, self._batch = images[: len(images) // batch * batch], labels, batch
        self._expected = self._outputs(path)
        self._right = self._answers(self._expected)
        self.accuracy = None if self._right is None else float(self._right.mean())

    def judge(self, path: Path) -> tuple[OutputError, float | None]:
        """(error of the outputs, accuracy) of another file. Raises EdgeactsError, also when it gives NaN or infinity."""
        error, drop = self.compare(path)
        return error, None if drop is None else drop.accuracy

    def compare(self, path: Path) -> tuple[OutputError, PairedDrop | None]:
        """(error of the outputs, drop of the right answers, image by image) of another file. Raises what `judge` raises."""
        given = self._outputs(path)
        if not all(np.isfinite(values).all() for values in given):
            raise EdgeactsError(f"{path.name} gives NaN or infinity on the held-out images")
        right = self._answers(given)
        drop = None if self._right is None or right is None else paired.compare(self._right, right)
        return compare(self._expected, given), drop

    def _outputs(self, path: Path) -> list[NDArray[np.float64]]:
        parts: list[list[NDArray[np.float64]]] = []
        with open_runtime(path, RUNTIME, threads=0) as session:
            name = session.inputs[0].name
            for start in range(0, len(self._images), self._batch):
                found = session.infer({name: self._images[start : start + self._batch]})
                parts.append([v.astype(np.float64) for v in found.values() if v.dtype.kind == "f"])
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def _answers(self, outputs: list[NDArray[np.float64]]) -> NDArray[np.bool_] | None:
        scores = next((values for values in outputs if values.ndim == 2 and values.shape[1] > 1), None)
        if self._labels is None or scores is None:
            return None
        return paired.right_answers(scores, self._labels[: len(scores)])


def executed(path: Path, threads: int) -> tuple[str, str]:
    """(executed layers with counts by precision, where the activations ran) of a file."""
    with open_runtime(path, RUNTIME, threads=threads) as session:
        found = session.executed()
        return str(found.get("layers") or ""), str(found.get("activations") or "")


def measured(threads: int, budget_s: float, progress: bool) -> Timing:
    """The Timing that measures: all files in turn, in fresh processes, until each ratio is known within 1 %."""

    def timing(files: Mapping[str, Path]) -> dict[str, Timed]:
        record = benchmark(
            list(files.values()), labels=list(files), baseline=FLOAT, runtimes=(RUNTIME,), threads=threads,
            within=0.01, budget_s=budget_s, progress=progress,
        )  # fmt: skip
        return {
            one.label: Timed(
                ratio=one.ratio, low=one.ratio_low, high=one.ratio_high, comparison=one.comparison,
                median_ms=one.median_ns / 1e6,
            )
            for one in record.series
        }  # fmt: skip

    return timing
