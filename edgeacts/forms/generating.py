"""Forms of any activation that nobody wrote down: fitted, certified, the cheapest of each kind."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from edgeacts.definition import Activation, Form
from edgeacts.forms.certificate import certify
from edgeacts.forms.costs import steps_cost
from edgeacts.forms.exponentials import exponential_form
from edgeacts.forms.families import FAMILIES, Family
from edgeacts.forms.fitted import fit_key, shipped_forms, to_rows
from edgeacts.forms.fitting import Quotient, Samples, Shape, fit
from edgeacts.program import Program
from edgeacts.tables.refusal import NotTabulated
from edgeacts.tables.subject import Subject

LEVELS = (1e-3, 1e-4, 1e-5, 1e-6)
"""The errors that forms are made for."""
_POWERS = (1, 2, 4, 8, 16)
_MOST = 16  # degrees of both polynomials together
_NEARLY = 8.0  # times the error allowed is near
_SLACK = 3  # degrees that a power may cost more than another
_APART = 4  # how far the degrees of a quotient may be apart
_TAILS = (1.6, 0.6)  # how far the lines may be off where they take over, in parts of what is allowed
_ROUGH, _FINE = (8, 80), (60, 400)  # (rounds, points)
_KEPT = 2  # forms of each kind
_NEAR = 0.1  # an end so near to a kink is taken to it
_FARTHEST = 60.0  # powers of larger arguments lose too many digits


@dataclass(frozen=True)
class _Candidate:
    family: Family
    shape: Shape
    lo: float
    hi: float
    cost: float


def subject_of(activation: Activation, values: Mapping[str, float]) -> Subject:
    """The function with these values of the parameters. Raises NotTabulated where a tail is no line, or for jumps."""
    return Subject(activation.fix(**activation.values(values)), 0, {})


def generated_forms(
    activation: Activation, values: Mapping[str, float] | None = None, tolerance: float = 1e-5
) -> tuple[Form, ...]:
    """Forms within the largest of `LEVELS` that is at most `tolerance`, the fewest operations first; () where there are none.

    Each has a certified bound. They are for exactly these values of the parameters.
    """
    level = next((one for one in LEVELS if one <= tolerance * (1 + 1e-9)), None)
    if level is None:
        return ()
    settled = activation.values(values)
    return _generated(activation, tuple(settled.items()), level)


@lru_cache(maxsize=256)
def _generated(
    activation: Activation, values: tuple[tuple[str, float], ...], level: float
) -> tuple[Form, ...]:
    shipped = shipped_forms(activation, dict(values), level)
    return fitted_anew(activation, dict(values), level) if shipped is None else shipped


def fitted_anew(activation: Activation, values: Mapping[str, float], level: float) -> tuple[Form, ...]:
    """`generated_forms` for one of `LEVELS`, whatever ships with edgeacts: seconds for a smooth function."""
    try:
        subject = subject_of(activation, values)
    except NotTabulated:
        return ()
    found = [*_fitted(subject, level)]
    if (one := exponential_form(activation.fix(**values), subject)) is not None and one.bound <= level:
        found.append(one)
    return tuple(sorted(found, key=lambda form: steps_cost(_program(form))))


def fitted_book() -> str:
    """JSON of the catalogue's fitted forms at their default parameters (`make fitted-forms`)."""
    from edgeacts.activations import catalogue

    lines = []
    for definition in catalogue().values():
        values = definition.values()
        for level in LEVELS:
            rows = json.dumps(to_rows(fitted_anew(definition, values, level)), ensure_ascii=False)
            lines.append(f'"{fit_key(definition, values, level)}": {rows}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _program(form: Form) -> Program:
    assert form.program is not None  # noqa: S101  every generated form has one
    return form.program


def _fitted(subject: Subject, level: float) -> Iterator[Form]:
    """Of polynomials and of quotients the cheapest that are certified."""
    for divided in (False, True):
        kept: set[str] = set()
        for candidate in sorted(_candidates(subject, level, divided=divided), key=lambda c: c.cost):
            form = _certified(subject, candidate, level)
            if form is not None and form.name not in kept:
                yield form
                kept.add(form.name)
                if len(kept) == _KEPT:
                    break


def _candidates(subject: Subject, level: float, *, divided: bool) -> Iterator[_Candidate]:
    """What a rough fit says may do: of each family, range and power the smallest degrees."""
    limit = _MOST
    for lo, hi in _ranges(subject, level):
        family = next((one for one in FAMILIES if one.fits(subject, lo, hi)), None)
        if family is None:
            continue
        samples = family.samples(subject, lo, hi, _ROUGH[1])
        for power in _POWERS:
            for fitted, shape in _shapes(samples, power, level, limit, divided=divided):
                limit = min(limit, shape.top + shape.below + _SLACK)
                program = family.write(subject, lo, hi, fitted)
                yield _Candidate(family, shape, lo, hi, steps_cost(program))


def _shapes(
    samples: Samples, power: int, level: float, limit: int, *, divided: bool
) -> Iterator[tuple[Quotient, Shape]]:
    """The smallest degrees that may do, and those one larger; their sum is at most `limit`."""
    fewest = None
    for total in range(_fewest_likely(samples, power, level, limit, divided=divided), limit + 1):
        if fewest is not None and total > fewest + 1:
            return
        for shape in _splits(total, power, divided=divided):
            fitted = fit(samples, shape, _ROUGH[0], 1.3 * level)
            if fitted is not None:
                fewest = fewest or total
                yield fitted, shape


def _fewest_likely(samples: Samples, power: int, level: float, limit: int, *, divided: bool) -> int:
    """One less than the smallest sum of degrees with which equal degrees come near; above `limit` where none does."""
    for total in range(1, limit + 3, 2):
        below = (total + 1) // 2 if divided else 0
        if fit(samples, Shape(total - below, below, power), _ROUGH[0] // 2, _NEARLY * level) is not None:
            return max(total - 1, 1)
    return limit + 1


def _splits(total: int, power: int, *, divided: bool) -> Iterator[Shape]:
    if not divided:
        yield Shape(total, 0, power)
        return
    for below in range(1, total + 1):
        if abs(total - 2 * below) <= _APART:
            yield Shape(total - below, below, power)


def _certified(subject: Subject, candidate: _Candidate, level: float) -> Form | None:
    family, lo, hi = candidate.family, candidate.lo, candidate.hi
    samples: Samples = family.samples(subject, lo, hi, _FINE[1])
    fitted: Quotient | None = fit(samples, candidate.shape, _FINE[0], level)
    if fitted is None:
        return None
    program = family.write(subject, lo, hi, fitted)
    bound = certify(program, subject)
    if bound > level:
        return None
    name = f"{family.name}-{candidate.shape}@1e{round(math.log10(level))}"
    why = f"{family.name} form, degrees {candidate.shape}, fitted on [{lo:.4g}, {hi:.4g}]"
    return Form(name, bound, why, program=program)


def _ranges(subject: Subject, level: float) -> list[tuple[float, float]]:
    found = []
    for tail in _TAILS:
        lo, hi = (_at_kink(subject, end) for end in subject.ends(tail * level))
        if max(abs(lo), abs(hi)) <= _FARTHEST and (lo, hi) not in found:
            found.append((lo, hi))
    return found


def _at_kink(subject: Subject, end: float) -> float:
    """The kink next to an end: the function is smooth up to it, and a line from it on."""
    return next((k for k in subject.kinks if abs(k - end) < _NEAR), end)
