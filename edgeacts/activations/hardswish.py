"""HardSwish, x·min(max(x + 3, 0), 6)/6. Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244, section 5.2."""

from sympy import Piecewise

from edgeacts.definition import Activation, Fact, Form, X

HARDSWISH = Activation(
    name="hardswish",
    formula=Piecewise((0, X <= -3), (X, X >= 3), (X * (X + 3) / 6, True)),
    source="Howard et al. 2019, arXiv:1905.02244, section 5.2",
    left=0,
    right=X,
    operator="HardSwish",
    forms=(
        Form(
            "native",
            4e-7,
            "ONNX HardSwish (opset 14), one pass",
            native="HardSwish",
            since=14,
            at_minus_infinity=False,
        ),
    ),
    facts=(
        Fact(-1.5, -0.375, "vertex of x(x + 3)/6"),
        Fact(1.0, 2 / 3, "1·4/6"),
        Fact(4.0, 4.0, "identity from 3 on"),
        Fact(-3.5, 0.0, "zero up to -3"),
    ),
)
