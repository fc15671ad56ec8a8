"""The true values: float64 in bulk, held against mpmath, which has the last word on every point that is reported.

The float64 oracle is checked on a seeded sample: log-uniform magnitudes of both signs down to the subnormals (where x·gate
cancels or underflows), uniform values between -40 and 40, and all points of interest. It must be within 0.01 ULP of float32
there; then what a row counts is right to 0.01 ULP for float32, and far better for the 16-bit types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import ArrayLike

from edgeacts.atoms import X
from edgeacts.conformance.sweeps import neighbours
from edgeacts.conformance.ulps import FLOAT_TYPES, Doubles, errors_in_ulp
from edgeacts.definition import Activation
from edgeacts.errors import CheckFailed
from edgeacts.numpy_reading import NUMPY
from edgeacts.oracles import float64, high_precision
from edgeacts.plan import asymptotes, tails

ORACLE_ULP = 0.01  # the oracle may be off by so much
_DOUBLE = 8
_DIGITS = (40, 80, 160, 320, 640)
_NOTHING = mpmath.mpf(2) ** -200  # against the least number of float32, 2^-149


class Truth:
    """An activation at the values that its parameters have in a file: those of float32."""

    def __init__(self, activation: Activation, parameters: Mapping[str, float] | None = None) -> None:
        self.activation = activation
        self.parameters = {n: float(np.float32(v)) for n, v in activation.values(parameters).items()}
        self._fixed = activation.fix(**self.parameters)

    def values(self, x: ArrayLike) -> Doubles:
        """In float64, for any x; ±inf follow the asymptotes."""
        return float64(self._fixed, x)

    def exact(self, x: float) -> Any:
        """By mpmath at finite x, from the formula as it was written, with as many digits as its cancellation needs.

        Where the formula is its asymptote to float64's last bit, the asymptote: e^(10^9) has no number of digits.
        """
        for beyond, line in self._tails:
            if beyond(x):
                with mpmath.workdps(40):
                    return line[0] * mpmath.mpf(x) + line[1]
        value = high_precision(self._fixed, x, digits=_DIGITS[0])
        for digits in _DIGITS[1:]:
            before, value = value, high_precision(self._fixed, x, digits=digits)
            if abs(value - before) <= max(abs(value) * mpmath.mpf(10) ** -20, _NOTHING):
                return value
        raise CheckFailed(f"{self.activation.name} at x = {x!r}: {_DIGITS[-1]} digits of mpmath are too few")

    @cached_property
    def _tails(self) -> list[Any]:
        """(is x beyond the cut, (slope, offset)) of the sides that have an asymptote."""
        found = []
        for sign, side, line in zip((-1, 1), tails(self._fixed), asymptotes(self._fixed), strict=True):
            if side is None or line is None:
                continue
            cut = float(side.cut[_DOUBLE].run(NUMPY, {}))
            numbers = tuple(_number(e) for e in (sympy.diff(line, X), line.subs(X, 0)))
            found.append((lambda x, sign=sign, cut=cut: sign * x > sign * cut, numbers))
        return found

    def check(self, focus: Sequence[float], seed: int) -> tuple[float, float]:
        """(largest error of the float64 oracle in float32 ULP, where). Raises CheckFailed when it is over 0.01."""
        x = self._sample(focus, seed)
        exact = [self.exact(float(v)) for v in x]
        true = np.array([float(v) for v in exact])
        # mpmath's value as a double is rounded too, 2^-29 of a float32 ULP
        errors = errors_in_ulp(self.values(x), true, FLOAT_TYPES["float32"])
        at = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
        if not errors[at] <= ORACLE_ULP:
            raise CheckFailed(
                f"the float64 oracle of {self.activation.name} is off by {errors[at]:.2g} ULP of float32 at "
                f"x = {x[at]:.9g}: its formula cancels there, write it so that it does not"
            )
        return float(errors[at]), float(x[at])

    def _sample(self, focus: Sequence[float], seed: int) -> Doubles:
        rng = np.random.default_rng(seed)
        magnitudes = np.exp2(rng.uniform(-149, 127.9, 500)) * rng.choice([-1.0, 1.0], 500)
        # Where x is small compared with a constant of the formula, or just next to a point where it bends.
        close = neighbours(focus, reach=2) if len(focus) else np.empty(0, np.float32)
        chosen = rng.choice(close, min(len(close), 200), replace=False)
        points = np.concatenate([magnitudes, rng.uniform(-40, 40, 400), chosen, -chosen])
        return points.astype(np.float32).astype(np.float64)


def _number(expression: Any) -> Any:
    with mpmath.workdps(_DIGITS[0]):
        return mpmath.mpf(str(sympy.N(expression, _DIGITS[0])))
