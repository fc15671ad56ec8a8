"""Histograms and ranges: against numpy on all values, against hand-made distributions, in pairs."""

import numpy as np
import pytest

from edgeacts.quantization.histograms import BINS, Growing, Histogram
from edgeacts.quantization.ranges import (
    LEVELS,
    METHODS,
    divergence,
    entropy,
    minmax,
    mse,
    percentile,
    rounded,
)


def collected(*parts: np.ndarray) -> Histogram:
    growing = Growing()
    for part in parts:
        growing.add(float(part.min()), float(part.max()), part.astype(np.float32))
    return growing.histogram()


RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(200_000).astype(np.float32)
SPIKED = np.concatenate([NORMAL, np.float32([40.0])])  # one value far out


def test_a_histogram_that_grew_counts_what_one_of_all_values_counts() -> None:
    parts = [0.01 * NORMAL[:1000], NORMAL[1000:5000], 30 * NORMAL[5000:6000] - 100, NORMAL[6000:7000] + 500]
    grown = collected(*parts)
    everything = np.concatenate(parts)
    edges = (np.arange(len(grown.counts) + 1) + grown.first) * grown.width
    wanted, _ = np.histogram(everything.astype(np.float64), bins=edges)
    assert np.abs(grown.counts - wanted).sum() <= 4  # values within float32's rounding of an edge
    assert grown.counts.sum() == len(everything)
    assert len(grown.counts) <= BINS
    assert (grown.lowest, grown.highest) == (float(everything.min()), float(everything.max()))


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-30, 65504.0])
def test_a_constant_tensor_has_a_histogram(value: float) -> None:
    found = collected(np.full(10, value, np.float32), np.full(10, value, np.float32))
    assert found.counts.sum() == 20
    for name, method in METHODS.items():
        low, high = method(found, None)
        assert np.isfinite([low, high]).all(), name
        assert low <= high + 1e-30, name


def test_extremes_are_of_all_values_though_only_some_are_counted() -> None:
    growing = Growing()
    growing.add(-7.0, 9.0, np.zeros(5, np.float32))
    assert minmax(growing.histogram()) == (-7.0, 9.0)


@pytest.mark.parametrize("share", [0.999, 0.99])
def test_percentile_is_numpys(share: float) -> None:
    found = collected(NORMAL)
    low, high = percentile(share)(found, None)
    assert low == pytest.approx(np.quantile(NORMAL, (1 - share) / 2), abs=2 * found.width)
    assert high == pytest.approx(np.quantile(NORMAL, 1 - (1 - share) / 2), abs=2 * found.width)


@pytest.mark.parametrize("method", [mse, percentile(0.9999)])
def test_one_value_far_out_is_cut_off(method: object) -> None:
    assert minmax(collected(SPIKED))[1] == 40.0
    assert method(collected(SPIKED), None)[1] < 35.0  # type: ignore[operator]


@pytest.mark.parametrize("values", [SPIKED, np.float32(NORMAL**3)])
def test_entropy_takes_the_range_that_keeps_the_distribution_best(values: np.ndarray) -> None:
    found = collected(values)
    low, high = entropy(found, None)
    assert found.lowest <= low < 0 < high <= found.highest
    kept = divergence(found.shares, found.centres, low, high)
    assert kept <= divergence(found.shares, found.centres, found.lowest, found.highest)
    assert kept < divergence(found.shares, found.centres, 0.2 * low, 0.2 * high)


def error_of(values: np.ndarray, given: tuple[float, float]) -> float:
    return float(np.mean(np.square(rounded(values.astype(np.float64), *given) - values)))


@pytest.mark.parametrize("values", [NORMAL, SPIKED, np.abs(NORMAL), RNG.uniform(-1, 3, 50_000)])
def test_mse_leaves_no_more_error_than_any_other_method(values: np.ndarray) -> None:
    found = collected(values.astype(np.float32))
    best = error_of(values, mse(found, None))
    for name, method in METHODS.items():
        assert best <= 1.02 * error_of(values, method(found, None)), name


def test_behind_an_activation_the_flat_side_gets_no_steps() -> None:
    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0.0)

    values = 3.0 * NORMAL - 4.0
    found = collected(values)
    low, high = mse(found, relu)
    assert low > mse(found, None)[0] / 2
    wanted = relu(values.astype(np.float64))
    behind = [
        float(np.mean(np.square(relu(rounded(values.astype(np.float64), *given)) - wanted)))
        for given in ((low, high), mse(found, None))
    ]
    assert behind[0] < 0.5 * behind[1]


def test_rounding_has_zero_and_256_steps() -> None:
    x = np.linspace(-1.3, 2.2, 10_001)
    given = rounded(x, -1.0, 2.0)
    assert len(np.unique(given)) == LEVELS
    assert 0.0 in given
    assert np.all(rounded(x, 0.0, 0.0) == 0.0)
    assert rounded(np.array([5.0]), 1.0, 2.0)[0] == pytest.approx(2.0)  # zero always belongs to the range
