"""The best grid for a function: of several ranges, placements and degrees, the cheapest within the bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edgeacts.piecewise import NARROW_SEGMENTS, WIDE_DEGREES, WIDE_SEGMENTS, Grid
from edgeacts.tables.certificate import certify, error_at_jumps, error_inside
from edgeacts.tables.fitting import fit
from edgeacts.tables.placement import KINDS, Place, possible_places
from edgeacts.tables.refusal import NotTabulated
from edgeacts.tables.subject import Subject, line_at

BOUND = 1e-6  # of max(1, |x|): a table that is worse is refused
DERIVATIVE_BOUND = 4e-6  # of f', which only trains; absolute
NARROW_DEGREES = (7, 9, 11, 13, 15)  # the kernels have room for piecewise.NARROW_DEGREE
_TAILS = (1e-7, 2.5e-7, 5e-7, 9e-7)  # how far the lines may be from the function where they take over
_OUT_OF_REACH = f"polynomials of degree {WIDE_DEGREES[-1]} on {WIDE_SEGMENTS} segments do not reach it"


@dataclass(frozen=True)
class Candidate:
    """A grid and its certified bound."""

    grid: Grid
    bound: float


def best_grid(subject: Subject, which: str) -> Candidate:
    """The grid of the lowest degree within the bound; of several tails and knees, the one with the least error."""
    allowed = DERIVATIVE_BOUND if subject.order else BOUND
    best: Candidate | None = None
    reasons: list[str] = []
    for degree in WIDE_DEGREES if which == "wide" else NARROW_DEGREES:
        for kind in KINDS if which == "wide" else KINDS[-1:]:
            for candidate in _candidates(subject, which, degree, reasons, allowed, kind):
                if best is None or candidate.bound < best.bound:
                    best = candidate
            if best is not None and best.bound <= allowed:
                return best
    if best is None:
        raise NotTabulated(f"{subject.label}: {reasons[0] if reasons else _OUT_OF_REACH}")
    raise NotTabulated(
        f"{subject.label}: its best table is off by up to {best.bound:.1e}·max(1, |x|), more than {allowed:.0e}"
    )


def _candidates(
    subject: Subject, which: str, degree: int, reasons: list[str], allowed: float, kind: str
) -> Iterator[Candidate]:
    segments = WIDE_SEGMENTS if which == "wide" else NARROW_SEGMENTS
    for tail in _TAILS:
        lo, hi = subject.ends(tail)
        if max(abs(lo), abs(hi)) > 1000:
            reasons.append(
                f"it is still {tail:.0e} away from its straight tail at |x| = {max(abs(lo), abs(hi)):.0f}"
            )
            continue
        kinks = [k for k in subject.kinks if lo < k < hi]
        places = list(possible_places(lo, hi, kinks, segments, kind))
        if not places and kind == KINDS[-1]:
            shown = ", ".join(f"{k:g}" for k in subject.kinks)
            reasons.append(f"no {segments} equal segments have its kinks at {shown} as borders")
        for rough, place in _promising(subject, places, segments, degree, which):
            if rough > 4 * allowed:
                break
            grid = fit(subject, place, segments, degree, centred=which == "narrow")
            if not np.isfinite(grid.coefficients).all():
                reasons.append("its polynomials overflow")
                continue
            final = by_convention(subject, grid)
            yield Candidate(final, max(certify(subject, grid), error_at_jumps(subject, final)))


def _promising(
    subject: Subject, places: list[Place], segments: int, degree: int, which: str
) -> list[tuple[float, Place]]:
    """The three places whose polynomials look best on a few points, with that error."""
    with np.errstate(all="ignore"):
        rough = [
            (
                error_inside(subject, fit(subject, place, segments, degree, centred=which == "narrow"), 12),
                place,
            )
            for place in places
        ]
    return sorted((r for r in rough if np.isfinite(r[0])), key=lambda r: r[0])[:3]


def by_convention(subject: Subject, grid: Grid) -> Grid:
    """For a function that jumps at an end: the end belongs to the side whose value the formula has there."""
    for name, line in (("lo", subject.left), ("hi", subject.right)) if subject.mirrored else ():
        end = getattr(grid, name)
        value = float(subject(np.array([end]))[0])
        beyond, within = (
            float(line_at(line, np.array([end]))[0]),
            float(grid.read(np.array([end], np.float32))[0]),
        )
        outside = abs(value - beyond) < abs(value - within)
        if outside == (name == "lo"):
            moved = float(np.nextafter(np.float32(end), np.float32(np.inf)))
            grid = replace(grid, lo=moved) if name == "lo" else replace(grid, hi=moved)
    return grid
