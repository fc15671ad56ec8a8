"""Definition -> table with a certified error bound, or a refusal that says why.

The bound holds for what the kernels compute in float32: the polynomials' distance from the formula (float64, on a dense grid,
with a term for what lies between its points), what each rounding of the evaluation can add, and the lines beyond the ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import sympy

from edgeacts.activations import catalogue
from edgeacts.definition import Activation
from edgeacts.piecewise import Grid, Table, table_key
from edgeacts.tables.certificate import certify
from edgeacts.tables.choosing import BOUND, DERIVATIVE_BOUND, best_grid
from edgeacts.tables.fitting import fit
from edgeacts.tables.placement import Place
from edgeacts.tables.quotients import best_quotient
from edgeacts.tables.refusal import NotTabulated
from edgeacts.tables.subject import Subject

__all__ = [
    "BOUND",
    "DERIVATIVE_BOUND",
    "NotTabulated",
    "compile_affine",
    "compile_mirrored",
    "compile_table",
    "stock_book",
]


def compile_mirrored(activation: Activation, order: int, **parameters: float) -> Table:
    """The table of f^(order)(-x), which may jump at a kink: what the kernels compute is then f^(order), continuous from the left.

    Within a few ULP of a jump it may be the value of either side. Raises NotTabulated.
    """
    settled, values = _settled(activation, parameters)
    return _compile(settled, order, values, mirrored=True)


def compile_table(activation: Activation, order: int = 0, **parameters: float) -> Table:
    """The table of f^(order) for these parameter values, its bound at most 1e-6·max(1, |x|).

    Raises NotTabulated with the reason: a tail that is no line or is reached too slowly, a jump, kinks that no equal segments
    can have as borders, or a function that polynomials of degree 5 on 32 segments do not reach.
    """
    settled, values = _settled(activation, parameters)
    return _compile(settled, order, values)


def _settled(
    activation: Activation, parameters: Mapping[str, float]
) -> tuple[Activation, tuple[tuple[str, float], ...]]:
    """The activation and the parameters' values; put into the formula where its tails have to be found from it."""
    values = activation.values(parameters)
    if None in (activation.left, activation.right, activation.saturation):
        return activation.fix(**values), ()
    return activation, tuple(values.items())


@lru_cache(maxsize=512)
def _compile(
    activation: Activation, order: int, values: tuple[tuple[str, float], ...], *, mirrored: bool = False
) -> Table:
    subject = Subject(activation, order, dict(values), mirrored=mirrored)
    wide, narrow = best_grid(subject, "wide"), best_grid(subject, "narrow")
    whole = best_quotient(subject, BOUND)
    name = activation.name + "'" * order
    return Table(
        name=name,
        formula=subject.formula,
        bound=max(wide.bound, narrow.bound, whole.bound if whole else 0.0),
        left=subject.left,
        right=subject.right,
        wide=wide.grid,
        narrow=narrow.grid,
        quotient=whole.quotient if whole else None,
    )


@lru_cache(maxsize=64)
def compile_affine(activation: Activation, order: int = 0) -> tuple[Table, Table]:
    """Tables of f^(order) at 0 and at 1 of its only parameter p, on the same segments, for a formula (1 - p)·u(x) + p·v(x).

    `at_0.combined(1 - p, at_1, p)` is then the table for any p, as training needs them: p changes at every step. Raises
    NotTabulated.
    """
    if len(activation.parameters) != 1:
        raise NotTabulated(f"{activation.name} has not one parameter")
    parameter = activation.parameters[0]
    if sympy.simplify(sympy.diff(activation.formula, parameter.symbol, 2)) != 0:
        raise NotTabulated(f"{activation.name} is not of the first degree in {parameter.name}")
    model = compile_table(activation, order)
    ends = []
    for value in (0.0, 1.0):
        subject = Subject(activation, order, {parameter.name: value})
        wide, narrow = (_refit(subject, grid) for grid in (model.wide, model.narrow))
        bound = max(certify(subject, wide), certify(subject, narrow))
        ends.append(Table(model.name, subject.formula, bound, subject.left, subject.right, wide, narrow))
    worst = max(table.bound for table in ends)
    if worst > DERIVATIVE_BOUND:
        raise NotTabulated(
            f"{activation.name}: for {parameter.name} = 0 or 1 its table is off by up to {worst:.1e}"
        )
    return ends[0], ends[1]


def _refit(subject: Subject, grid: Grid) -> Grid:
    place = Place(grid.step, grid.first, grid.lo, grid.hi)
    return fit(subject, place, grid.segments, grid.degree, centred=grid.centred)


def stock_book() -> str:
    """JSON of the catalogue's tables at their default parameters, for models that carry none (`make stock-tables`)."""
    book: dict[str, dict[str, Any]] = {}
    for definition in catalogue().values():
        table = compile_table(definition)
        book[definition.operator] = {table_key(definition.values()): table.to_record()}
    return json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
