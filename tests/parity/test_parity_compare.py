"""One output against the reference: what passes, what fails, and for which reason."""

import math

import numpy as np
import pytest

from edgeacts.forms import TOLERANCE
from edgeacts.parity.budgets import (
    FLOOR,
    FORM_BOUND_AT_MOST,
    FORM_FACTOR,
    NOISE_AT_MOST,
    NOISE_FACTOR,
    allowed_relative_error,
)
from edgeacts.parity.comparing import Place, compare, movement, relative_noise
from edgeacts.records import ParityRow
from edgeacts.runtimes import PRECISIONS

PLACE = Place("m.onnx", "onnxruntime", "all", "f32", "random")
RNG = np.random.default_rng(5)
EXPECTED = RNG.standard_normal((40, 10)) * 3.0
MOVED = EXPECTED.std(axis=0).max()


def judge(expected: np.ndarray, found: np.ndarray | None, allowed: float = 1e-4) -> ParityRow:
    return compare(PLACE, "logits", expected, found, allowed)


def test_the_same_values_pass() -> None:
    row = judge(EXPECTED, EXPECTED.copy())
    assert row.passed
    assert (row.max_error, row.relative_error, row.reason) == (0.0, 0.0, "")
    assert (row.predictions_differ, row.predictions_total) == (0, 40)
    assert (row.input_count, row.value_count) == (40, 400)
    assert row.movement == pytest.approx(MOVED)


@pytest.mark.parametrize(("share", "passes"), [(0.99, True), (1.01, False)])
def test_the_limit_is_a_share_of_the_movement(share: float, passes: bool) -> None:
    found = EXPECTED.copy()
    found[17, 3] += 1e-4 * MOVED * share
    row = judge(EXPECTED, found)
    assert row.passed is passes
    assert row.relative_error == pytest.approx(1e-4 * share, rel=1e-6)
    assert row.reason == ("" if passes else "error 0.0001 of the movement, 0.0001 allowed")


def test_the_scale_of_the_output_does_not_matter() -> None:
    found = EXPECTED + 3e-4 * MOVED
    for scale in (1e-20, 1.0, 1e20):
        row = judge(EXPECTED * scale, found * scale)
        assert not row.passed
        assert row.relative_error == pytest.approx(3e-4)


def test_an_offset_does_not_hide_an_error() -> None:
    found = EXPECTED.copy()
    found[0, 0] += 0.01 * MOVED
    assert not judge(EXPECTED + 1000.0, found + 1000.0).passed


@pytest.mark.parametrize("side", ["reference", "candidate", "both"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_fails_on_either_side(side: str, value: float) -> None:
    expected, found = EXPECTED.copy(), EXPECTED.copy()
    if side != "candidate":
        expected[2, 1] = value
    if side != "reference":
        found[2, 1] = value
    row = judge(expected, found)
    assert not row.passed
    named = "candidate" if side == "candidate" else "reference"
    assert row.reason == f"1 of 400 values of the {named} are not finite"
    assert row.max_error is None


def test_missing_empty_and_misshapen_outputs_fail() -> None:
    assert judge(EXPECTED, None).reason == "the output is missing"
    assert judge(EXPECTED, EXPECTED[:-1]).reason == "shape [39, 10], the reference has [40, 10]"
    assert judge(EXPECTED, EXPECTED[..., None]).reason == "shape [40, 10, 1], the reference has [40, 10]"
    assert judge(EXPECTED, EXPECTED.T).reason == "shape [10, 40], the reference has [40, 10]"
    assert judge(EXPECTED[:0], EXPECTED[:0]).reason == "nothing to compare: the output is empty"
    for found in (None, EXPECTED[:-1], EXPECTED.T):
        assert not judge(EXPECTED, found).passed


@pytest.mark.parametrize(
    "expected", [np.ones((40, 10)), np.zeros((40, 10)), np.ones((1, 10)) * RNG.random(10)]
)
def test_an_output_that_does_not_move_is_blind_even_where_it_agrees(expected: np.ndarray) -> None:
    row = judge(expected, expected.copy())
    assert not row.passed
    assert row.reason.startswith("blind: ")
    assert row.max_error == 0.0


def test_one_element_that_moves_is_enough_to_see() -> None:
    expected = np.ones((40, 10))
    expected[:, 4] += RNG.standard_normal(40)
    assert judge(expected, expected.copy()).passed


def test_other_predictions_are_counted() -> None:
    found = EXPECTED.copy()
    found[3] = found[3][::-1]
    found[9] = -found[9]
    row = judge(EXPECTED, found)
    assert row.predictions_differ == 2
    scores = judge(EXPECTED[..., None], EXPECTED[..., None])
    assert (scores.predictions_differ, scores.predictions_total) == (None, None)


def test_movement_is_the_largest_standard_deviation() -> None:
    assert movement(np.array([[0.0, 5.0], [2.0, 5.0]])) == 1.0
    assert movement(np.array([[3.0, 4.0]])) == 0.0
    assert movement(np.zeros((0, 3))) == 0.0


def test_noise_is_a_share_of_the_movement() -> None:
    rounded = EXPECTED.copy()
    rounded[1, 1] += 0.5 * MOVED
    assert relative_noise(EXPECTED, rounded) == pytest.approx(0.5)
    assert relative_noise(EXPECTED, EXPECTED) == 0.0
    assert relative_noise(np.ones((4, 4)), np.zeros((4, 4))) == 0.0  # blind: another check's concern
    assert relative_noise(EXPECTED, EXPECTED[:3]) == 0.0
    rounded[0, 0] = math.nan
    assert relative_noise(EXPECTED, rounded) == 0.0


def test_the_budget_grows_with_noise_and_form_but_not_without_end() -> None:
    assert allowed_relative_error("f32", 0.0) == FLOOR["f32"]
    assert allowed_relative_error("f32", 1e-5) == pytest.approx(NOISE_FACTOR * 1e-5)
    assert allowed_relative_error("f32", 1.0) == NOISE_AT_MOST < 0.05
    assert allowed_relative_error("f32", 0.0, 1e-5) == pytest.approx(FLOOR["f32"] + FORM_FACTOR * 1e-5)
    assert allowed_relative_error("f32", 1.0, FORM_BOUND_AT_MOST) < 0.05


def test_the_table_has_every_precision_and_the_bound_of_the_export() -> None:
    assert tuple(FLOOR) == PRECISIONS or set(FLOOR) == set(PRECISIONS)
    assert FLOOR["f32"] < FLOOR["f16"] < FLOOR["bf16"]
    assert FORM_BOUND_AT_MOST == TOLERANCE
