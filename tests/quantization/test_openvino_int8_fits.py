"""Polynomials that stand in for activations behind an 8-bit quantizer: judged by formulas written here."""

import math

import numpy as np
import pytest

from edgeacts.quantization.openvino_fits import Gate, Seen, fit
from edgeacts.quantization.openvino_variants import rounded

_erf = np.vectorize(math.erf)


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


FORMULAS = {
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "tanhexp": lambda x: x * np.tanh(np.exp(np.minimum(x, 5))),
    "nish": lambda x: np.where(x >= 0, x, _sigmoid(x) * (x + np.sin(x))),
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * (1 + _erf(x / 2**0.5)) / 2,
}


@pytest.mark.parametrize(
    ("low", "high", "deviation", "tolerance"), [(-8.0, 8.0, math.inf, 0.01), (-3.0, 5.0, 1.5, 0.03)]
)
@pytest.mark.parametrize("name", FORMULAS)
def test_the_gate_is_within_the_tolerance_on_what_was_seen(name, low, high, tolerance, deviation):
    formula = FORMULAS[name]
    gate = fit(formula, Seen(low, high, 0.5, deviation), tolerance)
    assert gate is not None
    generator = np.random.default_rng(0)
    even = generator.uniform(low, high, 40_000)
    normal = 0.5 + deviation * generator.standard_normal(40_000) if np.isfinite(deviation) else even
    normal = normal[(normal > low) & (normal < high)]

    def error(x):
        return np.abs(gate(x.astype(np.float32)) - formula(x))

    mean_square = 0.9 * np.mean(error(normal) ** 2) + 0.1 * np.mean(error(even) ** 2)
    assert np.sqrt(2 * mean_square) <= 1.03 * tolerance
    assert error(even).max() <= 4.05 * tolerance
    assert error(even).max() == pytest.approx(gate.error, rel=0.05, abs=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_inputs_that_occur_are_followed_closely(name):
    """A tenth of the weight is even, so that the rim is still followed."""
    x = np.linspace(-1.0, 1.0, 999)

    def error(deviation):
        gate = fit(FORMULAS[name], Seen(-8.0, 8.0, 0.0, deviation), 0.05)
        return np.sqrt(np.mean((gate(x.astype(np.float32)) - FORMULAS[name](x)) ** 2)), gate.operations

    (even, cost), (near_0, cost_near) = error(math.inf), error(0.5)
    assert near_0 < even or cost_near < cost


@pytest.mark.parametrize("name", FORMULAS)
def test_a_looser_tolerance_costs_fewer_operations(name):
    loose, tight = (fit(FORMULAS[name], Seen(-6.0, 6.0), t) for t in (0.05, 0.01))
    assert loose.operations < tight.operations <= 11


@pytest.mark.parametrize("name", FORMULAS)
def test_beyond_what_was_seen_it_goes_on_as_the_activation_does(name):
    gate = fit(FORMULAS[name], Seen(-6.0, 6.0), 0.01)
    far = gate(np.array([-100.0, 100.0], np.float32))
    assert abs(far[0]) < (0.5 if gate.odd else 0.05)
    assert far[1] == pytest.approx(100, rel=0.005)


def test_a_nan_stays_a_nan():
    assert np.isnan(fit(FORMULAS["mish"], Seen(-6.0, 6.0), 0.03)(np.array([np.nan], np.float32))).all()


def test_gates_of_x_sigmoid_are_one_half_and_an_odd_part():
    assert fit(FORMULAS["silu"], Seen(-6.0, 6.0), 0.02).odd
    assert fit(FORMULAS["gelu"], Seen(-6.0, 6.0), 0.02).odd
    assert not fit(FORMULAS["mish"], Seen(-6.0, 6.0), 0.02).odd


def test_bounded_functions_are_held_on_both_sides():
    gate = fit(np.tanh, Seen(-4.0, 4.0), 0.05)
    assert gate is not None
    assert (gate.level_left, gate.level_right) == (True, True)
    assert gate(np.array([50.0, -50.0], np.float32)) == pytest.approx([1, -1], abs=0.05)


def test_a_line_on_the_left_goes_on_as_a_line():
    gate = fit(lambda x: 0.2 * x + 0.8 * x * _sigmoid(2 * x), Seen(-6.0, 6.0), 0.02)
    assert gate is not None
    assert not gate.level_left
    assert gate(np.array([-60.0], np.float32)) == pytest.approx(-12, rel=0.05)


@pytest.mark.parametrize(
    ("function", "low", "high", "tolerance"),
    [
        (lambda x: np.sin(5 * x), -6.0, 6.0, 0.01),  # needs a higher degree
        (lambda x: x + 1.0, -1.0, 1.0, 0.01),  # not 0 at 0
        (lambda x: np.full_like(x, np.nan), -1.0, 1.0, 0.01),
        (FORMULAS["mish"], 1.0, 1.0, 0.01),
        (FORMULAS["mish"], -1.0, 1.0, 0.0),
        (FORMULAS["mish"], -np.inf, 1.0, 0.1),
    ],
)
def test_what_cannot_be_met_is_none(function, low, high, tolerance):
    assert fit(function, Seen(low, high), tolerance) is None
    assert fit(FORMULAS["mish"], Seen(-1.0, 1.0, 0.0, 0.0), 0.01) is None


def test_one_sided_ranges():
    for low, high in ((0.5, 4.0), (-4.0, -0.5)):
        gate = fit(FORMULAS["mish"], Seen(low, high), 0.01)
        x = np.linspace(low, high, 999)
        assert np.abs(gate(x.astype(np.float32)) - FORMULAS["mish"](x)).max() <= 0.0404
        assert np.sqrt(2 * np.mean((gate(x.astype(np.float32)) - FORMULAS["mish"](x)) ** 2)) <= 0.0101


def test_operations_are_those_of_a_clip_a_product_and_the_multiply_adds():
    assert Gate(-1.0, 1.0, True, False, False, (1.0, 2.0, 3.0), 0.0).operations == 5
    assert Gate(-1.0, 1.0, False, False, True, (1.0, 2.0, 3.0), 0.0).operations == 7


def test_what_was_seen_is_widened_to_quarters_and_eighths():
    """Inputs to come reach a little further, and layers that see about the same share a fit."""
    assert rounded(Seen(-1.1, 2.3, 0.1, 0.61)) == Seen(-1.25, 2.5, 0.125, 0.625)
    assert rounded(Seen(-1.13, 2.28, 0.14, 0.57)) == Seen(-1.25, 2.5, 0.125, 0.625)
    assert rounded(Seen(1.0, 1.0, 1.0, 0.0)) == Seen(1.0, 1.25, 1.0, 0.125)
