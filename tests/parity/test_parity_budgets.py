"""The error budget: what it is made of, and where it ends."""

import pytest

from edgeacts.forms import TOLERANCE
from edgeacts.parity.budgets import (
    COARSEST_FIRST,
    DECISIVE,
    FORM_BOUND_AT_MOST,
    FORM_FACTOR,
    FORM_GROWTH,
    INT8_SHARE,
    LAST_ROUNDINGS,
    LOWERED_FACTOR,
    NOISE_FACTOR,
    UNIT_ROUNDOFF,
    coarsest,
    limits,
    make_budget,
)
from edgeacts.records import Budget
from edgeacts.runtimes import PRECISIONS


def budget(
    precision: str = "f32",
    noise: float = 1e-6,
    lowered: float | None = None,
    size: float = 3.0,
    bound: float = 0.0,
) -> Budget:
    sources = {"rounding": noise / 2, "accumulation order": noise}
    return make_budget(
        "random", "logits", precision, noise_sources=sources, lowered=lowered, size=size, form_bound=bound
    )


def test_float32_is_allowed_its_measured_noise_and_the_last_roundings() -> None:
    made = budget(noise=1e-6, size=3.0)
    assert (made.inputs, made.output, made.precision) == ("random", "logits", "f32")
    assert made.noise == 1e-6 == max(made.noise_sources.values())
    assert made.noise_share == pytest.approx(NOISE_FACTOR * 1e-6)
    assert made.precision_share == pytest.approx(LAST_ROUNDINGS * 2**-24 * 3.0)
    assert made.form_share == 0.0
    assert made.allowed == pytest.approx(made.noise_share + made.precision_share)
    assert limits(made) == pytest.approx((made.allowed, made.allowed))


def test_without_any_noise_the_last_bits_of_the_result_remain() -> None:
    made = make_budget("random", "y", "f32", noise_sources={}, lowered=None, size=1.0, form_bound=0.0)
    assert made.allowed == LAST_ROUNDINGS * 2**-24


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_a_lower_precision_is_allowed_what_its_emulation_moves(precision: str) -> None:
    made = budget(precision, lowered=1e-3)
    last = LAST_ROUNDINGS * UNIT_ROUNDOFF[precision] * 3.0
    assert made.precision_share == pytest.approx(LOWERED_FACTOR * 1e-3 + last)


def test_without_an_emulation_the_noise_is_scaled_by_the_roundings() -> None:
    made = budget("bf16", noise=1e-7, size=0.0)
    assert made.precision_share == pytest.approx(LOWERED_FACTOR * 1e-7 * 2**16)


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
def test_noise_excuses_only_so_much_and_beyond_it_nobody_can_tell(precision: str) -> None:
    made = budget(precision, noise=0.1, lowered=0.1)
    passes, explained = limits(made)
    assert made.allowed == passes == DECISIVE[precision]
    assert explained == pytest.approx(made.noise_share + made.precision_share)
    assert explained > 5 * passes or precision != "f32"


def test_eight_bits_may_move_an_output_by_its_movement() -> None:
    made = budget("int8", lowered=None)
    assert made.allowed == INT8_SHARE
    assert limits(made).explained == pytest.approx(INT8_SHARE + made.noise_share)


def test_a_form_is_granted_on_top_of_everything() -> None:
    made = budget(noise=1.0, bound=1e-3)
    assert made.form_share == pytest.approx(FORM_GROWTH * 1e-3)
    assert made.allowed == pytest.approx(DECISIVE["f32"] + FORM_GROWTH * 1e-3)


@pytest.mark.parametrize(("growth", "granted"), [(200.0, 200.0 * FORM_FACTOR), (5.0, FORM_GROWTH)])
def test_a_form_is_granted_what_became_of_such_an_error_in_this_network(
    growth: float, granted: float
) -> None:
    made = make_budget(
        "random", "y", "f32", noise_sources={}, lowered=None, size=1.0, form_bound=1e-5, form_growth=growth
    )
    assert made.form_share == pytest.approx(granted * 1e-5)


def test_the_tables_have_every_precision_and_the_bound_of_the_export() -> None:
    assert set(UNIT_ROUNDOFF) == set(DECISIVE) == set(COARSEST_FIRST) >= set(PRECISIONS)
    assert DECISIVE["f32"] < DECISIVE["f16"] < DECISIVE["bf16"] < DECISIVE["int8"]
    assert FORM_BOUND_AT_MOST == TOLERANCE


@pytest.mark.parametrize(
    ("precision", "decides"),
    [
        ("f32", "f32"),
        ("f32+int8", "int8"),
        ("f32+bf16", "bf16"),
        ("f16+f32", "f16"),
        ("unknown", "f32"),
        ("f64", "f64"),
    ],
)
def test_the_coarsest_part_decides(precision: str, decides: str) -> None:
    assert coarsest(precision) == decides
