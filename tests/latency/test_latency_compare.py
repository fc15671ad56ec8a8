"""An older record against a new one, and `assert_not_slower`: what fails, what passes, and what both say."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edgeacts.errors import UsageError
from edgeacts.latency import benchmark
from edgeacts.latency.comparing import Change, compare_latency, comparison_lines, quotient
from edgeacts.latency.intervals import Interval
from edgeacts.records import LatencyRecord
from edgeacts.testing import assert_not_slower

if TYPE_CHECKING:
    from conftest import Fake


def record(folder: Path, fake: "Fake", seed: int = 0, **costs_ms: float) -> LatencyRecord:
    fake.costs_ms |= {(name, "onnxruntime"): cost for name, cost in costs_ms.items()}
    return benchmark([folder / f"{name}.onnx" for name in costs_ms], seed=seed)


def elsewhere(one: LatencyRecord) -> LatencyRecord:
    return msgspec.structs.replace(
        one, circumstances=msgspec.structs.replace(one.circumstances, cpu="another CPU")
    )


def answers(changes: list[Change]) -> dict[str, tuple[str | None, bool]]:
    return {change.label: (change.by, change.slower) for change in changes}


def test_ratios_are_compared_where_the_baseline_is_the_same(folder: Path, fake: "Fake") -> None:
    old = record(folder, fake, relu=10, mish=15, nish=20)
    new = record(folder, fake, relu=20, mish=30, nish=45)  # a machine half as fast, and nish 12.5 % slower
    for before in (old, elsewhere(old)):
        changes = compare_latency(new, before)
        assert answers(changes) == {"relu": (None, False), "mish": ("ratio", False), "nish": ("ratio", True)}
        assert changes[2].change is not None
        assert changes[2].change.ratio == pytest.approx(1.125, rel=1e-3)
    lines = comparison_lines(changes, 0.05)
    assert lines[0] == (
        "relu on onnxruntime: not compared: it is the baseline, the same file on the same runtime as before"
    )
    assert lines[1].startswith("mish on onnxruntime: not slower: ratio to the baseline now/then 1.00 [0.99")
    assert lines[2].startswith("nish on onnxruntime: slower: ratio to the baseline now/then 1.1")
    assert lines[-1] == "slower = the whole interval lies above 1.05 by more than the A/A floors"


def test_within_the_tolerance_or_too_uncertain_it_is_not_slower(folder: Path, fake: "Fake") -> None:
    old, new = record(folder, fake, relu=10, mish=10), record(folder, fake, relu=10, mish=10.6)
    assert answers(compare_latency(new, old))["mish"] == ("ratio", False)
    assert "mish on onnxruntime: cannot tell: " in comparison_lines(compare_latency(new, old), 0.05)[1]
    assert answers(compare_latency(new, old, tolerance=0.02))["mish"] == ("ratio", True)


def test_a_noise_floor_must_be_exceeded_too(folder: Path, fake: "Fake") -> None:
    old, new = record(folder, fake, relu=10, mish=10), record(folder, fake, relu=10, mish=11)
    assert answers(compare_latency(new, old))["mish"] == ("ratio", True)
    floor = msgspec.structs.replace(new.noise_floors[0], ratio=0.94)
    shaky = msgspec.structs.replace(new, noise_floors=(floor,))
    assert answers(compare_latency(shaky, old))["mish"] == ("ratio", False)


def test_times_are_compared_where_the_baseline_changed(folder: Path, fake: "Fake") -> None:
    old = record(folder, fake, relu=10, mish=10)
    (folder / "relu.onnx").write_bytes(
        (folder / "relu.onnx").read_bytes() + b"\x32\x00"
    )  # an empty doc string
    new = record(folder, fake, relu=13, mish=10)
    assert old.series[0].model_sha256 != new.series[0].model_sha256
    assert answers(compare_latency(new, old)) == {"relu": ("time", True), "mish": ("time", False)}
    # On another CPU times say nothing.
    changes = compare_latency(new, elsewhere(old))
    assert answers(changes) == {"relu": (None, False), "mish": ("ratio", False)}
    assert "the CPU differs (another CPU): give a second model to compare with" in changes[0].reason


def test_a_single_model_is_compared_by_its_times(folder: Path, fake: "Fake") -> None:
    old, new = record(folder, fake, relu=10), record(folder, fake, relu=12)
    assert answers(compare_latency(new, old)) == {"relu": ("time", True)}
    assert (
        "relu on onnxruntime: slower: time now/then 1.20 ["
        in comparison_lines(compare_latency(new, old), 0.05)[0]
    )
    assert answers(compare_latency(old, new)) == {"relu": ("time", False)}


def test_the_way_can_be_asked_for(folder: Path, fake: "Fake") -> None:
    old, new = record(folder, fake, relu=10, mish=15), record(folder, fake, relu=20, mish=30)
    assert answers(compare_latency(new, old, by="time")) == {"relu": ("time", True), "mish": ("time", True)}
    assert answers(compare_latency(new, old, by="ratio")) == {"relu": (None, False), "mish": ("ratio", False)}
    with pytest.raises(UsageError, match="unknown way to compare 'times': did you mean time"):
        compare_latency(new, old, by="times")


def test_what_cannot_be_compared_is_said(folder: Path, fake: "Fake") -> None:
    old, new = record(folder, fake, relu=10, mish=15), record(folder, fake, relu=10, nish=15)
    assert [change.reason for change in compare_latency(new, old)][1] == "not in the old record"
    with pytest.raises(
        UsageError, match="the old record was measured with batch 7, this one with 1: use the same"
    ):
        compare_latency(new, msgspec.structs.replace(old, batch=7))
    assert answers(compare_latency(new, old))["mish"] == (None, False)
    assert compare_latency(new, old)[-1].reason == "in the old record, not measured now"
    refused = msgspec.structs.replace(new, skipped={"mish on onnxruntime": "Mish is not implemented"})
    assert compare_latency(refused, old)[-1].reason == "Mish is not implemented"
    only = record(folder, fake, mish=15)
    with pytest.raises(
        UsageError,
        match="nothing to compare: the old record has mish on onnxruntime, this one relu on onnxruntime, nish",
    ):
        compare_latency(new, only)


@pytest.mark.parametrize(
    ("name", "was"), [("inputs", "x float32[1, 9]"), ("precision", "bf16"), ("provider", "cuda")]
)
def test_what_ran_otherwise_is_not_compared(folder: Path, fake: "Fake", name: str, was: str) -> None:
    old = new = record(folder, fake, relu=10, mish=15)
    series = [
        msgspec.structs.replace(one, executed={**one.executed, name: was}) if one.label == "mish" else one
        for one in old.series
    ]
    change = compare_latency(new, msgspec.structs.replace(old, series=tuple(series)))[1]
    assert (change.change, change.slower) == (None, False)
    assert change.reason == f"{name} was {was}, is {new.series[1].executed.get(name)}"


def test_both_records_uncertainty_counts() -> None:
    both = quotient(Interval(1.2, 1.16, 1.25), Interval(1.0, 0.97, 1.03))
    assert both.ratio == pytest.approx(1.2)
    assert both.low < 1.2 * 1.16 / 1.2
    assert both.low == pytest.approx(1.148, abs=1e-3)
    assert both.high == pytest.approx(1.263, abs=1e-3)


def test_a_slower_candidate_fails_the_assertion(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("mish", "onnxruntime"): 11.5}
    with pytest.raises(AssertionError) as caught:
        assert_not_slower(folder / "mish.onnx", folder / "relu.onnx", budget_s=20)
    text = str(caught.value)
    assert "mish.onnx is slower than 1.05 times " in text
    assert "relu.onnx on onnxruntime: 1.15 [1.1" in text
    assert "(11.500 against 10.000 ms)" in text
    assert "A/A on onnxruntime: relu over its own copy 1.00 [0.9" in text
    assert "ratios known within 1 % (2 % asked for)" in text


@pytest.mark.parametrize(
    ("cost", "than", "comparison"),
    [
        (10, 1.05, "cannot tell"),
        (10.4, 1.05, "slower"),
        (9, 1.05, "faster"),
        (11.5, 1.2, "slower"),
        (10.55, 1.05, "slower"),
    ],
)
def test_what_is_not_surely_slower_passes(
    folder: Path, fake: "Fake", cost: float, than: float, comparison: str
) -> None:
    fake.costs_ms |= {("mish", "onnxruntime"): cost}
    found = assert_not_slower(folder / "mish.onnx", folder / "relu.onnx", than)
    assert found.series[1].comparison == comparison


def test_an_uncertain_measurement_passes(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("mish", "onnxruntime"): lambda s: 8 + 8 * (len(fake.opened) % 2)}
    found = assert_not_slower(folder / "mish.onnx", folder / "relu.onnx", budget_s=10)
    assert found.series[1].ratio > 1.05
    assert (found.series[1].comparison, found.stopped) == ("cannot tell", "time")


def test_a_candidate_that_cannot_be_measured_fails(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(
        AssertionError, match=r"bad on onnxruntime could not be measured: .* not a valid ONNX model"
    ):
        assert_not_slower(folder / "bad.onnx", folder / "relu.onnx", rounds=5)


def test_files_of_one_name_and_wrong_ratios(folder: Path, fake: "Fake") -> None:
    (folder / "old").mkdir()
    (folder / "old" / "relu.onnx").write_bytes((folder / "relu.onnx").read_bytes())
    found = assert_not_slower(folder / "relu.onnx", folder / "old" / "relu.onnx", rounds=5)
    assert [one.label for one in found.series] == ["relu (baseline)", "relu (candidate)"]
    than: Any
    for than in (0, -1, float("nan"), 5000):
        with pytest.raises(UsageError, match="than must be a ratio such as 1.05, got"):
            assert_not_slower(folder / "relu.onnx", folder / "mish.onnx", than)
