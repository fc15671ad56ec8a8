"""Which form of an activation is exported: the cheapest within an allowed error, in the order of its definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from edgeacts.definition import Activation, Form
from edgeacts.errors import UsageError

DOMAIN = "edgeacts"
DOMAIN_VERSION = 1
OPSETS = (18, 23)  # lowest and highest default-domain opset that is exported and tested
TOLERANCE = 1e-5
# What forms may be off, of max(1, |x|), in precisions whose own rounding hides it, however little else is allowed. bf16 has 8
# bits: storing a result moves it by up to 2^-8 of its size (3.9e-3), and x was stored so as well. A quarter of that adds a few
# hundredths to their squares. What OpenVINO computes between two stores is float32, so that float32's certificates hold.
ROUNDED_AWAY: Mapping[str, float] = MappingProxyType({"bf16": 1e-3})


@dataclass(frozen=True)
class Choice:
    """The form that was chosen for given parameter values, its bound there, and the values that are the same everywhere.

    `reason` says why it was.
    """

    activation: Activation
    form: Form
    bound: float
    common: Mapping[str, float]
    reason: str = ""


def allowed_error(tolerance: float, precision: str) -> float:
    """What a form may be off in that precision where `tolerance` is asked for; 0 asks for the formula itself everywhere."""
    return max(tolerance, ROUNDED_AWAY.get(precision, 0.0)) if tolerance > 0 else tolerance


def choose(
    activation: Activation,
    values: Sequence[Mapping[str, float]] = (),
    *,
    tolerance: float = TOLERANCE,
    opset: int = 20,
    form: str | None = None,
) -> Choice:
    """The cheapest form within `tolerance` · max(1, |x|) for all the given values, or the one named.

    Raises UsageError for an unknown form, one that `opset` does not have, or a negative tolerance.
    """
    if not tolerance >= 0:
        raise UsageError(f"tolerance {tolerance} must be 0 or more")
    points = [activation.values(v) for v in values] or [activation.values()]
    common = {n: v for n, v in points[0].items() if all(p[n] == v for p in points)}
    if form is not None:
        wanted = activation.form(form)
        if wanted.native is not None and wanted.since > opset:
            raise UsageError(
                f"form {form!r} of {activation.name} needs opset {wanted.since}, {opset} was asked for"
            )
        return Choice(activation, wanted, max(wanted.bound_at(v) for v in points), common)
    for name in activation.form_names():
        candidate = activation.form(name)
        bound = max(candidate.bound_at(v) for v in points)
        if bound <= tolerance and (candidate.native is None or candidate.since <= opset):
            return Choice(activation, candidate, bound, common)
    return Choice(activation, activation.form("exact"), 0.0, common)
