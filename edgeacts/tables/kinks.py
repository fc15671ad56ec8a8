"""Where a formula may bend: the borders of its branches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import sympy

from edgeacts import atoms
from edgeacts.definition import Activation
from edgeacts.numpy_reading import NUMPY
from edgeacts.program import compile_program


def kinks_of(activation: Activation, parameters: dict[str, float]) -> tuple[float, ...]:
    """Where a branch of the formula ends: zeros of what Max, Min, Abs, sign and Piecewise decide by."""
    grid = np.linspace(-64.0, 64.0, 32769)
    found: set[float] = set()
    for expression in _deciders(activation.stable):
        f = compile_program(atoms.stabilise(expression))
        with np.errstate(all="ignore"):
            values = np.broadcast_to(
                np.asarray(f.run(NUMPY, {**parameters, "x": grid}), np.float64), grid.shape
            )
        found.update(grid[values == 0][:64].tolist() if np.count_nonzero(values == 0) < 64 else [])
        for i in np.flatnonzero(values[:-1] * values[1:] < 0)[:64]:
            found.add(_bisect(f, parameters, grid[i], grid[i + 1]))
    return tuple(sorted({float(Fraction(k).limit_denominator(10**6)) for k in found}))


def _deciders(expression: Any) -> Iterator[Any]:
    for part in sympy.preorder_traversal(expression):
        if isinstance(part, sympy.Max | sympy.Min | atoms.maximum | atoms.minimum):
            for a, b in itertools.combinations(part.args, 2):
                yield a - b
        elif isinstance(part, sympy.Abs | sympy.sign):
            yield part.args[0]
        elif isinstance(part, sympy.core.relational.Relational):
            yield part.lhs - part.rhs


def _bisect(f: Any, parameters: dict[str, float], a: float, b: float) -> float:
    def value(x: float) -> float:
        return float(f.run(NUMPY, {**parameters, "x": np.float64(x)}))

    start = value(a)
    for _ in range(60):
        middle = 0.5 * (a + b)
        if value(middle) * start > 0:
            a = middle
        else:
            b = middle
    return 0.5 * (a + b)
