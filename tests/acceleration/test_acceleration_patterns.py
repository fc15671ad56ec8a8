"""Stock activations in other people's files: each pattern fires on what computes it, however the file holds its constants."""

import warnings
from dataclasses import dataclass, field

import onnx
import pytest
import torch
from stock_graphs import (
    BY_OPERATOR,
    CLIP,
    CONSTANT_STYLES,
    ERF,
    GATE,
    HALF_ROOT,
    HS,
    MS,
    NISH,
    OLD_CLIP,
    SILU,
    SIXTH,
    assert_sane,
    check_values,
    graph,
    inputs,
    ours,
    run,
)
from torch import Tensor, nn

from edgeacts.acceleration.patterns import Recognised, recognise
from edgeacts.acceleration.patterns_stock import PATTERNS


@dataclass(frozen=True)
class Case:
    """A graph from x to y that is all of it one activation."""

    pattern: str
    body: str
    operator: str
    parameters: dict[str, float] = field(default_factory=dict)
    opset: int = 18
    imports: str = ""


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
    check_values(BY_OPERATOR[case.operator], case.parameters, x, run(model, x)[0])


def test_every_pattern_has_a_case_that_fires() -> None:
    assert {p.name for p in PATTERNS} == {c.pattern for c in CASES.values()}


def test_operators_and_parameters_are_the_catalogues() -> None:
    for pattern in PATTERNS:
        definition = BY_OPERATOR[pattern.operator]
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
        check_values(BY_OPERATOR[one.operator], dict(one.parameters), x, run(part, x)[0])
