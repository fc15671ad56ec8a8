"""Tables of every kind that the kernels know, and where to look at them."""

import itertools
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from own_activations import OWN

from edgeacts import native, quotient
from edgeacts.activations import activation, catalogue
from edgeacts.definition import Activation
from edgeacts.piecewise import Table
from edgeacts.plan import parameter_samples
from edgeacts.quotient import POWER_DEGREE, POWER_QUOTIENT_DEGREE
from edgeacts.tables import compile_table
from edgeacts.tables.power_quotients import two_to

built = pytest.mark.skipif(not native.available(), reason=str(native.missing()))


FLAT, LINE, SAME = (0.0, -0.5), (2.0, 1.0), (1.0, 0.0)


@dataclass(frozen=True)
class Case:
    table: Table
    definition: Activation | None = (
        None  # None: the table is no function's, only the numpy reading says what is right
    )
    order: int = 0
    values: tuple[tuple[str, float], ...] = ()


@cache
def cases() -> dict[str, Case]:
    found = {}
    for name, a in catalogue().items():
        for i, values in enumerate(parameter_samples(a)):
            if i == 0 or abs(values.get("beta", 1.0)) >= 1:  # flatter ones may be refused
                table = compile_table(a, **values)
                found[name if i == 0 else f"{name} {values}"] = Case(table, a, 0, tuple(values.items()))
    silu = activation("silu")
    found["silu falling"] = Case(compile_table(silu, beta=-4.0), silu, 0, (("beta", -4.0),))
    for name in ("silu", "gelu", "tanhexp"):
        a = activation(name)
        found[f"{name}'"] = Case(compile_table(a, 1), a, 1, tuple(a.values().items()))
    for name in ("tanh_shrink", "softplus_plus", "tanh_by_exp", "bell", "elu", "gompertz"):
        a = OWN[name].activation
        found[name] = Case(compile_table(a), a)
    # every pair of tails with every kind of grid, and both ends of the narrow degrees
    relu, smooth = found["relu"].table, found["gelu"].table
    longer = replace(relu.wide, lo=relu.wide.lo - 1, hi=relu.wide.hi + 1)
    kinds = {
        "relu": relu,
        "reaching": replace(relu, wide=longer),
        "scaled": relu.scaled(1.7),
        "quintic": smooth.scaled(2 * float(np.frexp(smooth.wide.step)[0])),  # steps that are a power of two
        "gelu": smooth.scaled(1.702),
    }
    # quotients in a power of two, of every degree
    mish = found["mish"].table
    for degree, power in itertools.product(
        range(1, POWER_QUOTIENT_DEGREE + 1), (POWER_DEGREE - 1, POWER_DEGREE)
    ):
        row = np.array([0.0, 1.0, 0.5, 0.125][: degree + 1], np.float32)
        under = row + np.array([1.0, 0.25, 0.125, 0.0][: degree + 1], np.float32)
        made = quotient.Quotient(-40.0, 7.5, row, under, rate=1.5, power=two_to(power))
        found[f"power {degree} {power}"] = Case(replace(mish, quotient=made))
    for name, table in kinds.items():
        for left in (table.left, FLAT, LINE):
            for right in (SAME, FLAT, LINE):
                made = replace(table, left=left, right=right)
                tails = made.numbers[5:7].astype(int)
                found[f"tails {name} {tails[0]} {tails[1]}"] = Case(made)
                found[f"tails {name} {tails[0]} {tails[1]} by segments"] = Case(replace(made, quotient=None))
    random = np.random.default_rng(2)
    for degree in (1, 15):
        grid = found["gelu"].table.narrow
        rows = random.normal(size=(degree + 1, 8)).astype(np.float32)
        found[f"narrow {degree}"] = Case(
            replace(found["gelu"].table, narrow=replace(grid, coefficients=rows), quotient=None)
        )
    return found


def points(table: Table) -> NDArray[np.float32]:
    """Over the range and beyond, at every border with its neighbours, and what is special about float32."""
    random = np.random.default_rng(4)
    parts: list[Any] = [random.normal(0, 1, 500)]
    for grid in (table.wide, table.narrow):
        width = grid.hi - grid.lo
        parts.append(random.uniform(grid.lo - width, grid.hi + width, 1500))
        edges = (grid.first + np.arange(grid.segments + 1)) * grid.step
        edges = np.float32([*edges, *grid.ends, grid.hi, *grid.knees])
        parts += [edges, np.nextafter(edges, np.float32(-9e9)), np.nextafter(edges, np.float32(9e9))]
    special = [0.0, 1e-45, 1e-40, 1.2e-38, 1e-20, 1e6, 1e19, 3e38, np.finfo(np.float32).max, np.inf]
    x = np.concatenate([*parts, special, np.negative(special), [np.nan] * 3]).astype(np.float32)
    return random.permutation(x)
