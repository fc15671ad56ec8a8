"""The operators of a program in numpy and SciPy: the reference every other reading is held against."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import special


def _softplus(u: Any) -> Any:
    return np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))


def _sech2(u: Any) -> Any:
    c = np.cosh(u)
    return 1 / (c * c)


def _capped_exp(u: Any) -> Any:
    """e^u that stops at the square root of the largest number, so that products of two stay finite."""
    u = np.asarray(u)
    limit = np.floor(np.log(np.finfo(u.dtype).max) / 2)  # a little less: rounding must not take it over
    return np.exp(np.minimum(u, limit.astype(u.dtype)))


NUMPY: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "neg": np.negative,
        "pow": np.power,
        "sqrt": np.sqrt,
        "square": np.square,
        "exp": np.exp,
        "log": np.log,
        "tanh": np.tanh,
        "sigmoid": special.expit,
        "softplus": _softplus,
        "sech2": _sech2,
        "erf": special.erf,
        "erfc": special.erfc,
        "normal_cdf": special.ndtr,
        "sin": np.sin,
        "cos": np.cos,
        "atan": np.arctan,
        "abs": np.abs,
        "sign": np.sign,
        "max": np.maximum,
        "min": np.minimum,
        "lt": np.less,
        "le": np.less_equal,
        "eq": np.equal,
        "and": np.logical_and,
        "or": np.logical_or,
        "select": np.where,
    }
)

NUMPY_CAPPED: Mapping[str, Callable[..., Any]] = MappingProxyType({**NUMPY, "exp": _capped_exp})
