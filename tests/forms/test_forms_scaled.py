"""Forms for a parameter per channel that scales x: x·sigmoid(βx) as SiLU of βx over β, on OpenVINO."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from sympy import Abs
from torch import nn

from edgeacts.activations import activation
from edgeacts.bodies import chosen_bodies
from edgeacts.cli import main
from edgeacts.definition import Activation, Parameter, X, sigmoid
from edgeacts.exporters.runtime_forms import Use, Wish, bodies_on
from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.exporters.to_openvino import to_openvino
from edgeacts.forms import DOMAIN, choose_for
from edgeacts.forms.scaled import scaled_body, unscaled
from edgeacts.modules import ActivationModule
from edgeacts.runtimes import open_runtime

BETA = Parameter("beta", 1.0, trainable="channel")
SWISH = Activation(
    "swish", X * sigmoid(BETA.symbol * X), "Ramachandran et al. 2017", (BETA,), left=0, right=X,
    saturation=(-800 / BETA.symbol, 800 / BETA.symbol),
)  # fmt: skip
ALPHA = Parameter("alpha", 0.2)
LEANING = Activation(
    "leaning", ALPHA.symbol * X + (1 - ALPHA.symbol) * X * sigmoid(BETA.symbol * X), "of one's own", (ALPHA, BETA),
    left=ALPHA.symbol * X, right=X,
)  # fmt: skip
ASKED = {"runtime": "openvino", "precision": "f32", "tolerance": 1e-4, "opset": 20}
SCALES = [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 0.25, 1.25]


def points(*values: float) -> list[dict[str, float]]:
    return [{"beta": value} for value in values]


def test_a_scale_is_known_by_the_formula() -> None:
    assert unscaled(SWISH, "beta", {"beta": 1.0}) is activation("silu")
    leaning = unscaled(LEANING, "beta", {"beta": 1.0, "alpha": 0.2})
    assert leaning is not None
    assert leaning.formula == LEANING.fix(alpha=0.2, beta=1.0).formula
    assert unscaled(LEANING, "alpha", LEANING.values()) is None
    square = Activation("square", X + BETA.symbol * X**2 / (1 + Abs(X)), "of one's own", (BETA,))
    assert unscaled(square, "beta", square.values()) is None


def test_the_bound_holds_and_grows_where_scales_are_small() -> None:
    found = [scaled_body(SWISH, points(*s), ["beta"], **ASKED) for s in ([1.0, 4.0], SCALES)]
    assert found[0] is not None
    assert found[1] is not None
    (choice, _), (widest, body) = found
    assert choice.bound <= ASKED["tolerance"]
    assert widest.bound <= ASKED["tolerance"]
    assert widest.form.bound_at({}) <= ASKED["tolerance"] / 4  # 1/0.25
    assert {node.op_type for node in body.node}.isdisjoint({"Sigmoid", "Exp"})
    assert (body.node[0].op_type, body.node[-1].op_type) == ("Mul", "Div")


def test_the_bound_has_the_roundings_of_both_products() -> None:
    """1.1 is SiLU's steepest slope: s·x and the quotient are rounded once each, by half an ULP."""
    found = scaled_body(SWISH, points(1.0), ["beta"], **ASKED)
    assert found is not None
    inner = choose_for(activation("silu"), runtime="openvino", precision="f32", tolerance=ASKED["tolerance"])
    assert inner.bound + 2 * 1.09 * 2**-24 < found[0].bound < inner.bound + 2 * 1.3 * 2**-24
    assert scaled_body(SWISH, points(1.0), ["beta"], **ASKED | {"tolerance": 2**-24}) is None


@pytest.mark.parametrize("cheap", [True, False])
def test_it_replaces_a_body_that_costs_more_only(cheap: bool) -> None:
    nodes = [helper.make_node("Identity" if cheap else "Exp", ["x"], ["y"])]
    nodes += [] if cheap else [helper.make_node("Sin", ["y"], [f"y{n}"]) for n in range(4)]
    own = helper.make_function(
        DOMAIN, "SwishPerChannel", ["x", "beta"], ["y"], nodes, [helper.make_opsetid("", 20)]
    )
    use = Use("SwishPerChannel", SWISH, tuple(points(0.5, 2.0)), ("beta",))
    wish = Wish(ASKED["tolerance"], ASKED["opset"])
    found = bodies_on("openvino", "f32", [use], {"SwishPerChannel": own}, wish)
    assert ("SwishPerChannel" in found) == (not cheap)


@pytest.mark.parametrize(
    ("given", "per_channel"),
    [(points(0.0, 1.0), ["beta"]), (points(1.0), ["beta", "other"])],
)
def test_must_not_fire(given: list[dict[str, float]], per_channel: list[str]) -> None:
    assert scaled_body(SWISH, given, per_channel, **ASKED) is None


def test_another_parameter_that_differs_must_not_fire() -> None:
    different = [{"alpha": a, "beta": b} for a, b in ((0.1, 5.0), (0.2, 7.0))]
    assert scaled_body(LEANING, different, ["beta"], **ASKED) is None
    same = [{"alpha": 0.1, "beta": b} for b in (5.0, 7.0)]
    assert scaled_body(LEANING, same, ["beta"], **ASKED) is not None


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    act = ActivationModule(SWISH, 8)
    with torch.no_grad():
        act.beta.copy_(torch.tensor(SCALES))
    net = nn.Sequential(nn.Conv2d(3, 8, 3), act, nn.Conv2d(8, 4, 1)).eval()
    path = tmp_path_factory.mktemp("scaled") / "model.onnx"
    to_onnx(net, torch.zeros(2, 3, 6, 6), path, tolerance=1e-4)
    return net, path


def test_openvino_runs_it_and_the_other_runtimes_do_not(
    exported: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    net, path = exported
    bodies = chosen_bodies(onnx.load(path), "openvino", "f32", "file")
    body = bodies["SwishPerChannel"]
    assert "Sigmoid" not in {node.op_type for node in body.function.node}
    assert "Sigmoid" in {node.op_type for node in onnx.load(path).functions[0].node}
    x = 8 * torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    wanted = net(x).detach().numpy()
    weights = float(net[2].weight.detach().abs().sum(dim=1).max())
    reach = max(1.0, float(net[0](x).detach().abs().max()))
    for file in (path, to_openvino(path, tmp_path, tolerance=1e-4).xml):
        with open_runtime(file, "openvino") as session:
            found = next(iter(session.infer({session.inputs[0].name: x.numpy()}).values()))
        error = float(np.abs(found - wanted).max())
        assert 1e-7 < error <= body.bound * weights * reach
    exact = to_openvino(path, tmp_path / "exact", tolerance=1e-9)
    assert "SwishPerChannel" not in exact.forms or exact.forms["SwishPerChannel"][1] <= 1e-9


def test_explain_says_which_and_why_not(
    exported: tuple[nn.Module, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, path = exported
    assert main(["explain", str(path), "--json", str(tmp_path / "j.json")]) == 0
    told = json.loads((tmp_path / "j.json").read_text())["forms for OpenVINO"]["SwishPerChannel"]
    assert "of x times the channel's parameter, for all channels" in told
    plain = onnx.load(path)
    del plain.metadata_props[:]
    onnx.save(plain, tmp_path / "plain.onnx")
    assert main(["explain", str(tmp_path / "plain.onnx")]) == 0
    assert "its parameters differ by channel" in " ".join(capsys.readouterr().out.split())
