"""Stock activations in other people's files: each pattern in pairs, it fires and it must not fire.

Graphs are ONNX text in which a number in braces is a constant; `constant_style` says how the file holds it.
"""

import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from torch import Tensor, nn

from edgeacts import oracles
from edgeacts.acceleration import patterns
from edgeacts.acceleration.patterns import Recognised, recognise
from edgeacts.acceleration.patterns_matching import Op, X
from edgeacts.acceleration.patterns_stock import PATTERNS, Pattern
from edgeacts.activations import catalogue
from edgeacts.definition import Activation

_SHAPE = "2,8,5,5"
_BY_OPERATOR = {a.operator: a for a in catalogue().values()}

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
    inputs: str = f"float[{_SHAPE}] x",
    outputs: str = f"float[{_SHAPE}] y",
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


@dataclass(frozen=True)
class Case:
    """A graph from x to y that is all of it one activation."""

    pattern: str
    body: str
    operator: str
    parameters: dict[str, float] = field(default_factory=dict)
    opset: int = 18
    imports: str = ""


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

CASES = {
    "mish": Case("native Mish", "y = Mish(x)", "Mish"),
    "hardswish": Case("native HardSwish", "y = HardSwish(x)", "HardSwish", opset=14),
    "gelu": Case("native Gelu", "y = Gelu(x)", "Gelu", opset=20),
    "gelu none": Case("native Gelu", 'y = Gelu<approximate = "none">(x)', "Gelu", opset=20),
    "swish": Case("native Swish", "y = Swish(x)", "Silu", SILU, opset=24),
    "swish alpha": Case("native Swish", "y = Swish<alpha = 1.5>(x)", "Silu", {"beta": 1.5}, opset=24),
    "ms gelu": Case("com.microsoft Gelu", "y = com.microsoft.Gelu(x)", "Gelu", imports=MS),
    "ms quick": Case(
        "com.microsoft QuickGelu", "y = com.microsoft.QuickGelu(x)", "Silu", {"beta": 1.702}, imports=MS
    ),
    "ms quick alpha": Case(
        "com.microsoft QuickGelu",
        "y = com.microsoft.QuickGelu<alpha = 0.7>(x)",
        "Silu",
        {"beta": 0.7},
        imports=MS,
    ),
    "silu": Case("x*Sigmoid(x)", "s = Sigmoid(x) y = Mul(x, s)", "Silu", SILU),
    "silu reversed": Case("x*Sigmoid(x)", "s = Sigmoid(x) y = Mul(s, x)", "Silu", SILU),
    "silu old": Case("x*Sigmoid(x)", "s = Sigmoid(x) y = Mul(s, x)", "Silu", SILU, opset=7),
    "swish beta": Case(
        "x*Sigmoid(beta*x)", "b = Mul(x, {1.702}) s = Sigmoid(b) y = Mul(x, s)", "Silu", {"beta": 1.702}
    ),
    "swish beta reversed": Case(
        "x*Sigmoid(beta*x)", "b = Mul({-0.5}, x) s = Sigmoid(b) y = Mul(s, x)", "Silu", {"beta": -0.5}
    ),
    "hard sigmoid": Case(
        "x*HardSigmoid(x)", "h = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(x, h)", "HardSwish"
    ),
    "hard sigmoid default beta": Case(
        "x*HardSigmoid(x)", "h = HardSigmoid<alpha = 0.16666667>(x) y = Mul(h, x)", "HardSwish"
    ),
    "(x*clip)/6": Case(HS, f"{CLIP} m = Mul(x, c) y = Div(m, {{6.0}})", "HardSwish"),
    "(clip*x)*(1/6)": Case(HS, f"{CLIP} m = Mul(c, x) y = Mul(m, {SIXTH})", "HardSwish"),
    "x*(clip/6)": Case(HS, f"{CLIP} m = Div(c, {{6.0}}) y = Mul(x, m)", "HardSwish"),
    "(clip*(1/6))*x": Case(HS, f"{CLIP} m = Mul({SIXTH}, c) y = Mul(m, x)", "HardSwish"),
    "(x/6)*clip": Case(HS, f"{CLIP} m = Div(x, {{6.0}}) y = Mul(c, m)", "HardSwish"),
    "(x*(1/6))*clip": Case(HS, f"{CLIP} m = Mul(x, {SIXTH}) y = Mul(m, c)", "HardSwish"),
    "old clip": Case(HS, f"{OLD_CLIP} m = Mul(x, c) y = Div(m, {{6.0}})", "HardSwish", opset=9),
    "old clip, x*(clip/6)": Case(HS, f"{OLD_CLIP} m = Div(c, {{6.0}}) y = Mul(x, m)", "HardSwish", opset=10),
    "tanh softplus": Case("x*Tanh(Softplus(x))", "s = Softplus(x) t = Tanh(s) y = Mul(t, x)", "Mish"),
    "tanh log exp": Case(
        "x*Tanh(Softplus(x))", "e = Exp(x) p = Add(e, {1.0}) l = Log(p) t = Tanh(l) y = Mul(x, t)", "Mish"
    ),
    "tanh log exp reversed": Case(
        "x*Tanh(Softplus(x))", "e = Exp(x) p = Add({1.0}, e) l = Log(p) t = Tanh(l) y = Mul(t, x)", "Mish"
    ),
    "tanh of torch's softplus": Case(
        "x*Tanh(Softplus(x))",
        "p = Greater(x, {20.0}) s = Softplus(x) w = Where(p, x, s) t = Tanh(w) y = Mul(x, t)",
        "Mish",
    ),
    "tanhexp": Case("x*Tanh(Exp(x))", "e = Exp(x) t = Tanh(e) y = Mul(x, t)", "TanhExp"),
    "tanhexp reversed": Case("x*Tanh(Exp(x))", "e = Exp(x) t = Tanh(e) y = Mul(t, x)", "TanhExp"),
    "(x*erf)*0.5": Case(ERF, f"{GATE} m = Mul(x, g) y = Mul(m, {{0.5}})", "Gelu"),
    "0.5*(erf*x)": Case(ERF, f"{GATE} m = Mul(g, x) y = Mul({{0.5}}, m)", "Gelu"),
    "(x*erf)/2": Case(ERF, f"{GATE} m = Mul(x, g) y = Div(m, {{2.0}})", "Gelu"),
    "(x*0.5)*erf": Case(ERF, f"{GATE} m = Mul(x, {{0.5}}) y = Mul(m, g)", "Gelu"),
    "erf*(0.5*x)": Case(ERF, f"{GATE} m = Mul({{0.5}}, x) y = Mul(g, m)", "Gelu"),
    "x*(erf*0.5)": Case(ERF, f"{GATE} m = Mul(g, {{0.5}}) y = Mul(x, m)", "Gelu"),
    "erf of a product": Case(
        ERF,
        f"d = Mul(x, {HALF_ROOT}) e = Erf(d) g = Add({{1.0}}, e) m = Mul(x, {{0.5}}) y = Mul(m, g)",
        "Gelu",
    ),
    "seven digits": Case(
        ERF, "d = Mul({0.7071068}, x) e = Erf(d) g = Add(e, {1.0}) m = Mul(x, g) y = Mul(m, {0.5})", "Gelu"
    ),
    "nish": Case(
        NISH,
        "p = GreaterOrEqual(x, {0.0}) s = Sigmoid(x) n = Sin(x) a = Add(x, n) m = Mul(s, a) y = Where(p, x, m)",
        "Nish",
    ),
    "nish >": Case(
        NISH,
        "p = Greater(x, {0.0}) s = Sigmoid(x) n = Sin(x) a = Add(n, x) m = Mul(a, s) y = Where(p, x, m)",
        "Nish",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_fires_and_is_what_the_graph_computes(case: Case) -> None:
    model = graph(case.body, opset=case.opset, imports=case.imports)
    before = model.SerializeToString()
    result, found = recognise(model)
    assert found == [Recognised("y", case.pattern, case.operator, case.parameters, "y")]
    assert model.SerializeToString() == before, "the caller's model was changed"
    assert_sane(result)
    (node,) = result.graph.node
    assert (node.domain, node.op_type, list(node.input), list(node.output)) == (
        "edgeacts",
        case.operator,
        ["x"],
        ["y"],
    )
    assert {a.name: a.f for a in node.attribute} == pytest.approx(case.parameters, rel=1e-7)
    assert all(a.type == onnx.AttributeProto.FLOAT for a in node.attribute)
    assert not result.graph.initializer
    assert [(o.domain, o.version) for o in result.opset_import if o.domain == "edgeacts"] == [("edgeacts", 1)]
    x = inputs()
    check_values(_BY_OPERATOR[case.operator], case.parameters, x, run(model, x)[0])


def check_values(
    definition: Activation, parameters: dict[str, float], x: NDArray[np.float32], got: NDArray[Any]
) -> None:
    """The file's own arithmetic, in ONNX Runtime, against the definition."""
    true = oracles.float64(definition, x, **parameters)
    assert got.shape == true.shape
    assert np.isfinite(got).all()
    off = np.abs(got - true) / np.maximum(1, np.abs(x))
    assert off.max() <= 1e-5, f"x = {x.flat[off.argmax()]}"


def test_every_pattern_has_a_case_that_fires() -> None:
    assert {p.name for p in PATTERNS} == {c.pattern for c in CASES.values()}


def test_operators_and_parameters_are_the_catalogues() -> None:
    for pattern in PATTERNS:
        definition = _BY_OPERATOR[pattern.operator]
        for case in CASES.values():
            if case.pattern == pattern.name:
                assert set(case.parameters) == {p.name for p in definition.parameters}


_WITH_CONSTANTS = [name for name, case in CASES.items() if "{" in case.body]


@pytest.mark.parametrize("constants", CONSTANT_STYLES)
@pytest.mark.parametrize("name", _WITH_CONSTANTS)
def test_however_the_file_holds_its_constants(name: str, constants: str) -> None:
    case = CASES[name]
    result, found = recognise(graph(case.body, opset=case.opset, imports=case.imports, constants=constants))
    assert [f.pattern for f in found] == [case.pattern]
    assert len(result.graph.node) == 1, "what only the match used is gone"
    assert not result.graph.initializer


# ---- it must not fire

QUIET = {
    "another tensor gates": "s = Sigmoid(z) y = Mul(x, s)",
    "another tensor is gated": "t = Tanh(z) s = Softplus(t) u = Tanh(s) y = Mul(x, u)",
    "squeeze and excite": "p = GlobalAveragePool(x) s = Sigmoid(p) y = Mul(x, s)",
    "hard squeeze and excite": "p = GlobalAveragePool(x) h = HardSigmoid<alpha = 0.16666667>(p) y = Mul(x, h)",
    "hardswish of two tensors": "a = Add(z, {3.0}) c = Clip(a, {0.0}, {6.0}) m = Mul(x, c) y = Div(m, {6.0})",
    "erf of another tensor": f"d = Div(z, {ROOT}) e = Erf(d) g = Add(e, {{1.0}}) m = Mul(x, g) y = Mul(m, {{0.5}})",
    "nish with another branch": "p = Greater(x, {0.0}) s = Sigmoid(x) n = Sin(x) a = Add(x, n) m = Mul(s, a) y = Where(p, z, m)",
    "nish with another condition": "p = Greater(z, {0.0}) s = Sigmoid(x) n = Sin(x) a = Add(x, n) m = Mul(s, a) y = Where(p, x, m)",
    "nish the other way round": "p = Greater(x, {0.0}) s = Sigmoid(x) n = Sin(x) a = Add(x, n) m = Mul(s, a) y = Where(p, m, x)",
    "nish from 1 on": "p = Greater(x, {1.0}) s = Sigmoid(x) n = Sin(x) a = Add(x, n) m = Mul(s, a) y = Where(p, x, m)",
    "nish below 0": "p = Less(x, {0.0}) s = Sigmoid(x) n = Sin(x) a = Add(x, n) m = Mul(s, a) y = Where(p, x, m)",
    "no sine": "p = Greater(x, {0.0}) s = Sigmoid(x) n = Cos(x) a = Add(x, n) m = Mul(s, a) y = Where(p, x, m)",
    "sigmoid alone": "y = Sigmoid(x)",
    "sigmoid squared": "s = Sigmoid(x) y = Mul(s, s)",
    "sum instead of product": "s = Sigmoid(x) y = Add(x, s)",
    "quotient": "s = Sigmoid(x) y = Div(x, s)",
    "tanh alone": "t = Tanh(x) y = Mul(x, t)",
    "softplus alone": "s = Softplus(x) y = Mul(x, s)",
    "softplus cut at 2": "p = Greater(x, {2.0}) s = Softplus(x) w = Where(p, x, s) t = Tanh(w) y = Mul(x, t)",
    "softplus of another tensor": "p = Greater(x, {20.0}) s = Softplus(z) w = Where(p, x, s) t = Tanh(w) y = Mul(x, t)",
    "log without the 1": "e = Exp(x) p = Add(e, {1.5}) l = Log(p) t = Tanh(l) y = Mul(x, t)",
    "the inner result is used": "s = Sigmoid(x) m = Mul(x, s) y = Add(m, s)",
    "an inner result deeper is used": "s = Softplus(x) t = Tanh(s) m = Mul(x, t) y = Sub(m, s)",
    "default HardSigmoid": "h = HardSigmoid(x) y = Mul(x, h)",
    "HardSigmoid beta": "h = HardSigmoid<alpha = 0.16666667, beta = 0.6>(x) y = Mul(x, h)",
    "HardSigmoid in five digits": "h = HardSigmoid<alpha = 0.16667>(x) y = Mul(x, h)",
    "Add 2.5": "a = Add(x, {2.5}) c = Clip(a, {0.0}, {6.0}) m = Mul(x, c) y = Div(m, {6.0})",
    "Clip to 5": "a = Add(x, {3.0}) c = Clip(a, {0.0}, {5.0}) m = Mul(x, c) y = Div(m, {6.0})",
    "Clip from -1": "a = Add(x, {3.0}) c = Clip(a, {-1.0}, {6.0}) m = Mul(x, c) y = Div(m, {6.0})",
    "Clip without a maximum": "a = Add(x, {3.0}) c = Clip(a, {0.0}) m = Mul(x, c) y = Div(m, {6.0})",
    "Clip without a minimum": 'a = Add(x, {3.0}) c = Clip(a, "", {6.0}) m = Mul(x, c) y = Div(m, {6.0})',
    "times 6": f"{CLIP} m = Mul(x, c) y = Mul(m, {{6.0}})",
    "over 1/6": f"{CLIP} m = Mul(x, c) y = Div(m, {SIXTH})",
    "6 over it": f"{CLIP} m = Mul(x, c) y = Div({{6.0}}, m)",
    "not over 6": f"{CLIP} y = Mul(x, c)",
    "0.707": "d = Mul(x, {0.707}) e = Erf(d) g = Add(e, {1.0}) m = Mul(x, g) y = Mul(m, {0.5})",
    "six digits": "d = Mul(x, {0.707108}) e = Erf(d) g = Add(e, {1.0}) m = Mul(x, g) y = Mul(m, {0.5})",
    "1.414 divides": "d = Div(x, {1.414}) e = Erf(d) g = Add(e, {1.0}) m = Mul(x, g) y = Mul(m, {0.5})",
    "times the root": f"d = Mul(x, {ROOT}) e = Erf(d) g = Add(e, {{1.0}}) m = Mul(x, g) y = Mul(m, {{0.5}})",
    "the root over x": f"d = Div({ROOT}, x) e = Erf(d) g = Add(e, {{1.0}}) m = Mul(x, g) y = Mul(m, {{0.5}})",
    "not halved": f"{GATE} y = Mul(x, g)",
    "halved twice": f"{GATE} m = Mul(x, g) y = Mul(m, {{0.25}})",
    "erf without the 1": f"d = Div(x, {ROOT}) e = Erf(d) m = Mul(x, e) y = Mul(m, {{0.5}})",
    "ReLU": "y = Relu(x)",
    "Leaky ReLU": "y = LeakyRelu<alpha = 0.1>(x)",
    "ReLU6": "y = Clip(x, {0.0}, {6.0})",
}


def assert_quiet(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    result, found = recognise(model)
    assert found == []
    assert result is not model
    assert result.SerializeToString() == model.SerializeToString()


@pytest.mark.parametrize("body", QUIET.values(), ids=QUIET)
def test_it_does_not_fire(body: str) -> None:
    assert_quiet(graph(body, inputs=f"float[{_SHAPE}] x, float[{_SHAPE}] z"))


def test_the_tanh_approximation_is_not_the_exact_gelu() -> None:
    assert_quiet(graph('y = Gelu<approximate = "tanh">(x)', opset=20))


def test_the_written_tanh_approximation_is_not_gelu() -> None:
    body = """x2 = Mul(x, x) x3 = Mul(x2, x) k = Mul(x3, {0.044715}) a = Add(x, k) b = Mul(a, {0.7978845608028654})
    t = Tanh(b) g = Add(t, {1.0}) m = Mul(x, g) y = Mul(m, {0.5})"""
    assert_quiet(graph(body))


@pytest.mark.parametrize("operator", ["Mish", "HardSwish", "Gelu", "Swish", "QuickGelu"])
def test_somebody_elses_operator_of_the_same_name_is_not_ours(operator: str) -> None:
    assert_quiet(graph(f"y = my.domain.{operator}(x)", imports=', "my.domain" : 1'))


@pytest.mark.parametrize("inner", ["my.domain.Sigmoid(x)", "my.domain.Identity(x)"])
def test_somebody_elses_gate(inner: str) -> None:
    assert_quiet(graph(f"s = {inner} y = Mul(x, s)", imports=', "my.domain" : 1'))


def test_an_operator_with_one_input_more() -> None:
    two = f"float[{_SHAPE}] x, float[{_SHAPE}] z"
    assert_quiet(graph("y = com.microsoft.Gelu(x, z)", imports=MS, inputs=two))


def test_an_attribute_that_the_pattern_does_not_know() -> None:
    assert_quiet(graph("s = Sigmoid(x) y = Mul<broadcast = 1, axis = 0>(x, s)", opset=6))
    assert len(recognise(graph("s = Sigmoid(x) y = Mul(x, s)", opset=6))[1]) == 1


def test_a_constant_of_another_type_tells_the_type() -> None:
    body = "u = my.domain.Unknown(x) b = Mul(u, beta) s = Sigmoid(b) m = Mul(u, s) y = my.domain.Unknown(m)"
    imports = ', "my.domain" : 1'
    assert_quiet(graph(body, imports=imports, weights="double beta = {1.5}"))
    assert len(recognise(graph(body, imports=imports, weights="float beta = {1.5}"))[1]) == 1


def test_onnx_domain_by_its_long_name() -> None:
    model = graph("y = Mish(x)")
    model.graph.node[0].domain = model.opset_import[0].domain = "ai.onnx"
    assert [f.operator for f in recognise(model)[1]] == ["Mish"]


def test_an_operator_of_ours_stays_as_it_is() -> None:
    model = graph("t = edgeacts.Mish(x) y = edgeacts.Silu<beta = 2.0>(t)", imports=', "edgeacts" : 1')
    assert_quiet(model)


def test_ours_and_a_stock_one_import_the_domain_once() -> None:
    result, found = recognise(graph("t = edgeacts.Nish(x) y = Mish(t)", imports=', "edgeacts" : 1'))
    assert [f.operator for f in found] == ["Mish"]
    assert [n.op_type for n in ours(result)] == ["Nish", "Mish"]
    assert_sane(result)


def test_a_model_with_local_functions_is_left_as_it_is() -> None:
    model = parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
    g (float[{_SHAPE}] x) => (float[{_SHAPE}] y) {{ t = local.f(x) y = Mish(t) }}
    <domain: "local", opset_import: ["" : 18]> f (a) => (b) {{ s = Sigmoid(a) b = Mul(a, s) }}""")
    assert_quiet(model)


@pytest.mark.parametrize("element", ["float16", "double", "bfloat16"])
@pytest.mark.parametrize(
    "body", ["y = Mish(x)", "s = Sigmoid(x) y = Mul(x, s)", "e = Exp(x) t = Tanh(e) y = Mul(x, t)"]
)
def test_other_element_types(body: str, element: str) -> None:
    opset = 22 if element == "bfloat16" else 18
    result, found = recognise(graph(body, element=element, opset=opset))
    assert found == []
    assert not ours(result)


def test_the_element_type_is_inferred_where_it_is_not_declared() -> None:
    body = "h = Cast<to = 10>(x) s = Sigmoid(h) m = Mul(h, s) y = Cast<to = 1>(m)"
    assert_quiet(graph(body))
    assert len(recognise(graph(body.replace("10", "1")))[1]) == 1


def test_it_fires_where_the_element_type_is_unknown() -> None:
    body = "u = my.domain.Unknown(x) s = Sigmoid(u) m = Mul(u, s) y = my.domain.Unknown(m)"
    assert len(recognise(graph(body, imports=', "my.domain" : 1'))[1]) == 1


def test_a_declared_type_of_the_result_counts_as_well() -> None:
    body = "u = my.domain.Unknown(x) s = Sigmoid(u) y = Mul(u, s)"
    assert_quiet(graph(body, imports=', "my.domain" : 1', outputs=f"float16[{_SHAPE}] y"))


@pytest.mark.parametrize("shape", ["[8,1,1]", "[1,8,1,1]", "[5]"])
def test_a_parameter_per_channel_is_not_a_scalar(shape: str) -> None:
    count = max(int(n) for n in shape[1:-1].split(","))
    weights = f"float{shape} beta = {{{', '.join(['1.5'] * count)}}}"
    assert_quiet(graph("b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)", weights=weights))


def test_a_computed_parameter_is_not_constant() -> None:
    assert_quiet(
        graph("b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)", inputs=f"float[{_SHAPE}] x, float beta")
    )


def test_an_initializer_that_callers_may_override_is_not_constant() -> None:
    body = "b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)"
    weights = "float beta = {1.5}"
    assert_quiet(graph(body, inputs=f"float[{_SHAPE}] x, float beta", weights=weights))
    assert len(recognise(graph(body, weights=weights))[1]) == 1


@pytest.mark.parametrize("number", ["inf", "nan"])
def test_a_parameter_that_is_not_finite(number: str) -> None:
    model = graph("b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)", weights="float beta = {1.5}")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(float(number), np.float32), "beta"))
    assert_quiet(model)


def test_a_constant_in_another_file_is_not_looked_for() -> None:
    model = graph("b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)", weights="float beta = {1.5}")
    tensor = model.graph.initializer[0]
    del tensor.float_data[:]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    assert recognise(model)[1] == []


def test_a_constant_that_adds_dimensions_is_refused() -> None:
    body = "b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)"
    weights = "float[1,1,1,1] beta = {1.5}"
    assert_quiet(graph(body, inputs="float[4,8] x", outputs="float[1,1,4,8] y", weights=weights))
    assert len(recognise(graph(body, weights=weights))[1]) == 1
    unknown = "x = my.domain.Unknown(i) " + body
    arguments: dict[str, Any] = {"imports": ', "my.domain" : 1', "inputs": f"float[{_SHAPE}] i"}
    open_ended = graph(unknown, weights=weights, **arguments)
    open_ended.graph.output[0].type.tensor_type.ClearField("shape")
    assert recognise(open_ended)[1] == []


@pytest.mark.parametrize("inner", ["s", "t"])
def test_an_inner_result_that_is_an_output_stays(inner: str) -> None:
    outputs = f"float[{_SHAPE}] y, float[{_SHAPE}] {inner}"
    assert_quiet(graph("s = Softplus(x) t = Tanh(s) y = Mul(x, t)", outputs=outputs))


_IF = """p = ReduceMax<keepdims = 0>(x) q = Greater(p, {{0.0}}) s = Sigmoid(x) m = Mul(x, s)
y = If(q) <then_branch = a () => (float[2,8,5,5] u) {{ u = Identity({then}) }},
           else_branch = b () => (float[2,8,5,5] v) {{ v = Identity(m) }}>"""


def test_a_result_read_inside_a_subgraph_is_used() -> None:
    assert_quiet(graph(_IF.format(then="s")))


def test_input_and_output_may_be_read_inside_a_subgraph() -> None:
    model = graph(_IF.format(then="x"))
    result, found = recognise(model)
    assert [f.output for f in found] == ["m"]
    assert_sane(result)
    assert [n.op_type for n in result.graph.node] == ["ReduceMax", "Greater", "Silu", "If"]


def test_subgraphs_are_not_searched() -> None:
    body = """p = ReduceMax<keepdims = 0>(x) q = Greater(p, {0.0})
    y = If(q) <then_branch = a () => (float[2,8,5,5] u) { u = Mish(x) },
               else_branch = b () => (float[2,8,5,5] v) { s = Sigmoid(x) v = Mul(x, s) }>"""
    assert_quiet(graph(body))


# ---- several in one graph


def test_two_in_a_row_and_what_stands_around_them() -> None:
    body = """w = Relu(x) e = Exp(w) t = Tanh(e) m = Mul(w, t) s = Sigmoid(m) n = Mul(s, m) y = Neg(n)"""
    result, found = recognise(graph(body))
    assert [(f.operator, f.output) for f in found] == [("TanhExp", "m"), ("Silu", "n")]
    assert [n.op_type for n in result.graph.node] == ["Relu", "TanhExp", "Silu", "Neg"]
    assert_sane(result)


def test_the_larger_of_two_nested_patterns_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    small = X * Op("Sigmoid", X)
    table = patterns._by_root([Pattern("small", "Silu", small), Pattern("large", "Mish", Op("Neg", small))])
    monkeypatch.setattr(patterns, "_BY_ROOT", table)
    result, found = recognise(graph("s = Sigmoid(x) m = Mul(x, s) y = Neg(m)"))
    assert [f.pattern for f in found] == ["large"]
    assert [n.op_type for n in result.graph.node] == ["Mish"]


def test_two_patterns_of_the_same_input() -> None:
    body = "s = Sigmoid(x) e = Exp(x) t = Tanh(e) a = Mul(x, t) b = Mul(x, s) y = Add(a, b)"
    result, found = recognise(graph(body))
    assert [f.operator for f in found] == ["TanhExp", "Silu"]
    assert_sane(result)


def test_a_gate_that_two_products_share_is_used_elsewhere() -> None:
    assert_quiet(graph("s = Sigmoid(x) a = Mul(x, s) b = Mul(s, x) y = Add(a, b)"))


def test_nodes_between_the_parts_stay_in_order() -> None:
    body = "s = Sigmoid(x) r = Relu(x) e = Exp(r) m = Mul(x, s) y = Add(m, e)"
    result, _ = recognise(graph(body))
    assert [n.op_type for n in result.graph.node] == ["Relu", "Exp", "Silu", "Add"]
    assert_sane(result)


def test_a_shared_constant_stays_for_its_other_reader() -> None:
    body = f"{CLIP} m = Mul(x, c) d = Div(m, {{6.0}}) y = Add(d, {{3.0}})"
    for constants in SCALAR_STYLES:
        result, found = recognise(graph(body, constants=constants))
        assert len(found) == 1
        assert_sane(result)
        left = [t.name for t in result.graph.initializer]
        left += [n.output[0] for n in result.graph.node if n.op_type == "Constant"]
        assert left == ["c0"]


def test_a_constant_shared_by_two_activations_goes() -> None:
    body = f"{CLIP} m = Mul(x, c) d = Div(m, {{6.0}}) f = Add(d, {{3.0}}) h = Clip(f, {{0.0}}, {{6.0}}) n = Mul(h, d) y = Div(n, {{6.0}})"
    result, found = recognise(graph(body))
    assert [f.operator for f in found] == ["HardSwish", "HardSwish"]
    assert not result.graph.initializer


def test_everything_else_is_kept() -> None:
    model = graph(
        "s = Sigmoid(x) m = Mul(x, s) y = Mul(m, w)",
        weights="float[8,1,1] w = {1, 2, 3, 4, 5, 6, 7, 8}, float unused = {9}",
    )
    model.metadata_props.add(key="who", value="somebody")
    model.producer_name = "elsewhere"
    model.graph.node[1].name = "block.1/act"
    model.graph.node[1].metadata_props.add(key="scope", value="block.1")
    model.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 8, 5, 5]) for n in ("s", "m")
    )
    result, found = recognise(model)
    assert [(f.node, f.output) for f in found] == [("block.1/act", "m")]
    assert result.graph.initializer == model.graph.initializer
    assert result.metadata_props == model.metadata_props
    assert result.producer_name == "elsewhere"
    assert (result.graph.input, result.graph.output) == (model.graph.input, model.graph.output)
    assert [v.name for v in result.graph.value_info] == ["m"]
    (node,) = ours(result)
    assert (node.name, node.metadata_props[0].value) == ("block.1/act", "block.1")
    assert_sane(result)


def test_only_what_is_wanted_is_replaced() -> None:
    asked: list[tuple[str, dict[str, float]]] = []

    def wanted(operator: str, parameters: Any) -> bool:
        asked.append((operator, dict(parameters)))
        return bool(operator == "Mish")

    result, found = recognise(graph("s = Sigmoid(x) m = Mul(x, s) y = Mish(m)"), wanted)
    assert [f.operator for f in found] == ["Mish"]
    assert [n.op_type for n in result.graph.node] == ["Sigmoid", "Mul", "Mish"]
    assert ("Silu", {"beta": 1.0}) in asked


def test_a_deep_network_takes_a_moment() -> None:
    blocks = 1000
    body = " ".join(
        f"a{i} = Add(x{i}, {{3.0}}) b{i} = Clip(a{i}, {{0.0}}, {{6.0}}) m{i} = Mul(x{i}, b{i}) d{i} = Div(m{i}, {{6.0}}) x{i + 1} = Neg(d{i})"
        for i in range(blocks)
    )
    model = graph(
        body, inputs=f"float[{_SHAPE}] x0", outputs=f"float[{_SHAPE}] x{blocks}", constants="Constant value"
    )
    began = time.perf_counter()
    result, found = recognise(model)
    assert len(found) == blocks
    assert len(result.graph.node) == 2 * blocks
    assert time.perf_counter() - began < 5


# ---- as torch exports


class _WrittenMish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.tanh(nn.functional.softplus(x))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("opset", [18, 20])
def test_what_torch_exports(opset: int) -> None:
    activations = [nn.Mish(), nn.SiLU(), nn.GELU(), nn.Hardswish(), _WrittenMish()]
    expected = ["Mish", "Silu", "Gelu", "HardSwish", "Mish"]
    torch.manual_seed(0)
    layers = [m for a in activations for m in (nn.Conv2d(3, 3, 1), a)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about itself
        program = torch.onnx.export(
            nn.Sequential(*layers).eval(),
            (torch.randn(1, 3, 4, 4),),
            dynamo=True,
            opset_version=opset,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    result, found = recognise(model)
    assert [f.operator for f in found] == expected
    assert_sane(result)
    assert [n.op_type for n in result.graph.node] == [op for e in expected for op in ("Conv", e)]
    _each_alone(model, found)


def _each_alone(model: onnx.ModelProto, found: list[Recognised]) -> None:
    """Each activation's own nodes, cut out of the original, against the definition."""
    result, _ = recognise(model)
    sources = {n.output[0]: n.input[0] for n in ours(result)}
    original = onnx.shape_inference.infer_shapes(model)
    for one in found:
        part = onnx.utils.Extractor(original).extract_model([sources[one.output]], [one.output])
        x = inputs((1, 3, 4, 4))
        check_values(_BY_OPERATOR[one.operator], dict(one.parameters), x, run(part, x)[0])
