"""The error budget of one inner value: as for outputs, but of an inner value only the rounding is measured."""

from __future__ import annotations

from edgeacts.parity.budgets import BLIND, FORM_BOUND_AT_MOST, FORM_GROWTH

__all__ = ["BLIND", "FLOOR", "FORM_BOUND_AT_MOST", "allowed_error"]

# The distance of float32 from float64 alone is less than sums in another order show: kernels were seen at up to 8 times of it.
ROUNDING_FACTOR = 32.0

# Below this, even exact layers differ through the last bit of their largest term.
FLOOR = {"f32": 2e-5, "f16": 1e-2, "bf16": 8e-2}

# More than this is never granted to noise.
NOISE_AT_MOST = 2e-2


def allowed_error(precision: str, noise: float, form_bound: float) -> float:
    """Largest error allowed, as a share of how far the value moves; `noise` is the reference's own, in the same unit."""
    granted = min(ROUNDING_FACTOR * noise, NOISE_AT_MOST)
    return max(FLOOR[precision], granted) + FORM_GROWTH * form_bound
