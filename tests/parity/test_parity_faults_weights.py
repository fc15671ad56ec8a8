"""Wrong weights are seen, and for the right reason; the same file without the fault passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_networks import rewrite, weights
from verdicts import reasons

from edgeacts.parity import verify

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("activation", ["relu", "sau"])
def test_one_percent_in_any_kernel_is_seen(
    exported: Exported, changed: Changed, activation: str, which: int
) -> None:
    """SAU's file claims the bound of a form: even with what that grants, the fault stands out."""
    pair = exported(activation)

    def fault(model: onnx.ModelProto) -> None:
        rewrite(list(weights(model).values())[which], lambda w: w * 1.01)

    told = reasons(verify(pair.model, changed(pair.path, fault), runtimes=ORT))
    assert "of the movement" in told


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_percent_in_the_largest_single_weight_is_seen(
    exported: Exported, changed: Changed, which: int
) -> None:
    pair = exported("tanhexp")

    def fault(model: onnx.ModelProto) -> None:
        def change(w: np.ndarray) -> np.ndarray:
            w.flat[np.abs(w).argmax()] *= 1.01
            return w

        rewrite(list(weights(model).values())[which], change)

    assert not verify(pair.model, changed(pair.path, fault), runtimes=ORT).passed


REARRANGED = {
    "channels in another order": (0, lambda w: w[:, ::-1]),
    "a kernel turned": (1, lambda w: w.transpose(0, 1, 3, 2)),
    "kernel transposed in its channels": (1, lambda w: w.transpose(1, 0, 2, 3)),
    "classes permuted": (2, lambda w: np.roll(w, 1, axis=int(w.shape[0] != 5))),
    "features permuted": (2, lambda w: np.roll(w, 1, axis=int(w.shape[0] == 5))),
    "a sign": (0, np.negative),
    "all zero": (1, np.zeros_like),
}


@pytest.mark.parametrize("fault", REARRANGED)
def test_rearranged_weights_are_seen(exported: Exported, changed: Changed, fault: str) -> None:
    pair = exported("relu")
    which, change = REARRANGED[fault]
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[which], change))
    verdict = verify(pair.model, path, runtimes=ORT)
    assert not any(row.passed for row in verdict.rows if row.inputs == "random")
    reasons(verdict)
