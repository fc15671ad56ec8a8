"""How far a candidate may be from the formula, as |error|/max(1, |x|): its stated bound and what rounding adds. One table.

A bound is stated for exact arithmetic. A runtime adds the roundings of its operations in the precision that it executes, and
of the result, and of constants, in the type of the model.
"""

from __future__ import annotations

from edgeacts.conformance.ulps import FLOAT_TYPES

_OF_PRECISION = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}

# Roundings to half a ULP of max(1, |x|) that the runtime's operations may add, each with its reason.
ROUNDINGS = {
    "onnxruntime": 10.0,  # a handful of operations; its Sigmoid, Tanh and Erf are right to a few 1e-8 absolutely
    "openvino": 34.0,  # its exponential and erf are polynomials of lower degree: 2e-6 in float32
}

# Of the model's own type, where it is narrower: two for the result, which OpenVINO 2026.4 makes a bfloat16 with up to a whole
# ULP of error where the CPU has none (it cuts off unless the last bit kept is 1); two for the constants and parameters that a
# converter rounded.
RESULT_AND_CONSTANTS = 4.0


def allowed_error(runtime: str, bound: float, dtype: str, executed: str) -> float:
    """Largest scaled error of a form with this bound; `executed` is a precision, or several joined by `+`."""
    units = [FLOAT_TYPES[_OF_PRECISION[name]].unit for name in executed.split("+") if name in _OF_PRECISION]
    computed = max(units, default=FLOAT_TYPES[dtype].unit)
    stored = FLOAT_TYPES[dtype].unit if dtype != "float32" else 0.0
    return bound + ROUNDINGS[runtime] * computed + RESULT_AND_CONSTANTS * stored
