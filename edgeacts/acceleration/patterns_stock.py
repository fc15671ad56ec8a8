"""How other people's ONNX files write the catalogue's activations: one line a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

from edgeacts.acceleration.patterns_matching import (
    Capture,
    Either,
    Expression,
    Number,
    Op,
    Setting,
    X,
    either,
)


@dataclass(frozen=True)
class Pattern:
    """An expression that is edgeacts' `operator`; `parameters` are those that the expression does not capture."""

    name: str
    operator: str
    expression: Expression
    parameters: Mapping[str, float] = field(default_factory=dict)


def _times(a: Expression, number: float) -> Either:
    """a·number, or a divided by its inverse."""
    return either(a * number, a / (1 / number))


def _product(a: Expression, b: Expression, number: float) -> Either:
    """a·b·number in every association."""
    return either(_times(a * b, number), a * _times(b, number), _times(a, number) * b)


def _setting(number: float, default: float | None = None) -> Setting:
    return Setting(Number(number), default)


_BETA = Capture("beta")
_ONE = {"beta": 1.0}
_MICROSOFT = "com.microsoft"

_SIGMOID = Op("Sigmoid", X)
_SOFTPLUS = either(
    Op("Softplus", X),
    Op("Log", Op("Exp", X) + 1),
    Op("Where", Op("Greater", X, 20), X, Op("Softplus", X)),  # torch's, which is the same in float32
)
_GATE = X + 3
_RELU6 = either(Op("Clip", _GATE, 0, 6), Op("Clip", _GATE, min=_setting(0), max=_setting(6)))
_HARD_SIGMOID = Op("HardSigmoid", X, alpha=_setting(1 / 6, 0.2), beta=_setting(0.5, 0.5))
_CDF_TWICE = Op("Erf", _times(X, 1 / sqrt(2))) + 1
_POSITIVE = either(Op("GreaterOrEqual", X, 0), Op("Greater", X, 0))

PATTERNS = (
    Pattern("native Mish", "Mish", Op("Mish", X)),
    Pattern("native HardSwish", "HardSwish", Op("HardSwish", X)),
    Pattern("native Gelu", "Gelu", Op("Gelu", X, approximate=Setting("none", "none"))),
    Pattern("native Swish", "Silu", Op("Swish", X, alpha=Setting(_BETA, 1.0))),
    Pattern("com.microsoft Gelu", "Gelu", Op("Gelu", X, domain=_MICROSOFT)),
    Pattern(
        "com.microsoft QuickGelu", "Silu", Op("QuickGelu", X, domain=_MICROSOFT, alpha=Setting(_BETA, 1.702))
    ),
    Pattern("x*Sigmoid(x)", "Silu", X * _SIGMOID, _ONE),
    Pattern("x*Sigmoid(beta*x)", "Silu", X * Op("Sigmoid", X * _BETA)),
    Pattern("x*HardSigmoid(x)", "HardSwish", X * _HARD_SIGMOID),
    Pattern("x*Clip(x+3,0,6)/6", "HardSwish", _product(X, _RELU6, 1 / 6)),
    Pattern("x*Tanh(Softplus(x))", "Mish", X * Op("Tanh", _SOFTPLUS)),
    Pattern("x*Tanh(Exp(x))", "TanhExp", X * Op("Tanh", Op("Exp", X))),
    Pattern("x*(1+Erf(x/sqrt(2)))/2", "Gelu", _product(X, _CDF_TWICE, 0.5)),
    Pattern(
        "Where(x>=0,x,Sigmoid(x)*(x+Sin(x)))",
        "Nish",
        Op("Where", _POSITIVE, X, _SIGMOID * (X + Op("Sin", X))),
    ),
)
