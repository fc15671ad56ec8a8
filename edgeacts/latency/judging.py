"""From raw times to ratios with intervals, noise floors and verdicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeacts.errors import EdgeactsError
from edgeacts.latency.intervals import CONFIDENCE, Interval, block_ratios, interval
from edgeacts.records.latency import Comparison


@dataclass
class Times:
    """Samples of one session a process: nanoseconds, starts, and the block of each, in the order they were taken."""

    samples_ns: list[int] = field(default_factory=list)
    starts_ns: list[int] = field(default_factory=list)
    block_of: list[int] = field(default_factory=list)

    def add(self, block: int, samples_ns: Sequence[int], starts_ns: Sequence[int]) -> None:
        """The samples of one more block."""
        self.samples_ns += samples_ns
        self.starts_ns += starts_ns
        self.block_of += [block] * len(samples_ns)

    def logs(self, label: str) -> list[np.ndarray]:
        """Natural logarithms of the samples, an array a block. Raises EdgeactsError for a time of nothing."""
        return log_blocks(label, self.samples_ns, self.block_of)


def log_blocks(label: str, samples_ns: Sequence[int], block_of: Sequence[int]) -> list[np.ndarray]:
    """Natural logarithms of the samples, an array a block. Raises EdgeactsError for a time of nothing."""
    if min(samples_ns) <= 0:
        raise EdgeactsError(f"{label} takes less than the clock can tell: give a larger batch")
    borders = np.flatnonzero(np.diff(block_of)) + 1
    return np.split(np.log(np.asarray(samples_ns, np.float64)), borders)


def ratio_of(
    model: Sequence[np.ndarray],
    baselines: Sequence[Sequence[np.ndarray]],
    process_of: Sequence[int],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Model over baseline, whose sessions (itself and its copy) stand for it alike; `process_of` each block."""
    return interval(by_process(block_ratios(model, baselines), process_of), seed=seed, confidence=confidence)


def by_process(values: np.ndarray, process_of: Sequence[int]) -> list[np.ndarray]:
    """The blocks' values, an array a process."""
    return np.split(values, np.flatnonzero(np.diff(process_of)) + 1)


def verdict(ratio: Interval, floor: float) -> Comparison:
    """`faster` or `slower` when the interval lies beyond 1 by more than the baseline differs from its own copy.

    `floor` is that A/A ratio: a machine that tells a file from itself by 1 % cannot be believed about 1 %.
    """
    allowance = abs(math.log(floor))
    if math.log(ratio.low) > allowance:
        return "slower"
    if math.log(ratio.high) < -allowance:
        return "faster"
    return "cannot tell"
