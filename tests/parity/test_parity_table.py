"""The table of a verdict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_networks import rewrite, weights

from edgeacts.parity import format_verdict, verify
from edgeacts.runtimes import levels

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_table_fits_80_columns_and_names_each_reason_once(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * np.nan))
    verdict = verify(pair.model, path, runtimes=ORT)
    text = format_verdict(verdict)
    assert max(map(len, text.splitlines())) <= 80
    assert sum("not finite" in line for line in text.splitlines()) <= 3  # two kinds of input, and the summary
    assert f"FAIL: 0 of {len(verdict.rows)} comparisons passed" in text


def test_a_line_a_session_with_its_worst_comparison_and_the_deployed_level_marked(exported: Exported) -> None:
    pair = exported("relu")
    verdict = verify(pair.model, pair.path, threads=(1, 2))
    lines = format_verdict(verdict).splitlines()
    assert lines[0].split() == [
        "runtime",
        "level",
        "prec",
        "batch",
        "thr",
        "error",
        "allowed",
        "p99.9",
        "SNR",
        "flips",
        "result",
    ]
    sessions = lines[1 : 3 + len(levels("onnxruntime")) + 1]
    assert [line.split()[:5] for line in sessions] == [
        *(["onnxruntime", level, "f32", "1,2,7", "1,2"] for level in levels("onnxruntime")[:-1]),
        ["onnxruntime", "all*", "f32", "1,2,7", "1,2"],
        ["accelerated", "all*", "f32", "1,2,7", "1,2"],
        ["openvino", "dynamic", "f32", "1,2,7", "1,2"],
        ["openvino", "default*", "f32", "1,2,7", "1,2"],
    ]
    assert all(line.endswith(" pass") for line in sessions)
    deployed = [r for r in verdict.rows if (r.runtime, r.level) == ("openvino", "default")]
    worst = max(r.relative_error / r.allowed_relative_error for r in deployed)
    error, allowed = map(float, sessions[-1].split()[5:7])
    assert error / allowed == pytest.approx(worst, rel=0.1)
    assert lines[-1].startswith(
        f"PASS: {len(verdict.rows)} of {len(verdict.rows)} comparisons passed; the largest error is "
    )
    assert max(map(len, lines)) <= 80


def test_a_reason_comes_with_its_worst_place_the_input_and_the_flips(
    exported: Exported, changed: Changed
) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], np.negative))
    verdict = verify(pair.model, path, runtimes=ORT)
    text = " ".join(format_verdict(verdict).split())
    rows = [r for r in verdict.rows if r.inputs == "random"]
    assert text.count("times too much") == 2  # random and extremes, not one a level
    assert f"random, logits (and {len(rows) - 1} more): error " in text
    assert "of predictions flip, by leads of up to " in text
    assert text.count("input ") >= 2


def test_a_blind_verdict_is_called_blind(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], np.zeros_like))
    text = format_verdict(verify(path, path, runtimes=ORT))
    assert sum(line.endswith(" blind") for line in text.splitlines()) == len(levels("onnxruntime"))
    assert "\nBLIND: 0 of " in text
    assert "the reference ran in float32, not optimized" in " ".join(text.split())
