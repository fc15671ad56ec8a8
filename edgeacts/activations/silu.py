"""SiLU / Swish, x·σ(βx); β = 1 is SiLU. Elfwing et al. 2017, arXiv:1702.03118; Ramachandran et al. 2017, arXiv:1710.05941, eq. 1.

β may be trained per layer or per channel (Ramachandran et al., section 5). For β < 0 the function is mirrored: it
approaches x on the left and 0 on the right; β = 0 gives x/2.
"""

from sympy import Abs, Eq, Piecewise

from edgeacts.definition import Activation, Fact, Parameter, X, sigmoid

_BETA = Parameter("beta", 1.0, samples=(0.25, 1.702, 4.0, 0.0, -0.5))
_B = _BETA.symbol

SILU = Activation(
    name="silu",
    formula=X * sigmoid(_B * X),
    source="Elfwing et al. 2017, arXiv:1702.03118; Ramachandran et al. 2017, arXiv:1710.05941, eq. 1",
    parameters=(_BETA,),
    left=Piecewise((0, _B > 0), (X / 2, Eq(_B, 0)), (X, True)),
    right=Piecewise((X, _B > 0), (X / 2, Eq(_B, 0)), (0, True)),
    saturation=(-800 / Abs(_B), 800 / Abs(_B)),
    saturation32=(-110 / Abs(_B), 110 / Abs(_B)),
    facts=(
        Fact(-1.2784645427610738, -0.2784645427610738, "the minimum's value is x + 1 where x + 1 = -W(1/e)"),
        Fact(0.0, 0.5, "slope at 0 is σ(0)", order=1),
        Fact(1.0, 0.7310585786300049, "σ(1)"),
    ),
)
