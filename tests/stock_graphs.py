"""Stock activations as ONNX text in which a number in braces is a constant; `constants` says how the file holds it."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import parser

from edgeacts import oracles
from edgeacts.acceleration.patterns import recognise
from edgeacts.activations import catalogue
from edgeacts.definition import Activation

SHAPE = "2,8,5,5"
BY_OPERATOR = {a.operator: a for a in catalogue().values()}

Style = Callable[[str, str], tuple[str, str]]  # (name, number) -> (initializer, node)


def _initializer(shape: str) -> Style:
    return lambda name, number: (f"float{shape} {name} = {{{number}}}", "")


CONSTANT_STYLES: dict[str, Style] = {
    "initializer []": _initializer(""),
    "initializer [1]": _initializer("[1]"),
    "initializer [1,1,1,1]": _initializer("[1,1,1,1]"),
    "Constant value": lambda name, number: ("", f"{name} = Constant<value = float {{{number}}}>()"),
    "Constant value [1]": lambda name, number: ("", f"{name} = Constant<value = float[1] {{{number}}}>()"),
    "Constant value_float": lambda name, number: ("", f"{name} = Constant<value_float = {number}>()"),
    "Constant value_floats": lambda name, number: ("", f"{name} = Constant<value_floats = [{number}]>()"),
}
# Clip's bounds must have no dimensions.
SCALAR_STYLES = ("initializer []", "Constant value", "Constant value_float")


def graph(
    body: str,
    *,
    opset: int = 18,
    inputs: str = f"float[{SHAPE}] x",
    outputs: str = f"float[{SHAPE}] y",
    constants: str = "initializer []",
    imports: str = "",
    weights: str = "",
    element: str = "float",
) -> onnx.ModelProto:
    """A model from the body's text; {3.0} is a constant."""
    held: list[str] = [weights] if weights else []
    nodes: list[str] = []
    names: dict[str, str] = {}

    def constant(found: re.Match[str]) -> str:
        number = found[1]
        if number not in names:
            names[number] = f"c{len(names)}"
            initializer, node = CONSTANT_STYLES[constants](names[number], number)
            held.extend([initializer] if initializer else [])
            nodes.extend([node] if node else [])
        return names[number]

    body = re.sub(r"\{(-?[\d.e-]+)\}", constant, body)
    text = f"""<ir_version: 8, opset_import: ["" : {opset}{imports}]>
    g ({inputs}) => ({outputs}) {"<" + ", ".join(held) + ">" if held else ""} {{
        {chr(10).join(nodes)}
        {body}
    }}"""
    return parser.parse_model(text.replace("float", element))


def run(model: onnx.ModelProto, x: NDArray[Any]) -> list[NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: x})
    return results


def inputs(shape: tuple[int, ...] = (2, 8, 5, 5)) -> NDArray[np.float32]:
    x = np.random.default_rng(0).uniform(-20, 20, shape).astype(np.float32)
    x.flat[:3] = -30, 0, 30
    return x


def assert_sane(model: onnx.ModelProto) -> None:
    """Every value is made once and before it is read; domains are imported; nothing hangs loose."""
    known = [v.name for v in model.graph.input]
    known += [t.name for t in model.graph.initializer if t.name not in known]
    for node in model.graph.node:
        assert all(name in known for name in node.input if name), (
            f"{node.name or node.output} reads what is not there yet"
        )
        known += list(node.output)
    assert len(known) == len(set(known))
    assert {v.name for v in model.graph.output} <= set(known)
    assert {v.name for v in model.graph.value_info} <= set(known)
    domains = [o.domain for o in model.opset_import]
    assert len(domains) == len(set(domains))
    assert {n.domain for n in model.graph.node} <= set(domains)


def ours(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [n for n in model.graph.node if n.domain == "edgeacts"]


MS = ', "com.microsoft" : 1'
SILU = {"beta": 1.0}
HALF_ROOT = "{0.7071067811865476}"
ROOT = "{1.4142135623730951}"
SIXTH = "{0.16666667}"
HS = "x*Clip(x+3,0,6)/6"
ERF = "x*(1+Erf(x/sqrt(2)))/2"
NISH = "Where(x>=0,x,Sigmoid(x)*(x+Sin(x)))"
CLIP = "a = Add(x, {3.0}) c = Clip(a, {0.0}, {6.0})"
OLD_CLIP = "a = Add({3.0}, x) c = Clip<min = 0.0, max = 6.0>(a)"
GATE = f"d = Div(x, {ROOT}) e = Erf(d) g = Add(e, {{1.0}})"


def check_values(
    definition: Activation, parameters: dict[str, float], x: NDArray[np.float32], got: NDArray[Any]
) -> None:
    """The file's own arithmetic, in ONNX Runtime, against the definition."""
    true = oracles.float64(definition, x, **parameters)
    assert got.shape == true.shape
    assert np.isfinite(got).all()
    off = np.abs(got - true) / np.maximum(1, np.abs(x))
    assert off.max() <= 1e-5, f"x = {x.flat[off.argmax()]}"


def assert_quiet(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    result, found = recognise(model)
    assert found == []
    assert result is not model
    assert result.SerializeToString() == model.SerializeToString()
