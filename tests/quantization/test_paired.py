"""Paired drops: the interval covers the truth in 95 of 100 simulated comparisons, and is the score test's inverse."""

import math
from functools import cache

import numpy as np
import pytest

from edgeacts.errors import UsageError
from edgeacts.quantization.paired import compare, images_needed, right_answers, tango_interval
from edgeacts.records import PairedDrop

Z2 = 1.959963984540054**2


def score_by_likelihood(lost: int, gained: int, total: int, delta: float) -> float:
    """Tango's statistic with the nuisance share found by brute force: the most likely q with p(lost) = q + delta."""
    q = np.linspace(max(0.0, -delta), (1 - delta) / 2, 400_001)[1:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = np.zeros_like(q)
        for count, share in ((lost, q + delta), (gained, q), (total - lost - gained, 1 - 2 * q - delta)):
            likelihood += count * np.log(share) if count else 0.0
    best = q[np.nanargmax(likelihood)]
    return (lost - gained - total * delta) / math.sqrt(total * (2 * best + delta * (1 - delta)))


@pytest.mark.parametrize(
    ("lost", "gained", "total"), [(12, 2, 50), (9, 1, 54), (1, 30, 98), (3, 3, 20), (250, 180, 10_000)]
)
def test_each_end_is_where_the_score_test_begins_to_reject(lost: int, gained: int, total: int) -> None:
    low, high = tango_interval(lost, gained, total)
    assert score_by_likelihood(lost, gained, total, low) == pytest.approx(math.sqrt(Z2), rel=1e-3)
    assert score_by_likelihood(lost, gained, total, high) == pytest.approx(-math.sqrt(Z2), rel=1e-3)
    assert low < (lost - gained) / total < high
    assert tango_interval(gained, lost, total) == pytest.approx((-high, -low), abs=1e-12)


def test_closed_forms_at_the_edges() -> None:
    for total in (1, 44, 360, 10_000):
        assert tango_interval(0, 0, total) == pytest.approx((-Z2 / (total + Z2), Z2 / (total + Z2)), abs=1e-9)
        low, high = tango_interval(total, 0, total)
        assert high == 1.0
        assert low == pytest.approx(max(-1.0, (total - Z2) / (total + Z2)), abs=1e-9)


def test_nought_is_outside_exactly_when_mcnemars_test_rejects() -> None:
    for lost in range(12):
        for gained in range(12):
            low, high = tango_interval(lost, gained, 60)
            rejects = lost + gained > 0 and (lost - gained) ** 2 / (lost + gained) > Z2
            assert (low > 0 or high < 0) == rejects, (lost, gained)


@pytest.mark.parametrize(
    ("lost", "gained", "total"),
    [(0.01, 0.01, 10_000), (0.02, 0.015, 2_000), (0.05, 0.02, 360), (0.005, 0.0, 1_000), (0.12, 0.02, 500)],
)
def test_the_interval_covers_the_truth(lost: float, gained: float, total: int) -> None:
    interval = cache(tango_interval)
    counts = np.random.default_rng(0).multinomial(total, [lost, gained, 1 - lost - gained], size=4000)
    inside = [
        low <= lost - gained <= high for low, high in (interval(int(b), int(c), total) for b, c, _ in counts)
    ]
    assert 0.935 <= np.mean(inside) <= 0.985  # 95 %; discrete counts make it a little more where they are few


def test_the_verdicts_are_wrong_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(1)
    judged = cache(lambda lost, gained: _drop(lost, gained, 5000).verdict(0.5))
    for true_drop in (0.5, 0.9):  # points; at most 0.5 are allowed
        counts = rng.multinomial(5000, [0.01 + true_drop / 100, 0.01, 0.98 - true_drop / 100], size=2000)
        verdicts = [judged(int(b), int(c)) for b, c, _ in counts]
        assert verdicts.count("holds") <= 0.035 * len(
            verdicts
        )  # a one-sided 2.5 %, and what 2000 draws scatter
        if true_drop == 0.5:
            assert verdicts.count("fails") <= 0.035 * len(verdicts)
        assert verdicts.count("cannot tell") > 0.3 * len(verdicts)


def _drop(lost: int, gained: int, total: int) -> PairedDrop:
    reference = np.zeros(total, bool)
    reference[:lost] = True
    candidate = np.zeros(total, bool)
    candidate[lost : lost + gained] = True
    return compare(reference, candidate)


def test_the_drop_of_two_lists_of_answers() -> None:
    found = _drop(7, 2, 1000)
    assert (found.total, found.lost, found.gained) == (1000, 7, 2)
    assert (found.reference_correct, found.candidate_correct) == (7, 2)
    assert found.drop == pytest.approx(0.5)
    assert (found.low / 100, found.high / 100) == pytest.approx(tango_interval(7, 2, 1000))
    assert str(found) == f"drop 0.50 points ({found.low:.2f} to {found.high:.2f})"


@pytest.mark.parametrize(
    ("lost", "gained", "total", "verdict"),
    [(0, 0, 10_000, "holds"), (5, 30, 10_000, "holds"), (300, 20, 10_000, "fails"), (0, 0, 300, "cannot tell"), (60, 20, 10_000, "cannot tell")],
)  # fmt: skip
def test_verdicts(lost: int, gained: int, total: int, verdict: str) -> None:
    assert _drop(lost, gained, total).verdict(0.5) == verdict


def test_how_many_images_a_proof_needs() -> None:
    needed = images_needed(0.5)
    assert needed == 765
    assert _drop(0, 0, needed).verdict(0.5) == "holds"
    assert _drop(0, 0, needed - 1).verdict(0.5) == "cannot tell"
    with pytest.raises(UsageError, match="a drop of at most 0 points cannot be proved: give more than 0"):
        images_needed(0)
    with pytest.raises(UsageError, match=r"a share of 1\.2 of the images cannot differ: give 0 to 1"):
        images_needed(0.5, 1.2)


@pytest.mark.parametrize(("limit", "differing"), [(0.5, 0.01), (0.5, 0.1), (2.0, 0.05), (20.0, 0.9)])
def test_models_that_differ_more_often_need_more_images(limit: float, differing: float) -> None:
    """With so many images, as many lost as gained, the interval ends at the limit."""
    needed = images_needed(limit, differing)
    assert needed > images_needed(limit, differing / 2) > images_needed(limit)
    each = round(differing / 2 * needed)
    assert 100 * tango_interval(each, each, needed)[1] == pytest.approx(limit, rel=0.03)


def test_right_answers_by_hand() -> None:
    scores = np.array([[0.0, 1.0], [2.0, 1.0], [np.nan, 1.0], [3.0, 3.0]], np.float32)
    assert right_answers(scores, np.array([1, 1, 1, 0])).tolist() == [True, False, False, True]
    with pytest.raises(UsageError, match=r"scores of shape \(4, 2\) and labels of shape \(3,\)"):
        right_answers(scores, np.array([1, 1, 1]))


@pytest.mark.parametrize(
    ("reference", "candidate", "text"),
    [
        (np.ones(3, bool), np.ones(4, bool), "two arrays of the same images"),
        (np.ones(0, bool), np.ones(0, bool), "two arrays of the same images"),
        (np.ones((2, 2), bool), np.ones((2, 2), bool), "two arrays of the same images"),
        (np.ones(3), np.ones(3, bool), "give booleans"),
    ],
)
def test_what_cannot_be_compared(reference: np.ndarray, candidate: np.ndarray, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        compare(reference, candidate)


def test_counts_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="lost 3 and gained 3 of 5 images cannot be"):
        tango_interval(3, 3, 5)
