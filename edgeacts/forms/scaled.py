"""Forms for a parameter per channel that scales x: f(x; s) = g(s·x)/s with g = f(·; 1), as x·sigmoid(βx) is SiLU(βx)/β.

Then one form of g, fitted or native, serves all channels: a product with s before it and a division by s behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import sympy
from onnx import helper

from edgeacts.activations import catalogue
from edgeacts.definition import Activation, X
from edgeacts.forms.choice import DOMAIN, Choice, allowed_error
from edgeacts.forms.choosing import choose_within
from edgeacts.forms.functions import function, operator_name
from edgeacts.forms.generating import subject_of
from edgeacts.tables.refusal import NotTabulated

_HALF_ULP = 2.0**-24


def unscaled(activation: Activation, scale: str, values: Mapping[str, float]) -> Activation | None:
    """g, the catalogue's own (at its defaults) if it is there; None where f(x; s) is not g(s·x)/s.

    The other parameters have `values`.
    """
    others = {n: v for n, v in values.items() if n != scale}
    settled, s = activation.fix(**others), sympy.Symbol(scale, real=True)
    one = settled.fix(**{scale: 1.0})
    difference = sympy.expand(s * settled.formula.subs(X, X / s) - one.formula)
    if difference != 0 and sympy.simplify(difference) != 0:
        return None
    same = (known for known in catalogue().values() if known.fix(**known.values()).formula == one.formula)
    return next(same, one)


def scaled_body(
    activation: Activation,
    points: Sequence[Mapping[str, float]],
    per_channel: Sequence[str],
    *,
    runtime: str,
    precision: str,
    tolerance: float,
    opset: int,
) -> tuple[Choice, onnx.FunctionProto] | None:
    """(choice, function of x and s) for the values that occur; None for functions that have no such form.

    An error of e·max(1, |u|) in g(u) is one of at most e·max(1, 1/|s|)·max(1, |x|) in f; the products round once each.
    """
    if len(per_channel) != 1:
        return None
    scale, allowed = per_channel[0], allowed_error(tolerance, precision)
    scales = np.abs([float(np.float32(p[scale])) for p in points])
    others = [{n: v for n, v in activation.values(p).items() if n != scale} for p in points]
    if scales.min() == 0 or any(one != others[0] for one in others):
        return None
    inner = unscaled(activation, scale, activation.values(points[0]))
    rounding = None if inner is None else _rounding(inner, float(scales.min()))
    widened = max(1.0, 1.0 / float(scales.min()))
    if inner is None or rounding is None or rounding >= allowed:
        return None
    chosen = choose_within(
        inner, (), runtime=runtime, precision=precision, allowed=(allowed - rounding) / widened, opset=opset
    )
    body = function(chosen, opset=opset)
    if any(a.ref_attr_name for node in body.node for a in node.attribute):
        return None  # of parameters of g, which the node does not carry
    bound = chosen.bound * widened + rounding
    reason = f"{inner.name} of {scale}·x, over {scale}: {chosen.reason}"
    choice = Choice(activation, chosen.form, bound, others[0], reason)
    return choice, _around(body, activation, scale, opset)


def _rounding(inner: Activation, smallest: float) -> float | None:
    """What rounding s·x and the quotient once each moves f by, of max(1, |x|); None for functions without lines as ends."""
    try:
        subject = subject_of(inner, {})
    except NotTabulated:
        return None
    x = np.unique(subject.scan)
    y = subject(x)
    slope = 1.1 * float(np.max(np.abs(np.diff(y) / np.diff(x))))
    return 2 * _HALF_ULP * (slope + float(np.abs(subject(np.zeros(1))[0])) / smallest)


def _around(inner: onnx.FunctionProto, activation: Activation, scale: str, opset: int) -> onnx.FunctionProto:
    names = {"x": "scaled", "y": "unscaled"}
    nodes = [helper.make_node("Mul", ["x", scale], ["scaled"])]
    for node in inner.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = [names.get(name, name) for name in node.input]
        copied.output[:] = [names.get(name, name) for name in node.output]
        nodes.append(copied)
    nodes.append(helper.make_node("Div", ["unscaled", scale], ["y"]))
    others = [p.name for p in activation.parameters if p.name != scale]
    return helper.make_function(
        DOMAIN, operator_name(activation, [scale]), ["x", scale], ["y"], nodes, [helper.make_opsetid("", opset)], others
    )  # fmt: skip
