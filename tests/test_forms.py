"""Every form of every activation, run by ONNX Runtime and OpenVINO as a function and inlined, against the float64 oracle."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, inliner

from edgeacts.activations import activation, catalogue, names
from edgeacts.definition import Activation, Parameter, X
from edgeacts.errors import UsageError
from edgeacts.forms import DOMAIN, ONNX, OPSETS, SEVERAL, choose, function, operator_name
from edgeacts.oracles import float64
from edgeacts.program import OPERATORS

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


@pytest.mark.parametrize("opset", [OPSETS[0], 20, OPSETS[1]])
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
    y, expected = _run(_model(definition, form, 20), x), float64(definition, x)
    checked = slice(None) if definition.form(form).at_minus_infinity else slice(2)
    np.testing.assert_array_equal(y[checked], expected[checked])


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
        ("mish", 1e-5, "ratio"),
        ("mish", 0.0, "exact"),
        ("relu", 0.0, "native"),
        ("tanhexp", 1.0, "exact"),
    ],
)
def test_choice_by_tolerance(name: str, tolerance: float, form: str) -> None:
    assert choose(activation(name), tolerance=tolerance).form.name == form


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


def test_every_operator_can_be_written() -> None:
    assert set(ONNX) | set(SEVERAL) == set(OPERATORS)
    assert not set(ONNX) & set(SEVERAL)


def test_a_definition_from_a_notebook() -> None:
    beta = Parameter("beta", 2.0)
    mine = Activation(name="mine", formula=X / (1 + abs(beta.symbol * X)), source="test", parameters=(beta,))
    model = _model(mine, "exact", 20)
    assert _error(mine, FINITE, _run(model, FINITE)) <= FLOAT32_ROUNDING
