"""Which form a runtime gets: the fastest that was measured within the allowed error, or the one expected to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgeacts.definition import Activation, Form
from edgeacts.errors import UsageError
from edgeacts.forms.certificate import certify
from edgeacts.forms.choice import TOLERANCE, Choice, allowed_error
from edgeacts.forms.costs import COSTS, predicted
from edgeacts.forms.generating import generated_forms, subject_of
from edgeacts.forms.tuned import SAME, SHIPPED, Measured, form_of, measured
from edgeacts.names import check_name
from edgeacts.program import Program

# Precisions whose measurements count, the best first: between DQ and Q everything is float32.
_LIKE: Mapping[str, tuple[str, ...]] = {"int8": ("int8", "f32")}


@dataclass(frozen=True)
class Option:
    """One form that may be chosen: `cost` is its latency ratio to ReLU in a network, measured or expected."""

    form: Form
    bound: float
    cost: float
    measured: bool


def choose_for(
    activation: Activation,
    values: Sequence[Mapping[str, float]] = (),
    *,
    runtime: str = "openvino",
    precision: str = "f32",
    tolerance: float = TOLERANCE,
    opset: int = 20,
    tuning: str | Path | None = None,
) -> Choice:
    """The fastest form on `runtime` within `tolerance` · max(1, |x|) for all the given values of the parameters.

    In bf16 forms may be off by 1e-3, which its own rounding hides, unless `tolerance` is 0. Measured costs come from `tuning`,
    from the user's tuning file (`edgeacts tune`), or from those that ship with edgeacts, the nearest kind of CPU first; for an
    activation that none of them knows, costs are sums over operations. `Choice.reason` says which.
    Raises UsageError (runtime, tolerance, no such tuning file) or DamagedFile.
    """
    allowed = allowed_error(tolerance, precision)
    return choose_within(
        activation, values, runtime=runtime, precision=precision, allowed=allowed, opset=opset, tuning=tuning
    )


def choose_within(
    activation: Activation,
    values: Sequence[Mapping[str, float]],
    *,
    runtime: str,
    precision: str,
    allowed: float,
    opset: int,
    tuning: str | Path | None = None,
) -> Choice:
    """`choose_for` within `allowed` whatever the precision. Raises what it raises."""
    found = _within(activation, values, runtime, precision, allowed, opset, tuning)
    points = [activation.values(v) for v in values] or [activation.values()]
    common = {n: v for n, v in points[0].items() if all(p[n] == v for p in points)}
    best, source = _best(found.options), found.source
    how = "measured" if best.measured else "expected"
    reason = f"fastest of {len(found.options)} forms within {allowed:g}: {how} {best.cost:.2f} times ReLU, {source}"
    return Choice(activation, best.form, best.bound, common, reason)


def _best(found: Sequence[Option]) -> Option:
    """The fastest; of those that are as fast within 1 %, the one with the smallest error."""
    limit = (1 + SAME) * found[0].cost
    return min((one for one in found if one.cost <= limit), key=lambda one: (one.bound, one.cost))


@dataclass(frozen=True)
class Options:
    """The forms within the tolerance, the fastest first, and where their costs come from."""

    options: tuple[Option, ...]
    source: str


def options(
    activation: Activation,
    values: Sequence[Mapping[str, float]] = (),
    *,
    runtime: str,
    precision: str = "f32",
    tolerance: float = TOLERANCE,
    opset: int = 20,
    tuning: str | Path | None = None,
) -> Options:
    """All forms that `choose_for` has to choose from. Raises what it raises."""
    allowed = allowed_error(tolerance, precision)
    return _within(activation, values, runtime, precision, allowed, opset, tuning)


def _within(
    activation: Activation,
    values: Sequence[Mapping[str, float]],
    runtime: str,
    precision: str,
    tolerance: float,
    opset: int,
    tuning: str | Path | None,
) -> Options:
    check_name(runtime, COSTS, "runtime with forms")
    if not tolerance >= 0:
        raise UsageError(f"tolerance {tolerance} must be 0 or more")
    points = [activation.values(v) for v in values] or [activation.values()]
    if all(p == points[0] for p in points):
        given = Path(tuning) if tuning is not None else None
        for its in _LIKE.get(precision, (precision,)):
            known = measured(activation, points[0], runtime=runtime, precision=its, tuning=given)
            timed = [] if known is None else _timed(known, activation, points, tolerance, opset)
            if known is not None and timed:
                return Options(tuple(sorted(timed, key=lambda o: o.cost)), known.where)
    found = list(_expected(activation, points, runtime, precision, tolerance, opset))
    return Options(tuple(sorted(found, key=lambda o: o.cost)), "by its operations")


def _timed(
    known: Measured,
    activation: Activation,
    points: Sequence[Mapping[str, float]],
    tolerance: float,
    opset: int,
) -> list[Option]:
    return [
        Option(form, bound, one.ratio, measured=True)
        for one in known.forms
        if one.bound <= tolerance
        for form in (form_of(activation, one),)
        if form.since <= opset and (bound := _bound(activation, form, points, known)) <= tolerance
    ]


def _expected(
    activation: Activation,
    points: Sequence[Mapping[str, float]],
    runtime: str,
    precision: str,
    tolerance: float,
    opset: int,
) -> Iterator[Option]:
    forms = [activation.form(name) for name in activation.form_names()]
    if all(p == points[0] for p in points):
        forms = sound_forms(activation, points[0], (tolerance,), precision=precision)
    for form in forms:
        bound = max(form.bound_at(p) for p in points)
        if (bound <= tolerance or form.name == "exact") and (form.native is None or form.since <= opset):
            choice = Choice(activation, form, bound, dict(points[0]))
            yield Option(form, bound, 1 + predicted(choice, runtime) / 100, measured=False)


def sound_forms(
    activation: Activation,
    values: Mapping[str, float],
    tolerances: Sequence[float],
    *,
    precision: str = "f32",
) -> list[Form]:
    """The definition's own forms within the largest tolerance, and those that are generated for each of them.

    Their programs are certified in float32, so that there are none for f16.
    """
    most = max(tolerances)
    forms = [
        f
        for f in map(activation.form, activation.form_names())
        if f.name == "exact" or f.bound_at(values) <= most
    ]
    shapes: set[str] = set()
    for tolerance in () if precision == "f16" else sorted(tolerances):
        for form in generated_forms(activation, values, tolerance):
            shape = form.name.partition("@")[0]  # the same shape for a larger error is no faster
            if shape not in shapes:
                shapes.add(shape)
                forms.append(form)
    return forms


def _bound(
    activation: Activation, form: Form, points: Sequence[Mapping[str, float]], known: Measured
) -> float:
    """The bound; certified anew for steps that were read from a file, unless it is edgeacts' own, whose tests do that."""
    if form.program is None or known.source == SHIPPED:
        return max(form.bound_at(p) for p in points)
    return _certified(activation, tuple(points[0].items()), form.program)


@lru_cache(maxsize=256)
def _certified(activation: Activation, values: tuple[tuple[str, float], ...], program: Program) -> float:
    return certify(program, subject_of(activation, dict(values)))
