"""ratio = median over the rounds of (latency of a model / latency of the float model), one image on one thread.

Both run in every round, within milliseconds of each other, so that whatever the machine does meets both. The interval is of order
statistics of the rounds' ratios, whatever their distribution.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime as ort

from edgeacts.interleaving import times_of
from edgeacts.quantization.deployed import open_model
from edgeacts.quantization.progress import stage
from edgeacts.quantization.sessions import fixed_batch
from edgeacts.records import LatencyRatio
from edgeacts.shares import Z_95

_LEAST_ROUNDS, _MOST_ROUNDS, _BUDGET_S = 15, 60, 1.0
TIMED_ON = f"stock ONNX Runtime {ort.__version__}, one thread, one image"


def against(
    reference: onnx.ModelProto, image: np.ndarray, *, progress: bool = False
) -> Callable[[onnx.ModelProto], LatencyRatio]:
    """A function that times a model against `reference` on `image` [C, H, W], a second each; for `gate`'s `latency`.

    Sessions are those of stock ONNX Runtime, which is what tries have in common on every machine: no kernels of ours.
    """
    feed = np.repeat(image[None], max(1, fixed_batch(reference)), axis=0)
    base = _runner(reference, feed)

    def timed(model: onnx.ModelProto) -> LatencyRatio:
        calls = {"float": base, "int8": _runner(model, feed)}
        with stage(progress, "latency", _MOST_ROUNDS) as step:
            times = times_of(
                calls, least=_LEAST_ROUNDS, most=_MOST_ROUNDS, budget_s=_BUDGET_S, each_round=step
            )
        return ratio_of_rounds(times["int8"], times["float"])

    return timed


def ratio_of_rounds(own: Sequence[float], base: Sequence[float]) -> LatencyRatio:
    """Of times of the same rounds: the median of their ratios, with the order statistics that enclose it 95 times in 100."""
    ratios = sorted(a / b for a, b in zip(own, base, strict=True))
    count = len(ratios)
    below = max(0, math.floor(count / 2 - Z_95 * math.sqrt(count) / 2) - 1)
    return LatencyRatio(ratio=statistics.median(ratios), low=ratios[below], high=ratios[count - 1 - below])


def _runner(model: onnx.ModelProto, feed: np.ndarray) -> Callable[[], object]:
    session = open_model(model, threads=1)
    return functools.partial(session.run, None, {session.get_inputs()[0].name: feed})
