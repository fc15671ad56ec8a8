"""Accuracy on the other kind of CPU, predicted here; 7-bit weights where they pay."""

from pathlib import Path

import numpy as np
import pytest
from int8_networks import images, int8_network

from edgeacts.errors import UsageError
from edgeacts.quantization.emulation import EmulatedModel
from edgeacts.quantization.other_cpus import decide_reduce_range, predict
from edgeacts.quantization.saturation import probe
from edgeacts.records import SaturationRecord

pytestmark = pytest.mark.usefixtures("one_thread")
X = images(200)
MODEL = int8_network()


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """What the network answers where nothing saturates: there it is always right."""
    return EmulatedModel(MODEL, saturating=False).run({"image": X})[0].argmax(1)


def test_both_kinds_of_cpu_are_predicted_from_this_one(labels: np.ndarray, tmp_path: Path) -> None:
    narrow = EmulatedModel(MODEL, saturating=True).run({"image": X})[0].argmax(1)
    done: list[int] = []
    record = predict(MODEL, X, labels, checked=16, step=done.append)
    assert record.saturates_here == probe().saturates
    assert record.exact_correct == record.total == 200
    assert record.saturating_correct == int((narrow == labels).sum()) < 200
    assert record.loss.lost == 200 - record.saturating_correct
    assert record.checked_outputs == 16 * 6
    assert record.differing_outputs == 0
    assert {row.layer for row in record.layers} >= {"stem", "pointwise"}
    assert record.other == ("32-bit option" if probe().saturates else "emulated")
    own = (
        "x86 CPUs without VNNI (as this one)" if probe().saturates else "CPUs with VNNI and ARM (as this one)"
    )
    assert own in record.summary
    assert f"{record.saturating_correct / 200:.2%} on x86 CPUs without VNNI" in record.summary
    assert f"{len(record.layers)} layers saturate, most of all " in record.summary
    record.write(tmp_path / "saturation.json")
    assert SaturationRecord.read(tmp_path / "saturation.json") == record


def test_seven_bits_where_saturation_costs_more(labels: np.ndarray) -> None:
    """A reduced model that answers like the exact one costs nothing."""
    reduced = int8_network(levels=63)
    answers = EmulatedModel(reduced, saturating=False).run({"image": X})[0].argmax(1)
    decision = decide_reduce_range(MODEL, lambda: reduced, X, labels)
    assert decision.cost is not None
    assert decision.cost.lost == int((answers != labels).sum())
    assert decision.reduce == (decision.cost.drop < decision.full.loss.drop)
    assert decision.reason.startswith("7-bit" if decision.reduce else "8-bit")


def test_the_better_of_two_is_taken(labels: np.ndarray) -> None:
    calls: list[int] = []

    def same() -> object:
        calls.append(1)
        return int8_network(levels=63, seed=0)

    lost = decide_reduce_range(MODEL, lambda: int8_network(levels=63, seed=5), X, labels)
    assert not lost.reduce  # another network altogether
    assert "costs no less than saturation" in lost.reason
    kept = decide_reduce_range(int8_network(levels=60), same, X, labels)
    assert (kept.reduce, kept.cost, calls) == (False, None, [])
    assert kept.reason == "8-bit weights: nothing saturates"


def test_no_loss_no_reduction() -> None:
    """Saturation that changes no answer is none of anyone's concern: labels that are always wrong."""
    nowhere = np.full(len(X), 77)
    decision = decide_reduce_range(MODEL, lambda: pytest.fail("not needed"), X, nowhere)
    assert not decision.reduce
    assert decision.full.layers
    assert decision.reason.startswith("8-bit weights: no sure loss by saturation, drop 0.00 points")


def test_images_of_another_shape() -> None:
    with pytest.raises(UsageError, match=r"does not run on images of shape \[4, 3, 8\]"):
        predict(MODEL, X[:4, :, :8, 0], np.zeros(4, np.int64))
