"""`edgeacts.testing.assert_parity`: nothing to configure, and a message that says what, where and by how much."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from small_networks import SIDE, rewrite, weights
from torch import Tensor, nn

from edgeacts.errors import UsageError
from edgeacts.exporters import to_onnx
from edgeacts.testing import ParityError, assert_parity

Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def second_kernel(model: onnx.ModelProto) -> None:
    rewrite(list(weights(model).values())[1], lambda w: w * 1.01)


def test_a_sound_export_passes_without_any_configuration(learned: Exported, digits: np.ndarray) -> None:
    pair = learned("tanhexp")
    verdict = assert_parity(pair.model, pair.path)
    assert verdict.passed
    assert {r.inputs for r in verdict.rows} == {"random", "extremes"}
    assert {r.runtime for r in verdict.rows} == {"onnxruntime", "accelerated", "openvino"}
    for inputs in (torch.from_numpy(digits), digits.tolist(), {"image": digits}):
        given = inputs if not isinstance(inputs, list) else np.array(inputs)
        verdict = assert_parity(pair.model, pair.path, given, runtimes=("onnxruntime",))
        assert {r.inputs for r in verdict.rows} == {"given", "random", "extremes"}
    assert_parity(pair.path, pair.inlined, runtimes=("onnxruntime",))


def test_the_message_names_output_worst_input_errors_and_the_first_layer(
    learned: Exported, digits: np.ndarray, changed: Changed
) -> None:
    pair = learned("tanhexp")
    path = changed(pair.path, second_kernel)
    with pytest.raises(AssertionError) as caught:
        assert_parity(pair.model, path, digits)
    assert isinstance(caught.value, ParityError)
    rows = [r for r in caught.value.verdict.rows if r.outcome == "fail"]
    row = max(
        rows, key=lambda r: (r.level in ("all", "default"), r.relative_error / r.allowed_relative_error)
    )
    times = row.relative_error / row.allowed_relative_error
    lines = str(caught.value).splitlines()
    assert lines[0] == "changed.onnx does not compute what Net computes"
    assert lines[1] == (
        f"  output logits, input {row.worst_input} of {row.inputs}: error {row.relative_error:.2g} of the movement, "
        f"{row.allowed_relative_error:.2g} allowed; {times:.3g} times too much"
    )
    assert lines[2].startswith(
        f"  in {row.runtime}, {row.level}, batch {row.batch}, {row.inputs}, logits, f32"
    )
    assert "3" in lines[3]  # the convolution of that name
    assert "first" in lines[3]
    assert lines[4].startswith("  0 of ") or " comparisons passed" in lines[4]


def test_the_worst_input_is_the_one_that_was_given(learned: Exported, tmp_path: Path) -> None:
    """Of 300 images a part is taken; the index in the message is that of the caller's array."""

    class Peak(nn.Module):
        def __init__(self, bug: float) -> None:
            super().__init__()
            self.bug = bug

        def forward(self, image: Tensor) -> Tensor:
            y = image.flatten(1)[:, :5] * 2
            return y + self.bug * torch.relu(y - 20)

    sound, wrong = Peak(0.0).eval(), Peak(0.1).eval()
    files = to_onnx(
        wrong,
        torch.zeros(1, 3, SIDE, SIDE),
        tmp_path / "peak.onnx",
        input_names=["image"],
        output_names=["y"],
    )
    images = np.random.default_rng(0).standard_normal((300, 3, SIDE, SIDE)).astype(np.float32)
    images[164, 0, 0, 2] = 15.0  # 164 = 300·70 // 128 is one of those that are taken
    with pytest.raises(ParityError) as caught:
        assert_parity(sound, files.portable, images, runtimes=("onnxruntime",))
    given = [r for r in caught.value.verdict.rows if r.inputs == "given" and r.outcome == "fail"]
    assert {r.worst_input for r in given} == {164}


def test_a_blind_model_is_no_parity(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], np.zeros_like))
    with pytest.raises(
        ParityError, match=r"nobody can tell whether changed\.onnx computes what changed\.onnx computes"
    ) as caught:
        assert_parity(path, path, runtimes=("onnxruntime",))
    assert "blind: the output hardly moves with the input" in str(caught.value)
    assert "verify trained weights on real inputs" in str(caught.value)


def test_what_is_not_finite_has_no_worst_input(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * np.nan))
    with pytest.raises(ParityError) as caught:
        assert_parity(pair.model, path, runtimes=("onnxruntime",))
    assert "  output logits: 70 of 70 values of the candidate are not finite" in str(caught.value)


def test_several_inputs_come_in_order_or_by_name(tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a.sum((1, 2), keepdim=False)[:, None] + torch.tanh(b)

    model = Sum().eval()
    files = to_onnx(
        model,
        (torch.zeros(1, 2, 2), torch.zeros(1, 3)),
        tmp_path / "sum.onnx",
        input_names=["a", "b"],
        output_names=["y"],
    )
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((8, 2, 2)).astype(np.float32), torch.randn(8, 3)
    for inputs in ((a, b), [a, b], {"b": b, "a": a}):
        assert assert_parity(model, files.portable, inputs, runtimes=("onnxruntime",)).passed
    with pytest.raises(UsageError, match=r"1 inputs were given, sum\.onnx has 2 \(a, b\): give one array"):
        assert_parity(model, files.portable, (a,))
    with pytest.raises(UsageError, match="inputs a, c were given, the model takes a, b"):
        assert_parity(model, files.portable, {"a": a, "c": b})
    with pytest.raises(UsageError, match="inputs of different lengths were given: 7, 8"):
        assert_parity(model, files.portable, (a[:7], b))


def test_a_model_in_training_mode_is_refused_with_the_cure(exported: Exported) -> None:
    pair = exported("relu")
    pair.model.train()
    try:
        with pytest.raises(
            UsageError, match=r"Net is in training mode: call model\.eval\(\) before verifying"
        ):
            assert_parity(pair.model, pair.path)
    finally:
        pair.model.eval()
