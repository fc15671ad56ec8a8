"""Nish, x if x ≥ 0 else σ(x)·(x + sin x). Anagun & Isik, Nish: A Novel Negative Stimulated Hybrid Activation Function, eq. 3.

The paper gives the range from ≈ -0.31 on, which is Mish's; Nish's minimum is -0.497371 at x = -1.082865. Its eq. 4 is not
the derivative, which for x < 0 is σ(x)·σ(-x)·(x + sin x) + σ(x)·(1 + cos x); it is 1 at 0, so the function is C¹.
"""

from sympy import Piecewise, sin

from edgeacts.definition import Activation, Fact, X, sigmoid

NISH = Activation(
    name="nish",
    formula=Piecewise((X, X >= 0), (sigmoid(X) * (X + sin(X)), True)),
    source="Anagun & Isik, Nish: a novel negative stimulated hybrid activation function, eq. 3",
    left=0,
    right=X,
    facts=(
        Fact(-1.082865, -0.497371, "global minimum, solved from the formula"),
        Fact(-1.082865, 0.0, "the derivative vanishes there", order=1, within=2e-6),
        Fact(2.5, 2.5, "identity for positive inputs"),
        Fact(0.0, 1.0, "C¹ at 0", order=1),
        Fact(-1e-9, 1.0, "C¹ at 0, from the left: 2·σ(0)", order=1),
    ),
)
