"""Stock activations in other people's files: what looks like one and must not fire."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from stock_graphs import CLIP, GATE, MS, ROOT, SHAPE, SIXTH, assert_quiet, assert_sane, graph, ours

from edgeacts.acceleration.patterns import recognise

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


@pytest.mark.parametrize("body", QUIET.values(), ids=QUIET)
def test_it_does_not_fire(body: str) -> None:
    assert_quiet(graph(body, inputs=f"float[{SHAPE}] x, float[{SHAPE}] z"))


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
    two = f"float[{SHAPE}] x, float[{SHAPE}] z"
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
    g (float[{SHAPE}] x) => (float[{SHAPE}] y) {{ t = local.f(x) y = Mish(t) }}
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
    assert_quiet(graph(body, imports=', "my.domain" : 1', outputs=f"float16[{SHAPE}] y"))


@pytest.mark.parametrize("shape", ["[8,1,1]", "[1,8,1,1]", "[5]"])
def test_a_parameter_per_channel_is_not_a_scalar(shape: str) -> None:
    count = max(int(n) for n in shape[1:-1].split(","))
    weights = f"float{shape} beta = {{{', '.join(['1.5'] * count)}}}"
    assert_quiet(graph("b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)", weights=weights))


def test_a_computed_parameter_is_not_constant() -> None:
    assert_quiet(
        graph("b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)", inputs=f"float[{SHAPE}] x, float beta")
    )


def test_an_initializer_that_callers_may_override_is_not_constant() -> None:
    body = "b = Mul(x, beta) s = Sigmoid(b) y = Mul(x, s)"
    weights = "float beta = {1.5}"
    assert_quiet(graph(body, inputs=f"float[{SHAPE}] x, float beta", weights=weights))
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
    arguments: dict[str, Any] = {"imports": ', "my.domain" : 1', "inputs": f"float[{SHAPE}] i"}
    open_ended = graph(unknown, weights=weights, **arguments)
    open_ended.graph.output[0].type.tensor_type.ClearField("shape")
    assert recognise(open_ended)[1] == []


@pytest.mark.parametrize("inner", ["s", "t"])
def test_an_inner_result_that_is_an_output_stays(inner: str) -> None:
    outputs = f"float[{SHAPE}] y, float[{SHAPE}] {inner}"
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
