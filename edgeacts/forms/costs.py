"""What a form is expected to cost where nothing was measured: a sum over its operations, by runtime.

In hundredths of MobileNetV2 with ReLU (1.0 at 224x224, float32, one thread), from single operations put in the place of each
activation of that network and measured on an AVX2 machine. `edgeacts tune` measures the forms themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import onnx

from edgeacts.forms.choice import Choice
from edgeacts.forms.functions import function
from edgeacts.program import Program


@dataclass(frozen=True)
class Costs:
    """`ops` by ONNX operator; `extra_pass` once for everything that is not one native operator; `other` for unlisted ones."""

    ops: Mapping[str, float]
    extra_pass: float
    other: float


COSTS: Mapping[str, Costs] = MappingProxyType(
    {
        # Element-wise chains are compiled into one pass; ONNX `Mish`, `Gelu`, ... into the convolution before them.
        "openvino": Costs(
            MappingProxyType(
                {
                    "Constant": 0.0, "Identity": 0.0, "Relu": 0.0, "LeakyRelu": 2.0, "PRelu": 3.0, "Clip": 1.0, "HardSwish": 4.0,
                    "Mish": 47.0, "Gelu": 62.0, "Sigmoid": 45.0, "Exp": 20.0, "Tanh": 240.0, "Erf": 60.0, "Sin": 250.0,
                    "Cos": 250.0, "Atan": 250.0, "Softplus": 60.0, "Log": 60.0, "Sqrt": 4.0, "Pow": 40.0, "Div": 4.0,
                    "Add": 1.5, "Sub": 1.5, "Mul": 1.5, "Max": 1.5, "Min": 1.5, "Abs": 1.5, "Neg": 1.5, "Where": 5.0,
                    "Less": 5.0, "Greater": 5.0, "LessOrEqual": 5.0, "IsNaN": 5.0,
                }
            ),
            extra_pass=6.0, other=30.0,
        ),
        # Every operation is a pass of its own.
        "onnxruntime": Costs(
            MappingProxyType(
                {
                    "Constant": 0.0, "Identity": 0.0, "Relu": 0.0, "LeakyRelu": 10.0, "PRelu": 15.0, "Clip": 0.0,
                    "HardSwish": 26.0,
                    "Mish": 1370.0, "Gelu": 70.0, "Sigmoid": 20.0, "Exp": 35.0, "Tanh": 60.0, "Erf": 40.0, "Sin": 350.0,
                    "Cos": 350.0, "Atan": 350.0, "Softplus": 1000.0, "Log": 500.0, "Sqrt": 15.0, "Pow": 400.0,
                }
            ),
            extra_pass=0.0, other=14.0,
        ),
    }
)  # fmt: skip


def predicted(choice: Choice, runtime: str) -> float:
    """The expected cost of a form, in hundredths of the network with ReLU."""
    return operators_cost(function(choice), runtime)


def operators_cost(body: onnx.FunctionProto, runtime: str) -> float:
    """The same of a function."""
    table = COSTS[runtime]
    operators = [node.op_type for node in body.node]
    working = [op for op in operators if op not in ("Constant", "Identity")]
    cost = sum(table.ops.get(op, table.other) for op in operators)
    return cost + (table.extra_pass if len(working) > 1 else 0.0)


def steps_cost(program: Program) -> float:
    """By which fitted programs are ordered before anything is certified: operations, divisions three times."""
    weight = {"div": 3.0, "square": 0.7}
    return sum(weight.get(op, 1.0) for op in program.operators())
