"""Activations that users might write in a line, each with its tails worked out by hand: what f is at -∞ and +∞."""

from dataclasses import dataclass
from math import inf, log
from math import pi as float_pi

from sympy import Abs, Max, Min, Piecewise, Rational, atan, cos, exp, pi, sin, sqrt, tanh
from sympy import log as ln
from sympy import sign as sgn

from edgeacts.definition import Activation, Parameter, X

K = Parameter("k", 1.5, samples=(0.5,))
_HALF = Rational(1, 2)


@dataclass(frozen=True)
class Own:
    """`left` and `right` are the limits; None where there is none (a periodic tail)."""

    activation: Activation
    left: float | None
    right: float | None
    within: float = 2e-6  # of max(1, |x|), in float32; more where the formula as written cancels


def _own(
    name: str, formula: object, left: float | None, right: float | None, within: float = 2e-6
) -> tuple[str, Own]:
    uses_k = K.symbol in getattr(formula, "free_symbols", set())
    return name, Own(Activation(name, formula, "of one's own", (K,) if uses_k else ()), left, right, within)


OWN = dict(
    [
        _own("mish_by_log", X * tanh(ln(1 + exp(X))), 0, inf),
        _own("sigmoid_by_exp", X / (1 + exp(-X)), 0, inf),
        _own("softplus_plus", ln(1 + exp(X)) * Rational(3, 2) - _HALF, -0.5, inf),
        _own("bent_identity", (sqrt(X**2 + 1) - 1) / 2 + X, -inf, inf),
        _own("softsign", X / (1 + Abs(X)), -1, 1),
        _own("isru", X / sqrt(1 + X**2), -1, 1),
        _own("arctan_gate", X * (atan(X) / pi + _HALF), -1 / float_pi, inf),
        _own("arctan_gate_in_floats", X * (atan(X) / float_pi + 0.5), -1 / float_pi, inf),
        _own("pade_gate", X * (1 + X / (1 + Abs(X))) / 2, -0.5, inf),
        _own("rational", (X + X**2 / 2 + X**3 / 4) / (1 + X**2 / 3), -inf, inf),
        _own("eis", X * ln(1 + exp(X)) / (sqrt(1 + X**2) + exp(-X)), 0, inf),
        _own("elu", Piecewise((X, X > 0), (exp(X) - 1, True)), -1, inf),
        _own(
            "squares",
            Piecewise((1, X > 2), (X - X**2 / 4, X >= 0), (X + X**2 / 4, X >= -2), (-1, True)),
            -1,
            1,
        ),
        _own("hard_gate", X * Max(0, Min(1, X / 6 + _HALF)), 0, inf),
        _own("relu_squared", Max(0, X) ** 2, 0, inf),
        _own("tanh_by_exp", X * (exp(X) - exp(-X)) / (exp(X) + exp(-X)), inf, inf),
        _own("tanh_gelu", X / 2 * (1 + tanh(sqrt(2 / pi) * (X + Rational(44715, 10**6) * X**3))), 0, inf),
        _own("gompertz", X * exp(-exp(-X)), 0, inf),
        _own("bell", exp(-(X**2)), 0, 0),
        _own("tanh_shrink", X - tanh(X), -inf, inf),
        _own("root_of_sigmoid", X / sqrt(1 + exp(-X)), 0, inf),
        _own("soft_clip", ln((1 + exp(X)) / (1 + exp(X - 1))), 0, 1),
        _own("log_sign", sgn(X) * ln(1 + Abs(X)), -inf, inf),
        _own("slope_two_log_two", X * ln(1 + 1 / (1 + exp(-X))) / log(2), 0, inf, 4e-6),
        _own("wavy_left", Piecewise((X, X > 0), ((sin(X) - cos(X) + 1) / 4, True)), None, inf),
        _own("snake", X + sin(K.symbol * X) ** 2 / K.symbol, None, None),
        _own("parametric", X * tanh(K.symbol * exp(X)), 0, inf),
    ]
)
