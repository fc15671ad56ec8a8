"""Learning-rate factors: step, steps in all -> what the peak is multiplied with. Pure functions.

step counts from 0; the factor of step t is used for the (t+1)-th optimizer step.
"""

import math
from collections.abc import Callable

# One-cycle (Smith & Topin 2017, arXiv:1708.07120) with cosine flanks: 30 % of the way up from 1/25 of
# the peak, then down to 1/10000 of where it began. The momentum stays.
RISE = 0.3
START = 1 / 25
END = START / 1e4


def constant(step: int, steps: int) -> float:
    """1."""
    return 1.0


def cosine(step: int, steps: int) -> float:
    """(1 + cos(π t / T)) / 2: 1 at the first step, 0 after the last. Loshchilov and Hutter 2016."""
    return 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))


def one_cycle(step: int, steps: int) -> float:
    """1/25 rising to 1 within the first 30 % of the steps, then falling to 4e-6 at the last: half cosines."""
    top = max(0.0, RISE * steps - 1)
    if step < top:
        return _half_cosine(START, 1.0, step / top)
    return _half_cosine(1.0, END, min(1.0, (step - top) / max(steps - 1 - top, 1e-9)))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


FACTORS: dict[str, Callable[[int, int], float]] = {
    "cosine": cosine,
    "onecycle": one_cycle,
    "constant": constant,
}
