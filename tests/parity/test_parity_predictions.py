"""Predictions that flip, and the interval of their share."""

import numpy as np
import pytest

from edgeacts.parity.predictions import Flips, count_flips
from edgeacts.shares import wilson_interval

SCORES = np.array([[1.0, 4.0, 2.0], [5.0, 0.0, 4.5], [3.0, 2.0, 1.0]])


def test_nothing_flips_between_equal_scores() -> None:
    assert count_flips(SCORES, SCORES * 2 + 1) == Flips(0, 3, None)


def test_the_margin_is_the_lead_over_what_was_chosen_instead() -> None:
    found = SCORES.copy()
    found[0] = [9.0, 4.0, 5.0]  # class 0 instead of 1, which led it by 3
    found[1] = [4.4, 0.0, 4.5]  # class 2 instead of 0: by 0.5
    assert count_flips(SCORES, found) == Flips(2, 3, 3.0)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2, 2)])
def test_what_is_not_class_scores_has_no_predictions(shape: tuple[int, ...]) -> None:
    assert count_flips(np.ones(shape), np.ones(shape)) is None


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0), (3, 263, 0.00389, 0.03301)],
)
def test_wilson_as_published_tables_have_it(hits: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(hits, total) == pytest.approx((low, high), abs=2e-5)


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for hits, total in ((1, 7), (6, 128), (127, 128)):
        theirs = binomtest(hits, total).proportion_ci(method="wilson")
        assert wilson_interval(hits, total) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
