"""Rows from values whose error is known: planted faults, constants with six decimals, wrong specials; and the true values."""

from math import sqrt

import mpmath
import numpy as np
import pytest
from scipy import special
from sympy import cos

from edgeacts.activations import activation, names
from edgeacts.conformance.allowances import allowed_error
from edgeacts.conformance.judging import Computed, Labels, judged
from edgeacts.conformance.sweeps import SPECIALS
from edgeacts.conformance.truth import Truth
from edgeacts.definition import Activation, X
from edgeacts.errors import CheckFailed
from edgeacts.records import ConformanceRow

GELU = Truth(activation("gelu"))
GRID = np.linspace(-5, 5, 20001).astype(np.float32)


def gelu(x: np.ndarray, factor: float = 1 / sqrt(2)) -> np.ndarray:
    """x·Φ(x), rounded to float32 once."""
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        y = 0.5 * wide * special.erfc(-factor * wide)
    y[np.isneginf(wide)] = 0
    return y.astype(np.float32)


def row(
    y: np.ndarray,
    *,
    x: np.ndarray = GRID,
    allowed: float | None = 1e-6,
    strict: bool = True,
    **special_at: float,
) -> ConformanceRow:
    specials = np.tile(gelu(np.array(list(SPECIALS.values()), np.float32)), (3, 1))
    for name, value in special_at.items():
        specials[1, list(SPECIALS).index({"minus_inf": "-inf", "zero": "+0"}.get(name, name))] = value
    computed = Computed(x, y, specials, "f32")
    truth = GELU.values(x.astype(np.float64))
    return judged(Labels("gelu", "form", "planted", "float32"), computed, GELU, truth, allowed, strict=strict)


def test_rounded_once_is_half_a_ulp() -> None:
    found = row(gelu(GRID))
    assert found.outcome == "pass"
    assert 0.49 < found.max_ulp <= 0.5 + 1e-6
    assert 0.15 < found.mean_ulp < 0.35
    assert found.mean_ulp < found.p999_ulp <= found.max_ulp
    assert (found.value_count, found.not_finite, found.reason) == (len(GRID), 0, "")


def test_a_constant_with_six_decimals_costs_many_ulp() -> None:
    """0.707107 for 1/√2: off by 3e-7, which the tail multiplies by x²."""
    found = row(gelu(GRID, 0.707107))
    assert 50 < found.max_ulp < 200
    assert -5 <= found.worst_x < -3.5
    assert found.outcome == "pass"  # in absolute terms nothing is to be seen
    assert found.scaled_error < 2e-7


def test_worst_point_is_named_with_both_values() -> None:
    y = gelu(GRID)
    y[7000] += 1e-3
    found = row(y)
    x = float(GRID[7000])
    assert found.worst_x == x
    assert found.worst_got == float(y[7000])
    assert found.worst_expected == pytest.approx(0.5 * x * special.erfc(-x / sqrt(2)), rel=1e-14)
    assert found.scaled_error == pytest.approx(1e-3 / max(1, abs(x)), rel=1e-4)
    assert (found.outcome, found.reason) == (
        "fail",
        f"error {found.scaled_error:.2g} of max(1, |x|), allowed are 1e-06",
    )
    assert row(y, allowed=None).outcome == "reported"
    assert row(y, allowed=2e-3).outcome == "pass"


def test_not_finite_where_a_number_is_right() -> None:
    y = gelu(GRID)
    y[[100, 200]] = [np.nan, np.inf]
    found = row(y)
    assert (found.not_finite, found.outcome) == (2, "fail")
    assert found.reason == f"2 finite inputs give NaN or infinity, such as x = {GRID[100]:.6g}"
    assert found.max_ulp <= 0.5 + 1e-6
    nothing = row(np.full_like(GRID, np.nan))
    assert nothing.max_ulp is nothing.mean_ulp is nothing.p999_ulp is nothing.scaled_error is None
    assert nothing.outcome == "fail"
    assert nothing.reason.endswith("nothing was compared, allowed are 1e-06")


def test_specials_are_told_and_judged_where_they_are_ours() -> None:
    right = row(gelu(GRID))
    assert right.specials == {"nan": "nan", "+inf": "inf", "-inf": "0", "+0": "0", "-0": "-0"}
    wrong = row(gelu(GRID), minus_inf=np.nan)
    assert wrong.specials["-inf"] == "0 or nan, right: 0"  # one of the copies, as in a vector's remainder
    assert (wrong.outcome, wrong.reason) == ("fail", "wrong at -inf")
    assert row(gelu(GRID), minus_inf=np.nan, strict=False).outcome == "pass"
    assert row(gelu(GRID), nan=0.0).specials["nan"] == "0 or nan, right: nan"
    assert row(gelu(GRID), nan=0.0, zero=1.0).reason == "wrong at nan, +0"


def test_worst_is_by_mpmath_even_if_the_bulk_oracle_is_off() -> None:
    """A bulk error of 1 ULP at the worst point does not reach the row."""
    y = gelu(GRID)
    bulk = GELU.values(GRID.astype(np.float64))
    bulk[5000] *= 1 + 2.0**-22
    computed = Computed(GRID, y, np.tile(gelu(np.array(list(SPECIALS.values()), np.float32)), (3, 1)), "f32")
    found = judged(Labels("gelu", "form", "planted", "float32"), computed, GELU, bulk, 1e-6, strict=False)
    assert found.max_ulp <= 0.5 + 1e-6


@pytest.mark.parametrize("x", [-93.28659057617188, -103.5, -20.0, -1e-42, 1e-3, 15.0, 3e38, -3e38])
def test_exact_mish_against_a_rational_of_its_own(x: float) -> None:
    """tanh(ln(1 + u)) = (u² + 2u)/(u² + 2u + 2): no cancellation, so 50 digits are enough."""
    with mpmath.workdps(50):
        u = mpmath.exp(min(x, 400))
        gate = u * (u + 2) / (u * (u + 2) + 2)
        expected = mpmath.mpf(x) * gate
        got = Truth(activation("mish")).exact(x)
        assert abs(got - expected) <= abs(expected) * mpmath.mpf(10) ** -16 + mpmath.mpf(2) ** -190


def test_exact_uses_the_parameters_of_a_file() -> None:
    alpha = float(np.float32(0.15))
    assert alpha != 0.15
    assert float(Truth(activation("sau")).exact(-2.0)) == -2.0 * alpha
    assert float(Truth(activation("leaky_relu"), {"negative_slope": 0.5}).exact(-3.0)) == -1.5


@pytest.mark.parametrize("name", names())
def test_float64_oracle_is_confirmed_by_mpmath(name: str) -> None:
    off, where = Truth(activation(name)).check([-3.0, 3.0, 6.0], seed=5)
    assert off < 1e-5, where


def test_an_oracle_that_cancels_is_refused() -> None:
    mine = Activation("mine", cos(X) - 1 + X**2 / 2, "test")
    with pytest.raises(CheckFailed, match=r"the float64 oracle of mine is off by .* ULP of float32 at x = "):
        Truth(mine).check([], seed=0)


def test_allowances() -> None:
    assert allowed_error("onnxruntime", 0.0, "float32", "f32") == 10 * 2**-24
    assert allowed_error("onnxruntime", 4e-7, "float32", "f32") == 4e-7 + 10 * 2**-24
    assert allowed_error("openvino", 0.0, "bfloat16", "f32") == 34 * 2**-24 + 4 * 2**-8
    assert allowed_error("openvino", 0.0, "float16", "f32+f16") == 34 * 2**-11 + 4 * 2**-11
    assert allowed_error("onnxruntime", 0.0, "float16", "unknown") == 14 * 2**-11
