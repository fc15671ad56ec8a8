"""ReLU6, min(max(0, x), 6). Krizhevsky 2010, Convolutional Deep Belief Networks on CIFAR-10."""

from sympy import Max, Min

from edgeacts.definition import Activation, Fact, Form, X

RELU6 = Activation(
    name="relu6",
    formula=Min(Max(0, X), 6),
    source="Krizhevsky 2010 (technical report, CIFAR-10)",
    left=0,
    right=6,
    forms=(
        Form(
            "clip",
            0.0,
            "ONNX Clip between constants, which runtimes fuse",
            native="Clip",
            constants=(0.0, 6.0),
        ),
    ),
    facts=(
        Fact(-1.0, 0.0, "negative inputs give zero"),
        Fact(3.25, 3.25, "inputs between 0 and 6 pass"),
        Fact(7.0, 6.0, "saturates at 6"),
        Fact(6.0, 0.0, "torch's convention at the upper kink", order=1),
        Fact(0.0, 0.0, "torch's convention at the lower kink", order=1),
    ),
)
