"""Numbers derived from raw times, defined once."""

import math
import statistics
from collections.abc import Sequence


def median_ns(samples_ns: Sequence[int]) -> float:
    """Middle value, or the mean of the two middle ones."""
    return float(statistics.median(samples_ns))


def p95_ns(samples_ns: Sequence[int]) -> float:
    """Smallest sample that 95 % of the samples do not exceed (nearest rank); below 20 it is the maximum."""
    return float(sorted(samples_ns)[math.ceil(0.95 * len(samples_ns)) - 1])
