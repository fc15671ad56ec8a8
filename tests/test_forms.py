"""Every form of every activation, run by ONNX Runtime and OpenVINO as a function and inlined, against the float64 oracle."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, inliner
from own_activations import OWN, Own

from edgeacts.activations import activation, catalogue, names
from edgeacts.definition import Activation, Form, Parameter, X
from edgeacts.errors import UsageError
from edgeacts.forms import DOMAIN, OPSETS, choose, function, operator_name
from edgeacts.modules import ActivationModule
from edgeacts.oracles import float64

pytestmark = pytest.mark.usefixtures("one_thread")
FORMS = [(name, form) for name in names() for form in catalogue()[name].form_names()]
FLOAT32_ROUNDING = 6e-7  # a handful of roundings, of max(1, |x|)
FINITE = np.concatenate(
    [
        np.linspace(-30, 30, 4001),
        np.array(
            [0.0, -0.0, 1e-38, -1e-38, 1e-45, 100.0, -100.0, 3e38, -3e38, 88.8, -88.8, 44.5, 1e10, -1e10]
        ),
        np.geomspace(1e-8, 1e-2, 101) * -1,
    ]
).astype(np.float32)


def _model(definition: Activation, form: str, opset: int, **parameters: float) -> onnx.ModelProto:
    values = definition.values(parameters)
    choice = choose(definition, [values], form=form, opset=opset)
    node = helper.make_node(operator_name(definition), ["x"], ["y"], domain=DOMAIN, **values)
    floats = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy"]
    model = helper.make_model(
        helper.make_graph([node], "one", floats[:1], floats[1:]),
        functions=[function(choice, opset=opset)],
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


def _error(
    definition: Activation, x: NDArray[np.float32], y: NDArray[np.float32], **parameters: float
) -> float:
    expected = float64(definition, x, **parameters)
    return float(np.max(np.abs(y - expected) / np.maximum(1, np.abs(x))))


@pytest.mark.parametrize("opset", range(OPSETS[0], OPSETS[1] + 1))
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_form_is_within_its_bound(name: str, form: str, opset: int) -> None:
    definition = activation(name)
    if definition.form(form).native and definition.form(form).since > opset:
        with pytest.raises(UsageError, match=f"form '{form}' of {name} needs opset"):
            _model(definition, form, opset)
        return
    model = _model(definition, form, opset)
    bound = definition.form(form).bound_at(definition.values()) + FLOAT32_ROUNDING
    assert _error(definition, FINITE, _run(model, FINITE)) <= bound
    assert _error(definition, FINITE, _run(inliner.inline_local_functions(model), FINITE)) <= bound


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_form_at_infinities_and_nan(name: str, form: str) -> None:
    definition = activation(name)
    x = np.array([np.inf, np.nan, -np.inf], np.float32)
    model, expected = _model(definition, form, 20), float64(definition, x)
    checked = slice(None) if definition.form(form).at_minus_infinity else slice(2)
    for which in (model, inliner.inline_local_functions(model)):
        np.testing.assert_array_equal(_run(which, x)[checked], expected[checked])


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_form_in_openvino(name: str, form: str) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is an extra: pip install edgeacts[openvino]")
    definition = activation(name)
    model = inliner.inline_local_functions(_model(definition, form, 20))
    core = openvino.Core()
    read = core.read_model(model.SerializeToString())
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = FINITE[np.abs(FINITE) < 1e4]
    y = compiled({"x": x})[0]
    bound = (
        definition.form(form).bound_at(definition.values()) + 5e-6
    )  # OpenVINO's own tanh, sin and erf are coarser
    assert _error(definition, x, y) <= bound


@pytest.mark.parametrize("name", [n for n in names() if catalogue()[n].parameters])
def test_parameters_reach_the_body(name: str) -> None:
    definition = activation(name)
    for parameter in definition.parameters:
        for sample in parameter.samples:
            given = {parameter.name: sample}
            choice = choose(definition, [definition.values(given)], tolerance=1e-5)
            x = FINITE[np.abs(FINITE) < 1e38]  # 1.5 times more would be infinite
            y = _run(_model(definition, choice.form.name, 20, **given), x)
            assert _error(definition, x, y, **given) <= choice.bound + FLOAT32_ROUNDING * max(
                1, abs(sample)
            ), given


def test_parameters_that_differ_between_nodes_are_attributes() -> None:
    definition = activation("silu")
    points = [{"beta": 1.0}, {"beta": 2.5}]
    body = function(choose(definition, points))
    references = [a.ref_attr_name for node in body.node for a in node.attribute if a.ref_attr_name]
    assert set(references) == {"beta"}
    alone = function(choose(definition, points[:1]))
    assert not [a for node in alone.node for a in node.attribute if a.ref_attr_name]
    assert len(alone.node) < len(body.node)


@pytest.mark.parametrize(
    ("name", "tolerance", "form"),
    [
        ("sau", 1e-5, "leaky"),
        ("sau", 1e-6, "exact"),
        ("sau", 1e-7, "exact"),
        ("gelu", 1e-5, "native"),
        ("hardswish", 1e-5, "native"),
        ("hardswish", 1e-7, "exact"),
        ("mish", 1e-5, "ratio"),
        ("mish", 0.0, "exact"),
        ("relu", 0.0, "native"),
        ("tanhexp", 1.0, "exact"),
    ],
)
def test_choice_by_tolerance(name: str, tolerance: float, form: str) -> None:
    assert choose(activation(name), tolerance=tolerance).form.name == form


@pytest.mark.parametrize(("opset", "form"), [(18, "exact"), (19, "exact"), (20, "native"), (23, "native")])
def test_choice_by_opset(opset: int, form: str) -> None:
    """Gelu is an operator since opset 20."""
    assert choose(activation("gelu"), opset=opset).form.name == form


def test_bound_follows_the_parameters() -> None:
    sau = activation("sau")
    assert choose(sau, [{"n": 50.0}]).form.name == "exact"
    assert choose(sau, [{"n": 50.0}], tolerance=1e-2).form.name == "leaky"
    close = choose(sau, [{"alpha": 0.15}, {"alpha": -3.0}], form="leaky")
    assert close.bound == pytest.approx(4 * 0.1701 / 20000, rel=1e-3)


@pytest.mark.parametrize(("n", "alpha"), [(20000.0, 0.15), (50.0, 0.15), (20000.0, -3.0)])
def test_leaky_bound_of_sau_is_true_and_tight(n: float, alpha: float) -> None:
    sau = activation("sau")
    x = np.linspace(-8, 8, 20001) / n
    leaky = np.where(x > 0, x, alpha * x)
    error = float(np.max(np.abs(float64(sau, x, n=n, alpha=alpha) - leaky)))
    bound = sau.form("leaky").bound_at({"n": n, "alpha": alpha})
    assert 0.9 * bound <= error <= bound


def test_forms_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match="activation mish has no form 'fast'; it has: ratio, native, exact"):
        choose(activation("mish"), form="fast")
    with pytest.raises(UsageError, match="tolerance -1"):
        choose(activation("mish"), tolerance=-1)
    with pytest.raises(UsageError, match="tolerance nan"):
        choose(activation("mish"), tolerance=float("nan"))


@pytest.mark.parametrize(
    ("name", "parameter", "values", "form"),
    [
        ("sau", "alpha", [0.15, 0.0, 1.0, -0.3, 2.0], "leaky"),
        ("sau", "alpha", [0.15, 0.0, 1.0, -0.3, 2.0], "exact"),
        ("leaky_relu", "negative_slope", [0.01, 0.0, -1.0, 0.5, 1.0], "native"),
        ("leaky_relu", "negative_slope", [0.01, 0.0, -1.0, 0.5, 1.0], "exact"),
        ("silu", "beta", [1.0, 0.0, -0.5, 4.0, 0.25], "exact"),
    ],
)
def test_parameters_per_channel(name: str, parameter: str, values: list[float], form: str) -> None:
    """Inputs of the function, shaped [channels, 1]; each channel has its own tails, at the infinities too."""
    definition = activation(name)
    points = [definition.values({parameter: v}) for v in values]
    choice = choose(definition, points, form=form)
    body = function(choice, per_channel=[parameter])
    assert body.name == operator_name(definition, [parameter]) == definition.operator + "PerChannel"
    others = {k: v for k, v in definition.values().items() if k != parameter}
    node = helper.make_node(body.name, ["x", parameter], ["y"], domain=DOMAIN, **others)
    shape = [None, len(values), None]
    model = helper.make_model(
        helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            [helper.make_tensor(parameter, TensorProto.FLOAT, [len(values), 1], values)],
        ),
        functions=[body],
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    one = np.concatenate([FINITE[np.abs(FINITE) < 1e38], np.array([-np.inf, np.inf, np.nan], np.float32)])
    y = _run(model, np.broadcast_to(one, (2, len(values), len(one))).copy())
    for channel, value in enumerate(values):
        expected = float64(definition, one, **{parameter: value})
        allowed = np.maximum(1, np.abs(one)) * (choice.bound + FLOAT32_ROUNDING * max(1, abs(value)))
        for row in y[:, channel]:
            ends = (
                slice(-2, None) if value == 0 and form != "exact" else slice(-3, None)
            )  # PRelu: 0·(-∞) is NaN
            np.testing.assert_array_equal(row[ends], expected[ends], err_msg=f"{parameter}={value}")
            assert (np.abs(row[:-3] - expected[:-3]) <= allowed[:-3]).all(), value


def test_native_form_without_a_channel_operator() -> None:
    k = Parameter("k", 1.0)
    form = Form("native", 0.0, "one", native="Elu", attributes={"alpha": k.symbol})
    mine = Activation("mine", X * k.symbol, "test", parameters=(k,), forms=(form,))
    with pytest.raises(UsageError, match="form 'native' of mine cannot take parameters per channel"):
        function(choose(mine, form="native"), per_channel=["k"])
    twice = Form("native", 0.0, "two", native="Elu", attributes={"alpha": 2 * k.symbol})
    with pytest.raises(UsageError, match="form 'native' of mine: attribute alpha must be one parameter"):
        function(choose(replace(mine, forms=(twice,)), form="native"))


def test_function_says_what_it_is() -> None:
    body = function(choose(activation("sau"), tolerance=0))
    assert (body.name, body.domain, list(body.input), list(body.output)) == ("SAU", DOMAIN, ["x"], ["y"])
    assert list(body.attribute) == ["alpha", "n"]
    assert body.doc_string.startswith("sau = ")
    assert "form exact; Biswas et al. 2021" in body.doc_string
    assert not [n for n in body.node if n.domain]


# ---- formulas of users' own


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_own_formula_in_onnxruntime(own: Own) -> None:
    """As torch computes it, extremes included; ORT's coarse Sigmoid does not reach through a root or a logarithm."""
    x = np.concatenate([FINITE, np.array([-np.inf, np.inf, np.nan], np.float32)])
    model = _model(own.activation, "exact", 18)
    y = _run(model, x)
    with torch.no_grad():
        expected = ActivationModule(
            own.activation, trainable={"k": None} if own.activation.parameters else None
        )(torch.from_numpy(x)).numpy()
    defined = np.abs(x) < 1e6 if None in (own.left, own.right) else np.full(x.shape, True)
    assert np.array_equal(np.isnan(y)[defined], np.isnan(expected)[defined])
    same = (y == expected) | np.isnan(expected)
    with np.errstate(invalid="ignore", over="ignore"):
        close = np.abs(y - expected) <= own.within * np.maximum(1, np.maximum(np.abs(x), np.abs(expected)))
    wrong = defined & ~(same | close)
    assert not wrong.any(), (x[wrong][:5], y[wrong][:5], expected[wrong][:5])


def test_a_definition_from_a_notebook() -> None:
    beta = Parameter("beta", 2.0)
    mine = Activation(name="mine", formula=X / (1 + abs(beta.symbol * X)), source="test", parameters=(beta,))
    model = _model(mine, "exact", 20)
    assert _error(mine, FINITE, _run(model, FINITE)) <= FLOAT32_ROUNDING
