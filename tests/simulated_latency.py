"""Simulated measurements: processes with an effect of their own, blocks that the machine slows down, noise with a long tail."""

from collections.abc import Callable

import numpy as np

from edgeacts.latency.intervals import Interval, block_ratios, interval

Slowdown = Callable[[np.ndarray], np.ndarray]


def measured(
    rng: np.random.Generator,
    *,
    ratio: float = 1.0,
    processes: int = 5,
    blocks: int = 6,
    rounds: int = 9,
    process_sd: float = 0.01,
    slowdown: Slowdown | None = None,
) -> tuple[Interval, Interval]:
    """Intervals of the ratio (baseline and its copy against a model) and of the copy to the baseline.

    `process_sd` is that of each session's own speed; `slowdown` the machine's factor at moments from 0 to 1.
    """
    pairs, floors = [], []
    for process in range(processes):
        moment = (process + (np.arange(blocks)[:, None] + np.arange(rounds) / rounds) / blocks) / processes
        shared = np.ones_like(moment) if slowdown is None else slowdown(moment)
        shared = shared * np.exp(np.abs(rng.normal(0, 0.05, (blocks, 1))))  # a block's own state, one-sided
        base, copy, model = (
            np.log(
                cost * shared * np.exp(rng.normal(0, process_sd)) * (1 + rng.exponential(0.04, shared.shape))
            )
            for cost in (1.0, 1.0, ratio)
        )
        pairs.append(block_ratios(list(model), [list(base), list(copy)]))
        floors.append(block_ratios(list(copy), [list(base)]))
    return interval(pairs), interval(floors)
