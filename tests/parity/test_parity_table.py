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
    assert f"FAIL: 0 of {2 * len(levels('onnxruntime'))} comparisons passed" in text
    good = format_verdict(verify(pair.model, pair.path, runtimes=ORT))
    assert "PASS: 10 of 10 comparisons passed" in good
    assert "NO" not in good
