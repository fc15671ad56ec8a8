"""Which INT8 variant is acceptable and which is kept, without a runtime."""

import sys

import pytest
from msgspec.structs import replace

from edgeacts.errors import NotAvailable, UsageError
from edgeacts.quantization.openvino_choosing import AsExported, fastest, reason, with_verdict
from edgeacts.quantization.openvino_fits import Seen
from edgeacts.quantization.openvino_nncf import load_nncf
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_variants import rounded
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


def test_accuracy_is_held_against_the_float_model():
    rules = AsExported.of([], 0.9, OpenVinoSettings(max_drop=0.5))
    assert with_verdict(candidate(accuracy=0.896), rules).why == "accuracy falls by 0.40 points"
    assert with_verdict(candidate(accuracy=0.95), rules).acceptable
    refused = with_verdict(candidate(accuracy=0.89), rules)
    assert (refused.acceptable, refused.why) == (False, "accuracy falls by 1.00 points, 0.5 are allowed")


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


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"reduce_range": "maybe"}, "reduced range"),
        ({"max_step_share": -1.0}, "max_step_share -1.0: give a number from 0 to 8"),
        ({"extra_noise_db": float("nan")}, "extra_noise_db nan"),
        ({"held_out": 0.9}, "held_out 0.9: give a number from 0.05 to 0.5"),
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
