"""Bodies that activations were replaced by to see what OpenVINO makes of them in INT8: openvino nodes, built on a port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino.opset15 as ops

from edgeacts.quantization.openvino_curves import Curve, build_curve
from edgeacts.quantization.openvino_fits import Gate
from edgeacts.quantization.openvino_units import build_gate

Build = Callable[[Any], Any]


def number(value: float) -> Any:
    """A float32 scalar."""
    return ops.constant(np.float32(value))


def polynomial(degree: int, *, odd: bool = False) -> Build:
    """m·P(t) with clips, P of this degree; odd: x·(1/2 + t·Q(t²)), Q of this degree. The values do not matter for time."""
    coefficients = tuple(0.1 * (-1) ** k for k in range(degree + 1))
    gate = Gate(-5.0, 2.5, not odd, False, odd, coefficients, 0.0)
    return build_gate(gate, "trial")


def _held(x: Any) -> tuple[Any, Any]:
    m = ops.maximum(x, number(-5.0))
    return m, ops.minimum(m, number(2.5))


def rational(x: Any) -> Any:
    """m·P2(t)/Q2(t)."""
    m, t = _held(x)
    top = ops.add(ops.multiply(ops.add(ops.multiply(t, number(0.1)), number(0.3)), t), number(1.0))
    below = ops.add(ops.multiply(ops.add(t, number(0.3)), t), number(7.0))
    return ops.multiply(m, ops.divide(top, below))


def squared(x: Any) -> Any:
    """m·P2(t)²."""
    m, t = _held(x)
    g = ops.add(ops.multiply(ops.add(ops.multiply(t, number(0.1)), number(0.2)), t), number(0.3))
    return ops.multiply(m, ops.multiply(g, g))


def square_root(x: Any) -> Any:
    """m·√P2(t)."""
    m, t = _held(x)
    g = ops.add(ops.multiply(ops.add(ops.multiply(t, number(0.1)), number(0.2)), t), number(3.0))
    return ops.multiply(m, ops.sqrt(g))


def exponential(x: Any) -> Any:
    """m·(a·exp(t) + b)."""
    m, t = _held(x)
    return ops.multiply(m, ops.add(ops.multiply(ops.exp(t), number(0.1)), number(0.2)))


def lines(x: Any) -> Any:
    """A sum of five ReLUs: piecewise linear."""
    y = ops.relu(x)
    for place in (-1.0, -0.5, 0.0, 0.5):
        y = ops.add(ops.multiply(ops.relu(ops.add(x, number(place))), number(0.1)), y)
    return y


def leaky_chain(x: Any) -> Any:
    """HSwish of two shifted LeakyReLUs: a chain that the convolution takes in."""
    for slope in (0.5, 0.6):
        x = ops.prelu(
            ops.add(x, ops.constant(np.array([0.3], np.float32))), ops.constant(np.array([slope], np.float32))
        )
    return ops.hswish(x)


def table_of_bytes(x: Any) -> Any:
    """u8 index, 256-entry Gather, f32."""
    index = ops.convert(ops.round(ops.clamp(ops.multiply(x, number(32.0)), 0.0, 255.0)), "u8")
    table = ops.constant(np.arange(256, dtype=np.uint8))
    return ops.convert(ops.gather(table, index, ops.constant(np.int64(0))), "f32")


def table_of_floats(x: Any) -> Any:
    """A quantizer's 256 levels as i32 index into a table of floats."""
    levels = ops.fake_quantize(x, number(-4), number(4), number(0), number(255), 256)
    table = ops.constant(np.linspace(-1, 8, 256, dtype=np.float32))
    return ops.gather(table, ops.convert(levels, "i32"), ops.constant(np.int64(0)))


def quantized_before(build: Build) -> Build:
    """A quantizer in front of the body as well."""
    return lambda x: build(ops.fake_quantize(x, number(-4), number(4), number(-4), number(4), 256))


def ratio_of_exponentials(x: Any) -> Any:
    """Mish as a rational in eˣ."""
    m = ops.maximum(x, number(-110.0))
    u = ops.exp(ops.minimum(m, number(20.0)))
    top = ops.multiply(u, ops.add(u, number(2.0)))
    return ops.multiply(m, ops.divide(top, ops.add(top, number(2.0))))


# name -> body; what OpenVINO has as one operation first.
OPERATIONS: dict[str, Build] = {
    "identity (no activation)": lambda x: ops.multiply(x, number(1.0)),
    "Relu": ops.relu,
    "Abs": ops.absolute,
    "Clamp": lambda x: ops.clamp(x, 0.0, 6.0),
    "Round": lambda x: ops.round(x),
    "PRelu (LeakyReLU)": lambda x: ops.prelu(x, ops.constant(np.array([0.15], np.float32))),
    "HSwish": ops.hswish,
    "HSigmoid": ops.hsigmoid,
    "Sqrt of Abs": lambda x: ops.sqrt(ops.absolute(x)),
    "Exp": ops.exp,
    "Elu": lambda x: ops.elu(x, 1.0),
    "Sigmoid": ops.sigmoid,
    "Swish": ops.swish,
    "Mish": ops.mish,
    "Gelu (erf)": lambda x: ops.gelu(x, "erf"),
    "Gelu (tanh)": lambda x: ops.gelu(x, "tanh"),
    "SoftPlus": ops.softplus,
    "Tanh": ops.tanh,
}
FORMS: dict[str, Build] = {
    "x·tanh(eˣ)": lambda x: ops.multiply(x, ops.tanh(ops.exp(x))),
    "Mish as a rational in eˣ": ratio_of_exponentials,
    "m·(a·exp(t) + b)": exponential,
    "clips and a product alone": polynomial(0),
    **{f"m·P(t), degree {d}": polynomial(d) for d in (2, 3, 4, 5, 6, 7, 8)},
    **{f"x·(1/2 + t·Q(t²)), degree {d}": polynomial(d, odd=True) for d in (1, 2, 3)},
    "m·P2(t)²": squared,
    "m·√P2(t)": square_root,
    "m·P2(t)/Q2(t)": rational,
    "five ReLUs": lines,
    "a·HSwish(b·x + c) + d": build_curve(Curve(0.0, 1.0, 1.1, 0.2, 0.8, -0.1), "trial"),
    "a·HSwish of lines with a bend": build_curve(Curve(-0.3, 0.5, 1.1, 0.2, 0.8, -0.1), "trial"),
    "HSwish of two LeakyReLUs": leaky_chain,
    "table by Gather, u8": table_of_bytes,
    "table by Gather, f32": table_of_floats,
    "quantizer before, m·P(t), degree 5": quantized_before(polynomial(5)),
    "quantizer before, HSwish": quantized_before(ops.hswish),
}
