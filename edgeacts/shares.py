"""How well a share is known from a count."""

import math

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share of which `hits` of `total` were seen; good also near 0 and 1; (0, 1) for no trials.

    Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = hits / total, Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    low = 0.0 if hits == 0 else max(0.0, middle - half)  # exactly: rounding would leave 1e-17
    return low, 1.0 if hits == total else min(1.0, middle + half)
