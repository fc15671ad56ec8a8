"""Wrong weights are seen, and for the right reason; the same file without the fault passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_networks import rewrite, weights
from torch import Tensor, nn
from verdicts import reasons, sound

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

    assert "of the movement" in reasons(verify(pair.model, changed(pair.path, fault), runtimes=ORT))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_percent_in_one_weight_of_a_trained_network_is_seen_on_real_images(
    learned: Exported, digits: np.ndarray, changed: Changed, which: int
) -> None:
    """A hundred times more than what is allowed, although hardly a prediction flips."""
    pair = learned("tanhexp")
    sound(verify(pair.model, pair.path, images=digits, runtimes=ORT))

    def fault(model: onnx.ModelProto) -> None:
        def change(w: np.ndarray) -> np.ndarray:
            w.flat[np.abs(w).argmax()] *= 1.01
            return w

        rewrite(list(weights(model).values())[which], change)

    verdict = verify(pair.model, changed(pair.path, fault), images=digits, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    rows = [r for r in verdict.rows if r.inputs == "validation"]
    assert all(r.outcome == "fail" and r.relative_error > 5 * r.allowed_relative_error for r in rows)
    assert all(r.predictions_differ <= 1 for r in rows)


class Other(nn.Module):
    """A network with something done to its input or output: the fault itself, in PyTorch."""

    def __init__(self, model: nn.Module, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        x = image if self.before is None else self.before(image)
        y: Tensor = self.model(x)
        return y if self.after is None else self.after(y)


def test_red_and_blue_exchanged_is_seen(learned: Exported, digits: np.ndarray, changed: Changed) -> None:
    """And it is just that: the network fed with blue first is what the file computes."""
    pair = learned("relu")
    sound(verify(pair.model, pair.path, images=digits, runtimes=ORT))
    path = changed(pair.path, lambda m: rewrite(next(iter(weights(m).values())), lambda w: w[:, ::-1]))
    verdict = verify(pair.model, path, images=digits, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    assert not any(r.passed for r in verdict.rows if r.inputs in ("validation", "random"))
    sound(verify(Other(pair.model, before=lambda x: x.flip(1)), path, images=digits, runtimes=ORT))


def test_a_transposed_classifier_is_seen(learned: Exported, digits: np.ndarray, changed: Changed) -> None:
    """Its numbers in the other order of memory: every shape still fits."""
    pair = learned("relu")
    path = changed(
        pair.path, lambda m: rewrite(list(weights(m).values())[-1], lambda w: w.reshape(w.shape[::-1]).T)
    )
    verdict = verify(pair.model, path, images=digits, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    row = next(r for r in verdict.rows if r.inputs == "validation")
    assert row.flip_interval is not None
    assert row.flip_interval[0] > 0.5  # most predictions are others
    assert row.snr_db < 10


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
