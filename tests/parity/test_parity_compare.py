"""One output against the reference: what passes, what fails, what is blind, and for which reason."""

import math

import msgspec
import numpy as np
import pytest

from edgeacts.parity.budgets import STILL_ROUNDINGS, make_budget
from edgeacts.parity.comparing import Place, compare
from edgeacts.records import Budget, ParityRow

PLACE = Place("m.onnx", "onnxruntime", "all", "f32", "random", batch=2, threads=1)
RNG = np.random.default_rng(5)
EXPECTED = RNG.standard_normal((40, 10)) * 3.0
MOVED = EXPECTED.std(axis=0).max()


def allowing(error: float, precision: str = "f32", noise: float = 0.0) -> Budget:
    """A budget under which so much passes."""
    made = make_budget(
        "random",
        "logits",
        precision,
        noise_sources={"rounding": noise},
        lowered=None,
        size=1.0,
        form_bound=0.0,
    )
    return msgspec.structs.replace(made, allowed=error)


def judge(
    expected: np.ndarray,
    found: np.ndarray | None,
    allowed: float = 1e-4,
    place: Place = PLACE,
    **options: float,
) -> ParityRow:
    return compare(place, "logits", expected, found, allowing(allowed), **options)


def test_the_same_values_pass() -> None:
    row = judge(EXPECTED, EXPECTED.copy())
    assert row.passed
    assert (row.outcome, row.max_error, row.relative_error, row.reason) == ("pass", 0.0, 0.0, "")
    assert (row.p999_error, row.mean_error, row.snr_db) == (0.0, 0.0, None)
    assert (row.predictions_differ, row.predictions_total, row.flip_margin) == (0, 40, None)
    assert row.flip_interval == pytest.approx((0.0, 0.0876), abs=1e-4)
    assert (row.input_count, row.value_count) == (40, 400)
    assert (row.batch, row.threads, row.output) == (2, 1, "logits")
    assert row.movement == pytest.approx(MOVED)


@pytest.mark.parametrize(("share", "passes"), [(0.99, True), (1.01, False)])
def test_the_limit_is_a_share_of_the_movement(share: float, passes: bool) -> None:
    found = EXPECTED.copy()
    found[17, 3] += 1e-4 * MOVED * share
    row = judge(EXPECTED, found)
    assert row.passed is passes
    assert row.worst_input == 17
    assert row.relative_error == pytest.approx(1e-4 * share, rel=1e-6)
    assert row.reason == ("" if passes else "error 0.0001 of the movement, 0.0001 allowed")


def test_the_error_has_a_largest_a_percentile_a_mean_and_a_power() -> None:
    found = EXPECTED.copy()
    found[3] += 0.5
    row = judge(EXPECTED, found)
    assert row.max_error == pytest.approx(0.5)
    assert row.mean_error == pytest.approx(0.5 / 40)
    assert row.p999_error == pytest.approx(np.quantile(np.abs(found - EXPECTED), 0.999))
    signal = np.sum((EXPECTED - EXPECTED.mean(axis=0)) ** 2)
    assert row.snr_db == pytest.approx(10 * math.log10(signal / (10 * 0.25)))


def test_a_movement_known_from_more_inputs_is_taken() -> None:
    row = judge(EXPECTED[:2], EXPECTED[:2] + 1e-4, moved=2.0)
    assert row.movement == 2.0
    assert row.relative_error == pytest.approx(5e-5)


def test_the_scale_of_the_output_does_not_matter() -> None:
    found = EXPECTED + 3e-4 * MOVED
    for scale in (1e-20, 1.0, 1e20):
        row = judge(EXPECTED * scale, found * scale)
        assert row.outcome == "fail"
        assert row.relative_error == pytest.approx(3e-4)


def test_an_offset_does_not_hide_an_error() -> None:
    found = EXPECTED.copy()
    found[0, 0] += 0.01 * MOVED
    assert judge(EXPECTED + 1000.0, found + 1000.0).outcome == "fail"


@pytest.mark.parametrize("side", ["reference", "candidate", "both"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_fails_on_either_side(side: str, value: float) -> None:
    expected, found = EXPECTED.copy(), EXPECTED.copy()
    if side != "candidate":
        expected[2, 1] = value
    if side != "reference":
        found[2, 1] = value
    row = judge(expected, found)
    assert row.outcome == "fail"
    named = "candidate" if side == "candidate" else "reference"
    assert row.reason == f"1 of 400 values of the {named} are not finite"
    assert row.max_error is None
    assert compare(PLACE, "logits", expected, found, None).outcome == "fail"


def test_missing_empty_and_misshapen_outputs_fail() -> None:
    assert judge(EXPECTED, None).reason == "the output is missing"
    assert judge(EXPECTED, EXPECTED[:-1]).reason == "shape [39, 10], the reference has [40, 10]"
    assert judge(EXPECTED, EXPECTED[..., None]).reason == "shape [40, 10, 1], the reference has [40, 10]"
    assert judge(EXPECTED, EXPECTED.T).reason == "shape [10, 40], the reference has [40, 10]"
    assert judge(EXPECTED[:0], EXPECTED[:0]).reason == "nothing to compare: the output is empty"
    for found in (None, EXPECTED[:-1], EXPECTED.T):
        assert judge(EXPECTED, found).outcome == "fail"


@pytest.mark.parametrize(
    "expected", [np.ones((40, 10)), np.zeros((40, 10)), np.ones((1, 10)) * RNG.random(10)]
)
def test_an_output_that_does_not_move_is_blind_even_where_it_agrees(expected: np.ndarray) -> None:
    row = compare(PLACE, "logits", expected, expected.copy(), None)
    assert row.outcome == "blind"
    assert not row.passed
    assert row.reason == (
        "blind: the output hardly moves with the input (0 of its size), so agreement means nothing; "
        "verify trained weights on real inputs"
    )
    assert row.max_error == 0.0


def test_an_output_that_does_not_move_can_still_be_wrong() -> None:
    expected = np.ones((40, 10)) * 2.0
    limit = STILL_ROUNDINGS * 2**-24 * 2.0
    assert compare(PLACE, "logits", expected, expected + 0.9 * limit, None).outcome == "blind"
    row = compare(PLACE, "logits", expected, expected + 1.1 * limit, None)
    assert row.outcome == "fail"
    assert row.reason == "error 3.4e-05 of an output that hardly moves with the input, 3.1e-05 allowed"


def test_between_what_passes_and_what_noise_explains_nobody_can_tell() -> None:
    budget = make_budget(
        "random",
        "logits",
        "f32",
        noise_sources={"accumulation order": 0.02},
        lowered=None,
        size=0.0,
        form_bound=0.0,
    )
    outcomes = [
        compare(PLACE, "logits", EXPECTED, EXPECTED + share * MOVED, budget)
        for share in (0.04, 0.06, 0.15, 0.17)
    ]
    assert [row.outcome for row in outcomes] == ["pass", "blind", "blind", "fail"]
    assert outcomes[1].reason == (
        "blind: error 0.06 of the movement is within what the model's own noise (0.02) and f32 explain (0.16), "
        "but above 0.05 nobody can tell; verify trained weights on real inputs"
    )
    assert outcomes[3].reason == "error 0.17 of the movement, 0.05 allowed"


def test_other_predictions_are_counted_and_how_near_they_were() -> None:
    found = EXPECTED.copy()
    found[3] = found[3][::-1]
    found[9] = -found[9]
    row = judge(EXPECTED, found)
    assert row.predictions_differ == 2
    assert row.flip_interval == pytest.approx((0.0138, 0.1650), abs=1e-4)
    leads = [EXPECTED[i].max() - EXPECTED[i][found[i].argmax()] for i in (3, 9)]
    assert row.flip_margin == pytest.approx(max(leads) / MOVED)
    scores = judge(EXPECTED[..., None], EXPECTED[..., None])
    assert (scores.predictions_differ, scores.predictions_total, scores.flip_interval) == (None, None, None)


@pytest.mark.parametrize(("flipped", "passes"), [(4, True), (12, False)])
def test_eight_bits_may_flip_few_predictions(flipped: int, passes: bool) -> None:
    """4 of 100 may be 1.6 % in truth; 12 of 100 are at least 7 %."""
    expected = np.tile([1.0, 0.9], (100, 1)) + RNG.standard_normal((100, 1))
    found = expected.copy()
    found[:flipped] = found[:flipped, ::-1]
    place = Place("m.onnx", "onnxruntime", "all", "int8+f32", "validation", batch=1, threads=1)
    row = judge(expected, found, allowed=1.0, place=place)
    assert row.passed is passes
    assert row.reason == (
        ""
        if passes
        else "12 of 100 predictions flip: at least 7% with 95 % confidence, 5% allowed for 8 bits"
    )
