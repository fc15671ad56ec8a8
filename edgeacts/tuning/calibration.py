"""Images for networks of random weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeacts.tuning.networks import CHANNELS

COUNT = 8


def noise_images(size: int, seed: int) -> NDArray[np.float32]:
    """float32 [8, 3, size, size] of standard normal numbers."""
    shape = (COUNT, CHANNELS, size, size)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
