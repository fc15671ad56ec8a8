"""TanhExp, x·tanh(eˣ). Liu & Di 2020, arXiv:2003.09855, eq. 3.

The paper puts the minimum "near x = -1.100"; it is at x = -1.07886 with the value -0.353286, which agrees with the
paper's value -0.3532. The naive x·tanh(exp(x)) has a NaN gradient for x > 88.7 in float32.
"""

from sympy import exp, tanh

from edgeacts.definition import Activation, Fact, X

TANHEXP = Activation(
    name="tanhexp",
    formula=X * tanh(exp(X)),
    source="Liu & Di 2020, arXiv:2003.09855, eq. 3",
    left=0,
    right=X,
    operator="TanhExp",
    facts=(
        Fact(-1.07886006, -0.35328578, "global minimum, solved from the formula"),
        Fact(-1.07886006, 0.0, "the derivative vanishes there", order=1),
        Fact(0.0, 0.7615941559557649, "slope at 0 is tanh(1)", order=1),
        Fact(1.0, 1.0, "the paper: within 0.01 of x from 1 on", within=0.01),
        Fact(-1.1, -0.3532, "the value of the paper's approximate minimum", within=1e-4),
    ),
)
