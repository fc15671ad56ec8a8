"""ReLU, max(0, x). Nair & Hinton 2010, Rectified Linear Units Improve Restricted Boltzmann Machines."""

from sympy import Max

from edgeacts.definition import Activation, Fact, Form, X

RELU = Activation(
    name="relu",
    formula=Max(0, X),
    source="Nair & Hinton 2010 (ICML)",
    left=0,
    right=X,
    forms=(Form("native", 0.0, "ONNX Relu", native="Relu"),),
    facts=(
        Fact(-2.5, 0.0, "negative inputs give zero"),
        Fact(2.5, 2.5, "positive inputs pass"),
        Fact(0.0, 0.0, "torch's convention at the kink", order=1),
    ),
)
