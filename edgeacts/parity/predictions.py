"""Predictions that flip: how many, between which bounds, and how close they were."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


class Flips(NamedTuple):
    """`differ` of `total` inputs have another largest class score; `margin` is the largest lead that was lost, in score."""

    differ: int
    total: int
    margin: float | None


def count_flips(expected: NDArray[np.float64], found: NDArray[np.float64]) -> Flips | None:
    """Flips of outputs [N, classes]; None for outputs that are not class scores."""
    if expected.ndim != 2 or expected.shape[1] < 2:
        return None
    first, chosen = expected.argmax(1), found.argmax(1)
    rows = np.flatnonzero(first != chosen)
    leads = expected[rows, first[rows]] - expected[rows, chosen[rows]]
    return Flips(len(rows), len(expected), float(leads.max()) if len(rows) else None)


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share of which `hits` of `total` were seen: Wilson, J. Am. Stat. Assoc. 22 (1927) 209, eq. for z."""
    share, z2 = hits / total, _Z * _Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return (0.0 if hits == 0 else max(0.0, middle - half)), (
        1.0 if hits == total else min(1.0, middle + half)
    )
