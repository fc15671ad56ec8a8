"""The forms that ship, as OpenVINO computes them: one pass each, within their bounds, NaN and the infinities as they should be."""

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, inliner, numpy_helper
from tuning_files import shipped_entries

from edgeacts.activations import activation
from edgeacts.definition import Activation, Form
from edgeacts.forms import DOMAIN, Choice, choose_for, function
from edgeacts.forms.tuned import form_of
from edgeacts.oracles import float64

openvino = pytest.importorskip("openvino", reason="openvino is an extra: pip install edgeacts[openvino]")
ENDS = np.array([np.nan, np.inf, -np.inf], np.float32)
INSIDE = np.concatenate([np.linspace(-30, 30, 6001), [1e4, -1e4, 1e10, -1e10, 1e-38, -1e-38, 0.0]]).astype(
    np.float32
)
X = np.concatenate([ENDS, INSIDE, np.ones((-len(ENDS) - len(INSIDE)) % 16, np.float32)])  # whole vectors


def forms() -> list[tuple[Activation, Form]]:
    found: dict[tuple[str, str], tuple[Activation, Form]] = {}
    for entry in shipped_entries():
        if entry.runtime == "openvino":
            for one in entry.activations:
                definition = activation(one.activation)
                found |= {
                    (one.activation, t.name): (definition, form_of(definition, t))
                    for t in one.forms
                    if t.steps
                }
    return list(found.values())


FORMS = forms()


@cache
def compiled() -> Any:
    """One graph with an output for each form, behind a layer that keeps them out of the input."""
    nodes = [helper.make_node("Mul", ["input", "one"], ["x"])]
    functions, outputs = [], []
    for place, (definition, form) in enumerate(FORMS):
        body = function(Choice(definition, form, form.bound_at({}), definition.values()))
        body.name = f"Form{place}"
        functions.append(body)
        nodes.append(helper.make_node(body.name, ["x"], [f"y{place}"], domain=DOMAIN))
        outputs.append(helper.make_tensor_value_info(f"y{place}", TensorProto.FLOAT, [len(X)]))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "forms",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [len(X)])],
            outputs,
            [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
        ),
        functions=functions,
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    core = openvino.Core()
    read = core.read_model(inliner.inline_local_functions(model).SerializeToString())
    return core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@cache
def results() -> list[np.ndarray]:
    found = compiled()({"input": X})
    return [found[place] for place, _ in enumerate(FORMS)]


@pytest.mark.parametrize("place", range(len(FORMS)), ids=[f"{d.name}-{f.name}" for d, f in FORMS])
def test_form_in_openvino(place: int) -> None:
    definition, form = FORMS[place]
    y = results()[place]
    inside = slice(len(ENDS), len(ENDS) + len(INSIDE))
    error = np.abs(y[inside] - float64(definition, INSIDE)) / np.maximum(1, np.abs(INSIDE))
    assert error.max() <= form.bound
    expected = float64(definition, ENDS)
    if definition.name != "relu6":  # max(0, x) is OpenVINO's Relu, which gives 0 for NaN
        assert np.isnan(y[0])
    for got, wanted in zip(y[1:3], expected[1:], strict=True):
        assert got == wanted or abs(got - wanted) <= 60 * form.bound


def test_every_form_is_one_compiled_chain() -> None:
    """Nothing falls out of the chain into a layer of its own."""
    kinds = {
        op.get_rt_info()["layerType"].astype(str) for op in compiled().get_runtime_model().get_ordered_ops()
    }
    assert kinds <= {"Input", "Output", "Subgraph", "Eltwise", "Const"}, kinds


# ---- in bf16

CAPABILITIES = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
CHANNELS = 16


def between_convolutions(definition: Activation, form: Form, side: int) -> onnx.ModelProto:
    """The form between two convolutions that change nothing: what it gives is stored as the network would store it."""
    unit = np.eye(CHANNELS, dtype=np.float32).reshape(CHANNELS, CHANNELS, 1, 1)
    body = function(Choice(definition, form, form.bound_at({}), definition.values()))
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, CHANNELS, side, side]) for n in ("image", "y")
    ]
    nodes = [
        helper.make_node("Conv", ["image", "unit"], ["x"]),
        helper.make_node(body.name, ["x"], ["z"], domain=DOMAIN, **definition.values()),
        helper.make_node("Conv", ["z", "unit"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [numpy_helper.from_array(unit, "unit")])
    imports = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    return inliner.inline_local_functions(
        helper.make_model(graph, functions=[body], opset_imports=imports, ir_version=9)
    )


@pytest.mark.skipif("BF16" not in CAPABILITIES, reason="this CPU computes nothing in bf16")
@pytest.mark.parametrize("name", ["tanhexp", "nish", "mish", "silu", "gelu"])
def test_bf16_rounds_what_a_form_gives_and_nothing_inside_it(name: str) -> None:
    """So that a bound certified in float32 holds: the error is the bound and half of a bf16 unit, which is far more."""
    definition, side = activation(name), 64
    choice = choose_for(definition, precision="bf16")
    rng = np.random.default_rng(0)
    x = rng.uniform(-12, 12, (1, CHANNELS, side, side)).astype(np.float32)
    x = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)  # which bf16 holds exactly
    model = between_convolutions(definition, choice.form, side).SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    layers = compiled.get_runtime_model().get_ordered_ops()
    assert sum("bf16" in op.get_rt_info()["primitiveType"].astype(str) for op in layers) >= 3
    wanted = float64(definition, x)
    error = np.abs(compiled({"image": x})[0] - wanted)
    half_unit = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(wanted), 1e-30))) - 8)
    scale = np.maximum(1, np.abs(x))
    assert np.all(error <= choice.bound * scale + half_unit + 1e-9)
