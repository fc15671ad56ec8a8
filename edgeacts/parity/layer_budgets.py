"""The error budget of one inner value: the same rule as for outputs, in one place."""

from __future__ import annotations

from pathlib import Path

from edgeacts.parity.budgets import BLIND, FLOOR, FORM_BOUND_AT_MOST, allowed_relative_error

__all__ = ["BLIND", "FLOOR", "FORM_BOUND_AT_MOST", "allowed_error", "granted_form_bound"]


def allowed_error(precision: str, noise: float, form_bound: float) -> float:
    """Largest error allowed, as a share of how far the value moves; `noise` is the reference's own, in the same unit."""
    return allowed_relative_error(precision, noise, form_bound)


def granted_form_bound(path: Path, tolerance: float) -> float:
    """The bound that the file states for its activations, as far as it is granted."""
    from edgeacts.parity.checking import _form_bound

    return min(_form_bound(path), tolerance)
