"""Mish, x·tanh(ln(1 + eˣ)). Misra 2019, arXiv:1908.08681, eq. 1.

The form "ratio" is tanh(ln(1 + u)) = (u² + 2u)/(u² + 2u + 2) with u = eˣ. Without its clamp it overflows in float32 from
x = 44 on; beyond the clamp at 20 the gate is 1 within 1e-17.
"""

from sympy import Min, exp, log, tanh

from edgeacts.definition import Activation, Fact, Form, X

_U = exp(Min(X, 20))

MISH = Activation(
    name="mish",
    formula=X * tanh(log(1 + exp(X))),
    source="Misra 2019, arXiv:1908.08681, eq. 1",
    left=0,
    right=X,
    forms=(
        Form(
            "ratio",
            4e-7,
            "one exponential and a division",
            expression=X * (_U * (_U + 2) / (_U * (_U + 2) + 2)),
        ),
        Form("native", 4e-7, "ONNX Mish (opset 18)", native="Mish", since=18, at_minus_infinity=False),
    ),
    facts=(
        Fact(-1.1924, -0.30884, "minimum as the paper gives it", within=5e-6),
        Fact(-1.1924, 0.0, "the derivative vanishes at the minimum", order=1, within=2e-5),
        Fact(0.0, 0.6, "tanh(ln 2) = 3/5", order=1),
    ),
)
