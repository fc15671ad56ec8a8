"""Curves that convolutions take in: near the activation as far as was asked for, and executed inside the convolution."""

import numpy as np
import pytest
from openvino_networks import IMAGES, export
from test_openvino_int8_fits import FORMULAS

from edgeacts.quantization.openvino_curves import Curve, build_curve, fit_curve
from edgeacts.quantization.openvino_fits import Seen
from edgeacts.quantization.openvino_variants import CURVE_FORM, Variants
from edgeacts.runtimes.openvino import open_model

SEEN = Seen(-6.0, 8.0, 0.25, 1.25)
STEP = 8.3 / 255


@pytest.mark.parametrize("name", FORMULAS)
def test_a_curve_is_as_near_as_was_asked_for(name):
    curve = fit_curve(FORMULAS[name], SEEN, 3 * STEP)
    assert curve is not None
    generator = np.random.default_rng(0)
    even = generator.uniform(SEEN.low, SEEN.high, 40_000)
    normal = SEEN.mean + SEEN.deviation * generator.standard_normal(40_000)
    normal = normal[(normal > SEEN.low) & (normal < SEEN.high)]

    def error(x):
        return np.abs(curve(x.astype(np.float32)) - FORMULAS[name](x))

    mean_square = 0.9 * np.mean(error(normal) ** 2) + 0.1 * np.mean(error(even) ** 2)
    assert np.sqrt(2 * mean_square) <= 1.03 * curve.even <= 1.03 * 3 * STEP
    assert error(even).max() == pytest.approx(curve.error, rel=0.05)
    assert error(even).max() <= 4.05 * 3 * STEP


def test_hswish_itself_is_found_and_needs_no_bend():
    def scaled(x):
        u = 1.7 * x + 0.4
        return 0.6 * u * np.clip(u + 3, 0, 6) / 6 - 0.1

    curve = fit_curve(scaled, SEEN, 0.2 * STEP)
    assert curve is not None
    assert curve.slope == 1
    assert (curve.scale, curve.shift) == pytest.approx((1.7, 0.4), abs=0.05)


def test_a_bend_comes_nearer():
    """The straight one is taken where it is near enough, for it is cheaper."""
    straight = fit_curve(FORMULAS["tanhexp"], SEEN, 4 * STEP)
    assert straight is not None
    assert straight.slope == 1
    bent = fit_curve(FORMULAS["tanhexp"], SEEN, 0.9 * straight.even)
    assert bent is not None
    assert bent.slope != 1
    assert bent.even < straight.even


@pytest.mark.parametrize(
    ("function", "seen", "tolerance"),
    [
        (FORMULAS["nish"], SEEN, 0.1 * STEP),
        (FORMULAS["mish"], Seen(1.0, 1.0), STEP),
        (FORMULAS["mish"], SEEN, 0.0),
        (lambda x: np.full_like(x, np.nan), SEEN, STEP),
        (FORMULAS["mish"], Seen(-np.inf, 1.0), STEP),
    ],
)
def test_what_cannot_be_met_is_none(function, seen, tolerance):
    assert fit_curve(function, seen, tolerance) is None


@pytest.mark.parametrize("bent", [False, True])
def test_openvino_computes_the_curve(bent):
    import openvino
    import openvino.opset15 as ops

    curve = Curve(-0.5, 0.3 if bent else 1.0, 1.3, 0.2, 0.7, -0.1)
    x = np.linspace(-8, 8, 1001).astype(np.float32)
    parameter = ops.parameter([len(x)], np.float32)
    model = openvino.Model([ops.result(build_curve(curve, "act")(parameter))], [parameter], "one")
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled([x])[0], curve(x), atol=2e-6)
    assert np.isnan(curve(np.array([np.nan], np.float32))).all()


@pytest.mark.filterwarnings("ignore")
def test_every_curve_runs_inside_its_convolution(tmp_path):
    made = Variants(export("tanhexp", tmp_path / "model.onnx"), IMAGES, half_range=True)
    base = made.exported("all")
    assert made.fused(base, 0.01) is None
    fused = made.fused(base, 8.0)
    assert fused is not None
    assert fused.name == "all, fused, 8 step"
    assert {type(gate) for gate in fused.gates.values()} == {Curve}
    assert set(fused.gates) == {unit.name for unit in made.units}
    xml = made.write(fused, tmp_path / "fused.xml", batch=1)
    options = {"threads": 1, "level": "default", "provider": "cpu", "precision": "f32", "accelerate": False}
    with open_model(xml, **options) as session:
        placed = session.manifest.activations
    assert {one.form for one in placed} == {CURVE_FORM.format(share=8.0)}
    assert all(one.fused_into for one in placed), placed
    polynomials = made.write(made.polynomials(base, 1.0), tmp_path / "polynomials.xml", batch=1)
    with open_model(polynomials, **options) as session:
        assert not any(one.fused_into for one in session.manifest.activations)
