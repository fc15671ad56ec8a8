"""Which INT8 variant is acceptable and which is kept, without a runtime."""

import sys

import numpy as np
import pytest
from msgspec.structs import replace

from edgeacts.errors import NotAvailable, UsageError
from edgeacts.quantization.openvino_choosing import AsExported, fastest, reason, with_verdict
from edgeacts.quantization.openvino_fits import Seen
from edgeacts.quantization.openvino_nncf import load_nncf
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_variants import rounded
from edgeacts.quantization.paired import compare
from edgeacts.records import Int8Candidate, OutputError, Timed

FASTER = Timed(ratio=0.8, low=0.79, high=0.81, comparison="faster", median_ms=8.0)
SLOWER = Timed(ratio=1.2, low=1.19, high=1.21, comparison="slower", median_ms=12.0)


def candidate(name="all", sqnr=20.0, accuracy=None, time=FASTER, acceptable=True):
    return Int8Candidate(
        name=name, placement="all", step_share=None, polynomials=0, form_error=0.0,
        error=OutputError(sqnr_db=sqnr), accuracy=accuracy, time=time, layers="int8 5, f32 2",
        activations="Mish (ratio, 2): 2 as Subgraph f32", size_bytes=1, acceptable=acceptable, why="",
    )  # fmt: skip


def test_noise_is_held_against_the_first_variant():
    rules = AsExported.of([candidate(sqnr=20.0), candidate(sqnr=5.0)], None, OpenVinoSettings())
    assert with_verdict(candidate(sqnr=19.1), rules).acceptable
    refused = with_verdict(candidate(sqnr=18.9), rules)
    assert not refused.acceptable
    assert (
        refused.why == "1.1 dB more noise than with all layers in INT8 and exact activations, 1 are allowed"
    )
    assert with_verdict(candidate(sqnr=1.0), AsExported.of([], None, OpenVinoSettings())).acceptable


def answers(lost, gained, total):
    """Which of `total` images the float model and a variant have right."""
    number = np.arange(total)
    return number >= gained, (number < gained) | (number >= gained + lost)


def judged(lost, gained, total, max_drop=0.5, name="all"):
    drops = {"all": compare(*answers(lost, gained, total))}
    return with_verdict(candidate(name), AsExported.of([], drops, OpenVinoSettings(max_drop=max_drop)))


@pytest.mark.parametrize(
    ("counts", "max_drop", "acceptable", "why"),
    [
        # 1.39 points of 359 images are five of them; six exclude half a point
        ((5, 0, 359), 0.5, True, "359 images cannot tell whether the drop is at most 0.5 points, about 2,400 are needed: drop 1.39 points (0.32 to 3.22)"),
        ((6, 0, 359), 0.5, False, "accuracy falls: drop 1.67 points (0.59 to 3.60) on 359 images, 0.5 are allowed"),
        # The same drop of a point, on few images that often differ and on many that do not
        ((15, 10, 500), 0.5, True, "500 images cannot tell whether the drop is at most 0.5 points, about 7,800 are needed: drop 1.00 points (-1.03 to 3.14)"),
        ((100, 0, 10_000), 0.5, False, "accuracy falls: drop 1.00 points (0.82 to 1.21) on 10,000 images, 0.5 are allowed"),
        ((100, 0, 10_000), 2.0, True, "the drop is at most 2 points: drop 1.00 points (0.82 to 1.21) on 10,000 images"),
        ((9, 0, 2000), 0.5, True, "2,000 images cannot tell whether the drop is at most 0.5 points, the one seen is too near that"),
        ((0, 30, 2000), 0.5, True, "the drop is at most 0.5 points: drop -1.50 points"),
        ((90, 0, 100), 100.0, True, "the drop is at most 100 points"),
    ],
)  # fmt: skip
def test_accuracy_is_refused_on_evidence_only(counts, max_drop, acceptable, why):
    found = judged(*counts, max_drop=max_drop)
    assert (found.acceptable, found.why[: len(why)]) == (acceptable, why)
    assert (found.drop.lost, found.drop.gained, found.drop.total) == counts


def test_without_labels_nothing_is_said_about_accuracy():
    rules = AsExported.of([], None, OpenVinoSettings())
    found = with_verdict(candidate(), rules)
    assert (found.acceptable, found.why, found.drop) == (True, "", None)
    assert judged(90, 0, 100, name="another").drop is None
    assert not judged(90, 0, 100).acceptable


def test_noise_refuses_what_the_images_cannot_tell():
    rules = AsExported.of([candidate(sqnr=20.0)], {"all": compare(*answers(1, 0, 359))}, OpenVinoSettings())
    refused = with_verdict(candidate(sqnr=10.0), rules)
    assert not refused.acceptable
    assert refused.why.startswith("10.0 dB more noise than with all layers in INT8")
    assert with_verdict(candidate(sqnr=20.0), rules).acceptable


def test_a_sound_variant_is_seldom_refused_and_a_poor_one_is():
    """Half the point estimates of a sound variant on 359 images lie beyond the limit or at it; few are evidence."""
    rng = np.random.default_rng(0)
    refused = {}
    for true in (0.5, 5.0):
        lost, gained = 0.01 + true / 100, 0.01
        counts = rng.multinomial(359, [lost, gained, 1 - lost - gained], size=300)
        refused[true] = np.mean([not judged(int(b), int(c), 359).acceptable for b, c, _ in counts])
        beyond = np.mean([100 * (b - c) / 359 > 0.5 for b, c, _ in counts])
        assert beyond > 0.4
    assert refused[0.5] < 0.05
    assert refused[5.0] > 0.8


def test_the_fastest_is_acceptable_and_timed():
    quick = replace(FASTER, ratio=0.5)
    found = [
        candidate("a"),
        candidate("b", time=quick, acceptable=False),
        candidate("c", time=None),
        candidate("d", time=SLOWER),
    ]
    assert fastest(found).name == "a"
    assert fastest([replace(one, acceptable=False) for one in found]).name == "b"


def test_the_reason_says_what_came_of_it():
    assert (
        reason("m.onnx", candidate())
        == "m.onnx: INT8 (all) takes 0.80 [0.79, 0.81] of the float model's time"
    )
    text = reason("m.onnx", candidate(time=SLOWER))
    assert text.endswith(
        "it is not faster; layers run in int8 5, f32 2, activations: Mish (ratio, 2): 2 as Subgraph f32"
    )
    refused = replace(candidate(acceptable=False), why="accuracy falls by 3.00 points, 0.5 are allowed")
    assert reason("m.onnx", refused).endswith(
        "it is not acceptable: accuracy falls by 3.00 points, 0.5 are allowed"
    )
    untold = reason("m.onnx", judged(1, 0, 359))
    assert "of the float model's time; 359 images cannot tell whether" in untold
    assert untold.endswith("about 1,100 are needed: drop 0.28 points (-0.78 to 1.56)")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"reduce_range": "maybe"}, "reduced range"),
        ({"max_step_share": -1.0}, "max_step_share -1.0: give a number from 0 to 8"),
        ({"extra_noise_db": float("nan")}, "extra_noise_db nan"),
        ({"held_out": 0.9}, "held_out 0.9: give a number from 0.05 to 0.5"),
        ({"max_drop": 0.0}, "max_drop 0.0: give points of accuracy, more than 0 and below 100"),
        ({"max_drop": float("nan")}, "max_drop nan"),
        ({"batch": -1}, "batch -1"),
        ({"seed": -1}, "seed -1 must be 0 or more"),
    ],
)
def test_settings_that_do_not_exist(given, match):
    with pytest.raises(UsageError, match=match):
        OpenVinoSettings(**given)


def test_shares_end_with_the_one_asked_for():
    assert OpenVinoSettings().step_shares == (0.25, 0.5, 1.0)
    assert OpenVinoSettings(max_step_share=0.4).step_shares == (0.25, 0.4)
    assert OpenVinoSettings(max_step_share=0.0).step_shares == ()


def test_ranges_are_widened_to_quarters():
    assert rounded(Seen(-1.01, 2.26, 0.3, 0.51)) == Seen(-1.25, 2.5, 0.25, 0.625)
    assert rounded(Seen(1.0, 1.0, 1.0, 0.0)) == Seen(1.0, 1.25, 1.0, 0.125)


def test_without_nncf_the_cure_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(NotAvailable, match=r"nncf is not installed: pip install 'edgeacts\[quantize\]'"):
        load_nncf()
    assert sys.modules.get("openvino_telemetry", "absent") is not None
