"""GELU, x·Φ(x) = x·erfc(-x/√2)/2. Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.

Φ is evaluated by erfc: 1 + erf(x/√2), which most libraries use, cancels for negative x.
"""

from edgeacts.definition import Activation, Fact, Form, X, normal_cdf

GELU = Activation(
    name="gelu",
    formula=X * normal_cdf(X),
    source="Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2",
    left=0,
    right=X,
    forms=(Form("native", 4e-7, "ONNX Gelu (opset 20)", native="Gelu", since=20, at_minus_infinity=False),),
    facts=(
        Fact(1.0, 0.8413447460685429, "Φ(1) of the normal distribution"),
        Fact(-2.0, -2 * 0.022750131948179207, "-2·Φ(-2)"),
        Fact(0.0, 0.5, "Φ(0)", order=1),
    ),
)
