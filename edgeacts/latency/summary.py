"""Numbers derived from raw times, defined once."""

import math
import statistics
from collections.abc import Sequence

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_BEYOND = 10  # samples that must lie beyond a quantile, or it is the luck of a few


def median_ns(samples_ns: Sequence[int]) -> float:
    """Middle value, or the mean of the two middle ones."""
    return float(statistics.median(samples_ns))


def quantiles_ns(samples_ns: Sequence[int]) -> dict[str, float]:
    """p50, and p90, p99 where at least ten samples lie beyond them: from 100 and from 1000 samples.

    p90 and p99 are the smallest sample that 90 % and 99 % of the samples do not exceed (nearest rank).
    """
    found = {"p50": median_ns(samples_ns)}
    ordered = sorted(samples_ns)
    for name, share in list(QUANTILES.items())[1:]:
        rank = math.ceil(round(share * len(ordered), 6))
        if len(ordered) - rank >= _BEYOND:
            found[name] = float(ordered[rank - 1])
    return found
