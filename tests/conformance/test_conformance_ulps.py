"""ULP against what numpy knows, at subnormals, at 0, across 0 and at overflow; the sweeps hold what they promise."""

import numpy as np
import pytest

from edgeacts.conformance.sweeps import SPECIALS, every_value, float32_sweep, neighbours
from edgeacts.conformance.ulps import FLOAT_TYPES, errors_in_ulp, ulp

F32, F16, BF16 = FLOAT_TYPES["float32"], FLOAT_TYPES["float16"], FLOAT_TYPES["bfloat16"]
MAX32 = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("kind", [F32, F16], ids=lambda kind: kind.name)
def test_spacing_is_numpys(kind) -> None:  # type: ignore[no-untyped-def]
    info = np.finfo(kind.numpy)
    rng = np.random.default_rng(3)
    random = rng.integers(0, 2 ** (8 * kind.numpy.itemsize - 1), 5000).astype(f"u{kind.numpy.itemsize}")
    values = random.view(kind.numpy)
    values = np.concatenate(
        [
            values[np.abs(values) <= info.max / 2],
            np.array([0, info.smallest_subnormal, info.tiny, info.tiny / 2, 1, 2], kind.numpy),
        ]
    )
    np.testing.assert_array_equal(ulp(values.astype(np.float64), kind), np.spacing(values).astype(np.float64))
    np.testing.assert_array_equal(
        ulp(-values.astype(np.float64), kind), np.spacing(values).astype(np.float64)
    )


def test_spacing_of_bfloat16() -> None:
    assert ulp(1.0, BF16) == 2**-7
    assert ulp(1.99, BF16) == 2**-7
    assert ulp(2.0, BF16) == 2**-6
    assert ulp(0.0, BF16) == ulp(2.0**-126, BF16) == 2.0**-133


@pytest.mark.parametrize("kind", FLOAT_TYPES.values(), ids=FLOAT_TYPES)
def test_limits(kind) -> None:  # type: ignore[no-untyped-def]
    at = kind.overflows_from
    single = (
        np.float32 if kind.name == "bfloat16" else np.float64
    )  # a float64 becomes a bfloat16 through float32
    below = float(np.nextafter(single(at), single(0)))
    with np.errstate(over="ignore"):
        rounded = np.array([kind.largest, below, at]).astype(kind.numpy).astype(np.float64)
    if kind.name != "float32":
        assert rounded[0] == kind.largest
        assert list(np.isinf(rounded)) == [False, False, True]
    assert kind.unit == 0.5 * ulp(1.0, kind)
    assert float(np.float64(1 + 0.99 * kind.unit).astype(kind.numpy)) == 1.0


def test_errors_are_against_the_true_value_not_its_rounding() -> None:
    third = 1 / 3
    rounded = np.array([np.float32(third)], np.float64)
    assert errors_in_ulp(rounded, np.array([third]), F32)[0] == pytest.approx(1 / 3)
    up = np.nextafter(np.float32(third), np.float32(1)).astype(np.float64)
    assert errors_in_ulp(up[None], np.array([third]), F32)[0] == pytest.approx(4 / 3)


def test_errors_across_zero_and_among_subnormals() -> None:
    least = 2.0**-149
    got = np.array([-least, 0.0, 0.0, -0.0, 3 * least])
    true = np.array([least, 0.0, 5 * least, 0.0, 2.5 * least])
    np.testing.assert_array_equal(errors_in_ulp(got, true, F32), [2, 0, 5, 0, 0.5])
    assert errors_in_ulp(np.array([1e-6]), np.array([0.0]), F16)[0] == pytest.approx(1e-6 / 2**-24)


def test_errors_at_overflow() -> None:
    inf = np.inf
    got = np.array([inf, MAX32, inf, -inf, np.nan, inf])
    true = np.array([1e40, 1e40, MAX32, 1e40, 1.0, inf])
    errors = errors_in_ulp(got, true, F32)
    assert errors[0] == 0  # infinity is right
    assert errors[1] == 1  # and the largest number one off
    assert np.isnan(errors[[2, 3, 4]]).all()
    assert errors[5] == 0


def test_every_finite_value_of_the_small_types() -> None:
    for kind, count in ((F16, 63_488), (BF16, 65_280)):
        values = every_value(kind)
        assert values.dtype == kind.numpy
        assert len(values) == count == len(np.unique(values.view(np.uint16)))
        wide = values.astype(np.float64)
        assert wide.max() == -wide.min() == kind.largest
        assert np.abs(wide[wide != 0]).min() == 2.0 ** (kind.least_exponent - kind.mantissa)
        assert np.count_nonzero(wide == 0) == 2
    with pytest.raises(ValueError, match="float32 has more values than can be tried: use float32_sweep"):
        every_value(F32)


def test_float32_sweep_has_every_exponent_both_signs_and_the_focus() -> None:
    x = float32_sweep([8.25, -3.0], seed=1, mantissas=64)
    bits = x.view(np.uint32)
    assert x.dtype == np.float32
    assert len(np.unique(bits)) == len(x)
    assert np.isfinite(x).all()
    counts = np.bincount((bits >> 23) & 0xFF, minlength=256)
    assert (counts[:255] >= 2 * 4).all()
    assert (counts[127 - 16 : 127 + 7] >= 2 * 64).all()
    assert counts[0] >= 8 + 64  # subnormals, and the neighbours of 0
    np.testing.assert_array_equal(np.sort(np.abs(x[x > 0])), np.sort(np.abs(x[x < 0])))
    for point in (8.25, 3.0, 0.0, MAX32):
        near = point
        for _ in range(32):
            near = np.nextafter(np.float32(near), np.float32(0 if point == MAX32 else np.inf))
        assert {point, float(near), -float(near)} <= set(x.tolist())
    assert {0x00000000, 0x80000000} <= set(bits.tolist())


def test_float32_sweep_is_seeded_and_grows() -> None:
    a, b, c = (float32_sweep(seed=s, mantissas=m) for s, m in ((0, 32), (0, 32), (1, 32)))
    np.testing.assert_array_equal(a, b)
    assert len(np.setdiff1d(c, a)) > 1000
    assert len(float32_sweep(mantissas=128)) > 2 * len(a)


def test_neighbours_keep_their_side() -> None:
    below = neighbours([-3.0], reach=1)
    assert sorted(below.tolist()) == [-3.0 - 2**-22, -3.0, -3.0 + 2**-22]


def test_neighbours_stop_at_zero_and_at_infinity() -> None:
    around = neighbours([0.0, MAX32, np.inf], reach=2)
    assert around.min() == 0
    assert np.isfinite(around).all()
    assert {0.0, 2.0**-149, 2.0**-148, MAX32} <= set(around.astype(float).tolist())


def test_specials() -> None:
    assert list(SPECIALS) == ["nan", "+inf", "-inf", "+0", "-0"]
    assert np.signbit(SPECIALS["-0"])
    assert not np.signbit(SPECIALS["+0"])
