"""held, failed, cannot tell: pairs on either side of each border, and how often sound and poor models get which verdict."""

import numpy as np
import pytest

from edgeacts.quantization.gate_verdict import needed_for, rounded_up, summarise, verdict_on
from edgeacts.quantization.paired import POINTS, compare, images_needed, tango_interval
from edgeacts.records import PairedDrop

LIMIT = 0.5


def drop(lost: int, gained: int, total: int) -> PairedDrop:
    answers = np.arange(total)
    return compare(answers >= gained, (answers < gained) | (answers >= gained + lost))


@pytest.mark.parametrize(
    ("lost", "gained", "total", "verdict"),
    [
        (0, 0, 765, "held"),
        (0, 0, 764, "cannot tell"),
        (1, 0, 359, "cannot tell"),
        (5, 0, 359, "cannot tell"),  # 1.39 points seen, 0.32 proved
        (6, 0, 359, "failed"),
        (10, 0, 1000, "failed"),
        (9, 0, 2000, "cannot tell"),  # enough images, and the drop seen is within the limit
        (11, 0, 2000, "failed"),  # beyond it
        (60, 45, 2000, "cannot tell"),  # beyond it too, but models that differ so often need more
        (0, 50, 359, "held"),
    ],
)
def test_verdicts(lost: int, gained: int, total: int, verdict: str) -> None:
    assert verdict_on(drop(lost, gained, total), LIMIT, strict=False) == verdict
    assert (verdict_on(drop(lost, gained, total), LIMIT, strict=True) == "held") == (verdict == "held")


def test_a_model_that_has_failed_surely_loses_something() -> None:
    """Whatever is sent back to float, the interval of its drop excludes no loss at all."""
    seen = set()
    for total in (40, 359, 1000, 2000):
        for lost in range(60):
            for gained in range(39 if total == 40 else 60):
                if lost + gained > total:
                    continue
                low, high = tango_interval(lost, gained, total) if lost > gained else (-1.0, 1.0)
                one = PairedDrop(
                    total=total, reference_correct=total, candidate_correct=total - lost + gained, lost=lost, gained=gained,
                    drop=POINTS * (lost - gained) / total, low=POINTS * low, high=POINTS * high,
                )  # fmt: skip
                for limit in (0.5, 2.0):
                    verdict = verdict_on(one, limit, strict=False)
                    seen.add(verdict)
                    assert verdict != "failed" or low > 0, (lost, gained, total, limit)
    assert seen >= {"failed", "cannot tell"}


@pytest.mark.parametrize("total", [359, 1000, 10_000])
def test_sound_models_seldom_fail_and_poor_ones_do(total: int) -> None:
    rng = np.random.default_rng(0)
    for true, differing, least, most in (
        (0.0, 0.01, 0.0, 0.03),
        (0.5, 0.02, 0.0, 0.5),
        (5.0, 0.03, 0.8, 1.0),
    ):
        lost = differing / 2 + true / 100
        counts = rng.multinomial(total, [lost, differing / 2, 1 - lost - differing / 2], size=400)
        failed = np.mean(
            [verdict_on(drop(int(b), int(c), total), LIMIT, strict=False) == "failed" for b, c, _ in counts]
        )
        assert least <= failed <= most, (true, failed)


def test_texts() -> None:
    def said(*counts: int, strict: bool = False, tries: int = 1) -> str:
        return summarise(drop(*counts), LIMIT, strict=strict, layers=1, tries=tries)

    assert said(0, 0, 1000).startswith(
        "the drop is at most 0.5 points: drop 0.00 points (-0.38 to 0.38) on 1,000"
    )
    assert said(2, 0, 359).startswith(
        "359 images cannot tell whether the drop is at most 0.5 points, about 1,400 are needed; "
    )
    assert "at most 0.5 points, the one seen is too near that; nothing shows a loss beyond" in said(
        9, 0, 2000
    )
    assert said(50, 0, 1000, tries=3).startswith(
        "after 3 tries, the drop is not within 0.5 points: drop 5.00 points"
    )
    assert said(50, 0, 1000).endswith(
        "with 1 layer in float; fine-tune it with --qat, or allow a larger --max-drop"
    )
    assert said(9, 0, 2000, strict=True).startswith("the drop is not proved to be within 0.5 points: ")
    assert said(0, 0, 300, strict=True).startswith(
        "300 images cannot prove a drop of at most 0.5 points, at least 765 "
    )


def test_images_needed_are_rounded_up_to_two_digits() -> None:
    assert [rounded_up(n) for n in (1, 9, 10, 764, 765, 1_000, 1_001, 1_997, 123_456)] == [
        1, 9, 10, 770, 770, 1000, 1100, 2000, 130_000,
    ]  # fmt: skip
    one = drop(2, 1, 300)
    assert needed_for(one, LIMIT) == images_needed(LIMIT, 0.01)
