"""The oracles: float64 and mpmath agree everywhere, do not share the rewriting, and the minimum is where the papers' formulas say."""

import mpmath
import numpy as np
import pytest
import sympy
from scipy import optimize, stats
from sympy import Abs, Max, exp, sign, sin, tanh

from edgeacts.activations import activation, names
from edgeacts.definition import Activation, Parameter, X, sigmoid
from edgeacts.errors import UsageError
from edgeacts.oracles import float64, high_precision, minimum
from edgeacts.plan import parameter_samples

CASES = [
    pytest.param(n, v, id=f"{n}-{','.join(f'{k}={x:g}' for k, x in v.items())}")
    for n in names()
    for v in parameter_samples(activation(n))
]


@pytest.mark.parametrize(("name", "values"), CASES)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_float64_equals_mpmath(name: str, values: dict[str, float], order: int) -> None:
    random = np.random.default_rng(order)
    unit = 1 / abs(values.get("n", values.get("beta", 1.0)) or 1.0)
    x = (
        np.concatenate(
            [random.uniform(-8, 8, 25), random.uniform(-60, 60, 10), -(10 ** random.uniform(-6, 0, 5))]
        )
        * unit
    )
    got = float64(activation(name), x, order, **values)
    true = np.array([float(high_precision(activation(name), float(p), order, **values)) for p in x])
    scale = np.max(np.abs(true)) if order == 2 else 1.0  # f'' of SAU is as large as n
    np.testing.assert_allclose(got, true, rtol=2e-14, atol=3e-15 * max(scale, 1.0))


def test_mpmath_reads_the_formula_as_written() -> None:
    """Not the stable rewriting: a fault there would be in both."""
    wrong = Activation("wrong", X * tanh(exp(X)), "here")
    object.__setattr__(wrong, "stable", sympy.S(7))
    assert float(high_precision(wrong, 1.0)) == pytest.approx(np.tanh(np.e))
    assert float(high_precision(wrong, 1.0, order=1)) != 0
    kinked = Activation("kinked", Max(0, X), "here")
    object.__setattr__(kinked, "stable", sympy.S(7))
    assert float(high_precision(kinked, 1.5)) == 1.5


def test_digits() -> None:
    with mpmath.workdps(60):
        expected = mpmath.tanh(mpmath.exp(mpmath.mpf(1)))
        got = high_precision(activation("tanhexp"), 1, digits=55)
        assert abs(got - expected) < mpmath.mpf(10) ** -54
    assert abs(high_precision(activation("tanhexp"), 1, digits=20) - expected) < 1e-19


def test_parameters_are_their_decimal_digits() -> None:
    """0.1 is one tenth there, not the binary number nearest to it."""
    with mpmath.workdps(40):
        assert high_precision(activation("leaky_relu"), -1, negative_slope=0.1) == -mpmath.mpf(1) / 10


def test_kinks() -> None:
    relu = Activation("own", Max(0, X), "here")
    assert [float(high_precision(relu, v)) for v in (-1, 0, 2)] == [0, 0, 2]
    assert [float(high_precision(relu, v, order=1)) for v in (-1, 2)] == [0, 1]
    jump = Activation("jump", sign(X) * X**2, "here")
    assert float(high_precision(jump, -3, order=1)) == 6


def test_float64_of_anything() -> None:
    mish = activation("mish")
    assert float64(mish, 0.0).shape == ()
    assert float64(mish, [[1, 2], [3, 4]]).shape == (2, 2)
    assert float64(mish, []).shape == (0,)
    assert float64(mish, np.float32(1.0)).dtype == np.float64
    np.testing.assert_array_equal(float64(mish, [-np.inf, np.inf, np.nan]), [0, np.inf, np.nan])
    np.testing.assert_array_equal(float64(mish, [-np.inf, np.inf], 1), [0, 1])
    assert float64(activation("relu"), [1.0, 2.0], 2).tolist() == [0, 0]
    with pytest.raises(UsageError, match="activation mish has no parameter 'beta'"):
        float64(mish, 1.0, beta=2.0)


# ---- independent formulas


def test_against_scipys_normal_distribution() -> None:
    x = np.linspace(-8, 8, 201)
    np.testing.assert_allclose(float64(activation("gelu"), x), x * stats.norm.cdf(x), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(
        float64(activation("gelu"), x, 1), stats.norm.cdf(x) + x * stats.norm.pdf(x), rtol=1e-11, atol=1e-15
    )


@pytest.mark.parametrize("name", names())
def test_derivative_is_the_difference_quotient(name: str) -> None:
    unit = 1e-4 if name == "sau" else 1.0
    x = np.array([-2.7, -1.1, -0.3, 0.4, 2.2, 5.1]) * unit
    h = 1e-6 * unit
    a = activation(name)
    for order in (1, 2):
        quotient = (float64(a, x + h, order - 1) - float64(a, x - h, order - 1)) / (2 * h)
        np.testing.assert_allclose(float64(a, x, order), quotient, rtol=1e-6, atol=1e-7 / unit ** (order - 1))


# ---- the minimum


@pytest.mark.parametrize("name", names())
def test_minimum_is_not_undercut(name: str) -> None:
    """Against SciPy's bounded search from many places."""
    a, found = activation(name), minimum(activation(name))
    if found is None:
        assert float64(a, -1e6) < -1e3
        return
    x, y = found
    assert float(float64(a, x)) == y
    lowest = min(
        optimize.minimize_scalar(lambda v: float(float64(a, v)), bounds=(lo, lo + 4), method="bounded").fun
        for lo in range(-12, 12, 4)
    )
    assert y <= lowest + 1e-9
    assert y >= lowest - 1e-9


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("tanhexp", -1.07886, -0.353286),
        ("nish", -1.082865, -0.497371),
        ("mish", -1.1924, -0.30884),
        ("silu", -1.278465, -0.278465),
        ("gelu", -0.751792, -0.169971),
        ("hardswish", -1.5, -0.375),
        ("relu", 0.0, 0.0),
        ("relu6", 0.0, 0.0),
    ],
)
def test_known_minima(name: str, x: float, y: float) -> None:
    found = minimum(activation(name))
    assert found is not None
    assert found == (pytest.approx(x, abs=5e-5), pytest.approx(y, abs=5e-6))
    assert abs(float(high_precision(activation(name), found[0], order=1))) < 1e-6 or name in ("relu", "relu6")


def test_unbounded_below() -> None:
    assert minimum(activation("leaky_relu")) is None
    assert minimum(activation("sau")) is None
    assert minimum(activation("leaky_relu"), negative_slope=-0.5) == (pytest.approx(0, abs=1e-12),) * 2
    assert minimum(Activation("down", -X, "here")) is None
    assert minimum(Activation("waves", X * sin(X), "here")) is None


def test_minimum_far_from_zero() -> None:
    wide = Activation("wide", X / 50 * sigmoid(X / 50), "here")
    assert minimum(wide) == (pytest.approx(-63.92323, abs=1e-4), pytest.approx(-0.2784645, abs=1e-7))


def test_minimum_follows_the_parameters() -> None:
    found = minimum(activation("silu"), beta=2.0)
    assert found == (pytest.approx(-1.278465 / 2, abs=1e-5), pytest.approx(-0.278465 / 2, abs=1e-6))
    mirrored = minimum(activation("silu"), beta=-1.0)
    assert mirrored is None  # it falls with x on the left


def test_a_formula_of_ones_own() -> None:
    k = Parameter("k", 2.0)
    own = Activation("own", X / (k.symbol + Abs(X)), "here", parameters=(k,))
    assert float64(own, -3.0) == pytest.approx(-0.6)
    assert float64(own, -3.0, k=1.0) == pytest.approx(-0.75)
    np.testing.assert_allclose(float64(own, [-np.inf, np.inf, 1e300]), [-1, 1, 1])
    assert float64(own, 0.0, 1, k=4.0) == pytest.approx(0.25)
