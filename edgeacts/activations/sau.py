"""SAU, x·√(2/π)·e^(-n²x²/2)/(2n) + (1+α)/2·x + (1-α)/2·x·erf(nx/√2).

Biswas et al. 2021, SAU: Smooth activation function using convolution with approximate identities, section 3, the
zero-centred variant of eq. 3.

A smooth LeakyReLU; α = 0.15 is trained, n = 20000 fixed (section 4). The last two terms are written as
α·x + (1-α)·x·(1 + erf(nx/√2))/2, which equals them and gives α·x itself for negative x. (1 + erf cancels there, to
1e-7·|x| in float32: that is seen only where α is nearly 0.)

The paper's eq. 3, which has the first term without the factor x, is said to be the convolution of LeakyReLU with the
Gaussian, and is not: that convolution has the factor (1-α) on the first term (`exact_convolution` below). Eq. 3 is not 0 at
0; the paper multiplies its first term by x to centre it, finds both alike, and then names eq. 3 SAU. `sau` here is the
centred variant. Eq. 4 is the derivative of eq. 3, not of the variant. With n = 20000 the difference is below 2e-5, and to
LeakyReLU(α) it is at most 7.2e-6·(1-α)/0.85: the form "leaky".
"""

from typing import Any

from sympy import Abs, Rational, erf, exp, pi, sqrt

from edgeacts.definition import Activation, Fact, Form, Parameter, X

_ALPHA = Parameter("alpha", 0.15, trainable="layer", samples=(0.0, 0.5, 1.0, -0.3))
_N = Parameter("n", 20000.0, samples=(1.0, 50.0))
_A, _n = _ALPHA.symbol, _N.symbol


def exact_convolution(x: Any, alpha: Any, n: Any) -> Any:
    """(1-α)/(n·√(2π))·e^(-n²x²/2) + (1+α)/2·x + (1-α)/2·x·erf(nx/√2): LeakyReLU(α) convolved with a Gaussian of width 1/n."""
    half = Rational(1, 2)
    bump = (1 - alpha) / (n * sqrt(2 * pi)) * exp(-((n * x) ** 2) / 2)
    return bump + half * (1 + alpha) * x + half * (1 - alpha) * x * erf(n * x / sqrt(2))


SAU = Activation(
    name="sau",
    formula=X * (_A + (1 - _A) * (1 + erf(_n * X / sqrt(2))) / 2)
    + X * sqrt(2 / pi) * exp(-((_n * X) ** 2) / 2) / (2 * _n),
    source="Biswas et al. 2021, SAU, section 3, zero-centred variant of eq. 3",
    parameters=(_ALPHA, _N),
    left=_A * X,
    right=X,
    saturation=(-60 / _n, 60 / _n),
    # Φ(-9) = 1e-19: nothing in float32, while further out its products are subnormal numbers, which are slow.
    saturation32=(-9 / _n, 9 / _n),
    operator="SAU",
    forms=(
        Form(
            "leaky",
            Abs(1 - _A) * Rational(1701, 10000) / _n + Rational(1, 4) / _n**2,
            "LeakyRelu(α): they differ by (1-α)·max t·Φ(-t)/n and the bump near 0; runtimes fuse it into convolutions",
            native="LeakyRelu",
            attributes={"alpha": _A},
            channel_native="PRelu",
        ),
    ),
    facts=(
        Fact(-2.0, -0.3, "LeakyReLU(0.15) far from 0"),
        Fact(3.0, 3.0, "identity far from 0"),
        Fact(0.0, 0.0, "zero-centred"),
        Fact(0.0, 0.575 + 1.9947e-5, "(1+α)/2 + 1/(n√(2π))", order=1),
        Fact(
            1.0,
            0.15 + 0.85 * 0.8413447460685429 + 0.24197072451914337,
            "n = 1: α + (1-α)Φ(1) + φ(1)",
            parameters={"n": 1.0},
        ),
    ),
)
