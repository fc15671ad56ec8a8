"""Leaky ReLU, x if x > 0 else negative_slope·x.

Maas et al. 2013, Rectifier Nonlinearities Improve Neural Network Acoustic Models.
"""

from sympy import Piecewise

from edgeacts.definition import Activation, Fact, Form, Parameter, X

_SLOPE = Parameter("negative_slope", 0.01, samples=(0.0, 0.2, 1.5, -0.5))

LEAKY_RELU = Activation(
    name="leaky_relu",
    formula=Piecewise((X, X > 0), (_SLOPE.symbol * X, True)),
    source="Maas et al. 2013 (ICML workshop)",
    parameters=(_SLOPE,),
    left=_SLOPE.symbol * X,
    right=X,
    saturation=(-1, 1),
    forms=(
        Form(
            "native",
            0.0,
            "ONNX LeakyRelu, which runtimes fuse into convolutions",
            native="LeakyRelu",
            attributes={"alpha": _SLOPE.symbol},
            channel_native="PRelu",
        ),
    ),
    facts=(
        Fact(-2.0, -0.02, "slope 0.01 below zero"),
        Fact(3.0, 3.0, "positive inputs pass"),
        Fact(0.0, 0.01, "torch's convention at the kink", order=1),
    ),
)
