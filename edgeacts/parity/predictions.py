"""Predictions that flip: how many, between which bounds, and how close they were."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


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
