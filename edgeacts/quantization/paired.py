"""drop = right answers of the reference - right answers of the candidate, in points, on the same images, with an interval.

Both models see the same images, so only those that one has right and the other wrong count: with 10,000 images and 200 such
images the interval is 0.3 points to either side, where two independent shares would have 1.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError
from edgeacts.records import PairedDrop
from edgeacts.shares import Z_95

POINTS = 100.0  # in one: 0.005 is 0.5 points


def compare(reference_right: NDArray[Any], candidate_right: NDArray[Any]) -> PairedDrop:
    """The drop from two arrays [N] of true and false, image by image. Raises UsageError for other shapes or none."""
    reference, candidate = np.asarray(reference_right), np.asarray(candidate_right)
    if reference.shape != candidate.shape or reference.ndim != 1 or not len(reference):
        raise UsageError(
            f"right answers of shape {reference.shape} and {candidate.shape}: two arrays of the same images are needed"
        )
    if reference.dtype != np.bool_ or candidate.dtype != np.bool_:
        raise UsageError(
            f"right answers are {reference.dtype} and {candidate.dtype}: give booleans, answer == label"
        )
    lost = int((reference & ~candidate).sum())
    gained = int((candidate & ~reference).sum())
    total = len(reference)
    low, high = tango_interval(lost, gained, total)
    return PairedDrop(
        total=total,
        reference_correct=int(reference.sum()),
        candidate_correct=int(candidate.sum()),
        lost=lost,
        gained=gained,
        drop=POINTS * (lost - gained) / total,
        low=POINTS * low,
        high=POINTS * high,
    )


def right_answers(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """[N] whether the largest of scores [N, classes] is the label's; a row with a NaN is wrong. Raises UsageError."""
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise UsageError(
            f"scores of shape {scores.shape} and labels of shape {labels.shape}: expected [N, classes] and [N]"
        )
    right: NDArray[np.bool_] = (scores.argmax(1) == labels) & ~np.isnan(scores).any(1)
    return right


def tango_interval(lost: int, gained: int, total: int) -> tuple[float, float]:
    """95 % score interval of (lost - gained) / total for paired shares; good also where both are few or none.

    All differences Δ that the score test (lost - gained - total·Δ) / sqrt(total·(2·q + Δ·(1 - Δ))) does not reject, q being the
    most likely share of `gained` under Δ. Tango, Statistics in Medicine 17 (1998) 891.
    """
    if not 0 <= lost + gained <= total or min(lost, gained) < 0 or total < 1:
        raise UsageError(f"lost {lost} and gained {gained} of {total} images cannot be")
    seen = (lost - gained) / total
    low = -1.0 if gained == total else _edge(lost, gained, total, seen, -1.0)
    high = 1.0 if lost == total else _edge(lost, gained, total, seen, 1.0)
    return low, high


def images_needed(max_drop: float, differing: float = 0.0) -> int:
    """So many images prove a drop of at most `max_drop` points where there is none: z²·(2·q + Δ·(1 - Δ)) / Δ², Δ in shares.

    `differing` is the share of images that only one of the two models has right, q the most likely share of gained ones under
    Δ as in `tango_interval`; 0 is the least that can be needed. On so many images a drop of more than Δ that is seen is surely
    a drop. Raises UsageError for shares that cannot be.
    """
    share = max_drop / POINTS
    if not 0 < share < 1:
        raise UsageError(f"a drop of at most {max_drop} points cannot be proved: give more than 0, below 100")
    if not 0 <= differing <= 1:
        raise UsageError(f"a share of {differing:g} of the images cannot differ: give 0 to 1")
    within = share * (1 - share)
    gained = _likely_gained(differing / 2, differing / 2, 1, share)
    return math.ceil(Z_95**2 * (2 * gained + within) / share**2)


def _edge(lost: int, gained: int, total: int, inside: float, outside: float) -> float:
    """The Δ between `inside` and `outside` at which the score reaches the quantile."""
    for _ in range(60):
        middle = (inside + outside) / 2
        if abs(_score(lost, gained, total, middle)) < Z_95:
            inside = middle
        else:
            outside = middle
    return inside


def _score(lost: int, gained: int, total: int, delta: float) -> float:
    share = _likely_gained(lost, gained, total, delta)
    variance = total * (2 * share + delta * (1 - delta))
    if variance <= 0:
        return math.copysign(math.inf, lost - gained - total * delta)
    return (lost - gained - total * delta) / math.sqrt(variance)


def _likely_gained(lost: float, gained: float, total: float, delta: float) -> float:
    """The most likely share of gained images where that of lost ones is larger by `delta`."""
    linear = -lost - gained + (2 * total - lost + gained) * delta
    root = math.sqrt(max(linear**2 + 8 * total * gained * delta * (1 - delta), 0.0))
    return (root - linear) / (4 * total)
