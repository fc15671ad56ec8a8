"""The ratio of two latencies, with an interval that is honest when few processes measured it.

Model and baseline run once in every round, within milliseconds of each other, so whatever the machine does meets both:

    round     log(model / baseline)
    block     median of its rounds
    process   interquartile mean of its blocks
    ratio     exp of the mean of the processes

On a noisy two-core virtual machine (12 to 30 processes of 0.7 to 2 s, a model of 2.3 ms against copies of itself) a process's
value has a standard deviation of 0.4 %; by the ratio of the blocks' medians it is 0.8 to 1.4 %, by that of the
lower quartiles 0.5 to 0.9 %, by that of the means 0.7 to 2 %. Nothing is cut: every sample takes part in its median.

Blocks of a process are not independent of each other, and two sessions of one file differ by a per cent from one process to
the next. So processes are what is counted, and the bootstrap resamples them first, then the blocks of each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CONFIDENCE = 0.95
_RESAMPLES = 2000
# What is known before anything is measured: sessions of one file differ by 1.5 % between processes (1 to 4 % were seen). It
# weighs as much as three processes, so one process cannot pretend certainty, nor can five that agree by chance at the moment
# when it is asked whether they are enough.
_USUAL_SPREAD = 0.015
_USUAL_WEIGHT = 3

Blocks = Sequence[np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A ratio and the interval around it."""

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """As a share of the ratio: 0.02 for 1.00 [0.98, 1.02]."""
        return math.exp(math.log(self.high / self.low) / 2) - 1


def block_ratios(model: Blocks, baselines: Sequence[Blocks]) -> np.ndarray:
    """Per block the median of the rounds' log ratios, averaged over the baseline's sessions; arguments in log time.

    Not the ratio to the sessions' mean: the median of a skewed difference is off where one side is a mean and the other is not.
    """
    pairs = [[np.median(own - its) for own, its in zip(model, one, strict=True)] for one in baselines]
    return np.asarray(np.mean(np.asarray(pairs, np.float64), axis=0))


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half, along the last axis; of all where there are fewer than four."""
    quarter = values.shape[-1] // 4
    return np.asarray(np.sort(values, axis=-1)[..., quarter : values.shape[-1] - quarter].mean(axis=-1))


def interval(processes: Sequence[np.ndarray], *, seed: int = 0, confidence: float = CONFIDENCE) -> Interval:
    """Ratio and bootstrap interval from each process's block values (in log), widened for few processes.

    The resampled ratios give the interval its shape; its width is that of Student's t with the processes' own spread, shrunk
    towards the usual one. One process: the spread of its blocks and the usual spread of processes.
    """
    values = np.array([interquartile_mean(np.asarray(blocks, np.float64)) for blocks in processes])
    center, count = float(values.mean()), len(values)
    drawn = np.stack(
        [
            _resampled(np.asarray(blocks, np.float64).tobytes(), seed, number)
            for number, blocks in enumerate(processes)
        ]
    )
    chosen = np.random.default_rng(seed).integers(0, count, size=(_RESAMPLES, count))
    means = drawn[chosen, np.arange(_RESAMPLES)[:, None]].mean(axis=1)
    usual = _USUAL_WEIGHT * _USUAL_SPREAD**2
    own = float(((values - center) ** 2).sum())
    freedom = _USUAL_WEIGHT + count - 1
    variance = (usual + own) / freedom
    if count == 1:
        variance += float(drawn[0].var())
    scale = student_quantile((1 + confidence) / 2, freedom) * math.sqrt(variance / count)
    low, high = _shape(means - means.mean(), confidence)
    return Interval(math.exp(center), math.exp(center + low * scale), math.exp(center + high * scale))


@lru_cache(maxsize=2048)  # after each process all that came before are asked for again
def _resampled(data: bytes, seed: int, number: int) -> np.ndarray:
    """The value of process `number` for each resample of its blocks, whose float64 are `data`."""
    blocks = np.frombuffer(data)
    rng = np.random.default_rng((seed, number))
    return interquartile_mean(blocks[rng.integers(0, len(blocks), size=(_RESAMPLES, len(blocks)))])


def _shape(deviations: np.ndarray, confidence: float) -> tuple[float, float]:
    """Lower and upper end, in units of half the interval's width: (-1, 1) where the resampled values are symmetric."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(deviations, [tail, 1 - tail])
    if high - low <= 0:
        return -1.0, 1.0
    return 2 * float(low) / float(high - low), 2 * float(high) / float(high - low)


@lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t: with t = √ν·tan(θ) its density is cos^(ν-1)(θ) dθ, integrated on a fine grid."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, 200_001)
    density = np.cos(angle[:-1] + (angle[1] - angle[0]) / 2) ** (freedom - 1)
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    found = np.interp(probability, cumulative / cumulative[-1], angle)
    return math.sqrt(freedom) * math.tan(float(found))
