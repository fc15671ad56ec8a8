"""Wrong operators, outputs and values are seen, and for the right reason; the same file without the fault passes."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from small_networks import SIDE, Net, alive, rewrite, weights
from torch import Tensor, nn
from verdicts import reasons, sound

from edgeacts.errors import UsageError
from edgeacts.exporters import to_onnx
from edgeacts.parity import verify

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


class TrainingNorm(nn.Module):
    """Batch norm as it was left in training mode: by the statistics of the batch."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((0, 2, 3), keepdim=True)
        variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
        scale = self.norm.weight[:, None, None] / (variance + self.norm.eps).sqrt()
        return (x - mean) * scale + self.norm.bias[:, None, None]


def test_batch_norm_left_in_training_mode_is_seen(
    learned: Exported, digits: np.ndarray, tmp_path: Path
) -> None:
    """Its result depends on the company that an input is in, so every batch size errs in its own way."""
    pair = learned("relu")
    model = copy.deepcopy(pair.model)
    for index in (1, 4):
        model[index] = TrainingNorm(model[index]).eval()
    files = to_onnx(
        model,
        torch.zeros(1, 3, SIDE, SIDE),
        tmp_path / "training.onnx",
        input_names=["image"],
        output_names=["logits"],
    )
    sound(verify(pair.model, pair.path, images=digits, runtimes=ORT))
    verdict = verify(pair.model, files.portable, images=digits, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    errors = {
        r.batch: r.relative_error for r in verdict.rows if r.inputs == "validation" and r.level == "all"
    }
    assert set(errors) == {1, 2, 7}
    assert len({round(e, 3) for e in errors.values()}) == 3
    assert min(errors.values()) > 0.1


def test_relu6_exported_as_relu_is_seen(learned: Exported, tmp_path: Path) -> None:
    """Only where activations exceed 6: the extremes reach that."""
    pair = learned("relu6")
    sound(verify(pair.model, pair.path, runtimes=ORT))
    unclipped = Net("relu", classes=10)
    unclipped.load_state_dict(pair.model.state_dict())
    files = to_onnx(unclipped.eval(), torch.zeros(1, 3, SIDE, SIDE), tmp_path / "relu.onnx")
    verdict = verify(pair.model, files.portable, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    assert all(r.outcome == "fail" for r in verdict.rows if r.inputs == "extremes")
    sound(verify(unclipped, files.portable, runtimes=ORT))


def test_a_form_wrong_only_beyond_eight_is_seen(
    learned: Exported, digits: np.ndarray, changed: Changed
) -> None:
    """What real images do not reach, the extremes do."""

    def fault(model: onnx.ModelProto) -> None:
        """y + 0.05·max(x - 8, 0) behind the first activation."""
        index, node = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == "TanhExp")
        x, y = node.input[0], node.output[0]
        for name, value in (("eight", 8.0), ("little", 0.05)):
            model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
        node.output[0] = "right"
        new = [
            helper.make_node("Sub", [x, "eight"], ["beyond"]),
            helper.make_node("Relu", ["beyond"], ["only"]),
            helper.make_node("Mul", ["only", "little"], ["error"]),
            helper.make_node("Add", ["right", "error"], [y]),
        ]
        for offset, added in enumerate(new, 1):
            model.graph.node.insert(index + offset, added)

    pair = learned("tanhexp")
    sound(verify(pair.model, pair.path, images=digits, runtimes=ORT))
    verdict = verify(pair.model, changed(pair.path, fault), images=digits, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    assert all(r.outcome == "fail" for r in verdict.rows if r.inputs == "extremes")
    assert all(r.passed for r in verdict.rows if r.inputs == "validation")


@pytest.mark.parametrize("right", ["mish", "tanhexp"])
def test_a_similar_activation_is_not_the_activation(exported: Exported, right: str) -> None:
    other, pair = Net(right), exported("silu")
    other.load_state_dict(pair.model.state_dict())
    reasons(verify(other.eval(), pair.path, runtimes=ORT))


def test_the_alpha_of_one_sau_lost_is_seen(learned: Exported, changed: Changed) -> None:
    """It falls back to the default in one of two places; put back, the file is right again."""
    pair = learned("sau")
    trained_alpha = float(pair.model[2].alpha.detach())
    assert abs(trained_alpha - 0.15) > 0.01
    sound(verify(pair.model, pair.path, runtimes=ORT))

    def rewrite_alpha(proto: onnx.ModelProto, expected: float, value: float) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "SAU")
        alpha = next(a for a in node.attribute if a.name == "alpha")
        assert alpha.f == pytest.approx(expected)
        alpha.f = value

    path = changed(pair.path, lambda m: rewrite_alpha(m, trained_alpha, 0.15))
    assert "of the movement" in reasons(verify(pair.model, path, runtimes=ORT))
    sound(verify(pair.model, changed(path, lambda m: rewrite_alpha(m, 0.15, trained_alpha)), runtimes=ORT))


def test_swapped_outputs_are_seen(exported: Exported, changed: Changed, tmp_path: Path) -> None:
    pair = exported("two outputs")
    sound(verify(pair.model, pair.path))

    def swap(model: onnx.ModelProto) -> None:
        first, second = model.graph.output
        for node in model.graph.node:
            names_of = {first.name: second.name, second.name: first.name}
            for i, name in enumerate(node.output):
                node.output[i] = names_of.get(name, name)
            for i, name in enumerate(node.input):
                node.input[i] = names_of.get(name, name)

    verdict = verify(pair.model, changed(pair.path, swap), runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    assert {row.output for row in verdict.rows if row.outcome == "fail"} == {"first", "second"}
    unswapped = changed(tmp_path / "changed.onnx", swap)
    sound(verify(pair.model, unswapped, runtimes=ORT))


def drop_last_output(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


def test_a_missing_output_is_no_pass(exported: Exported, changed: Changed) -> None:
    pair = exported("two outputs")
    path = changed(pair.path, drop_last_output)
    with pytest.raises(UsageError, match=r"Two gives 2 outputs, the candidate 1 \(first\)"):
        verify(pair.model, path, runtimes=ORT)
    verdict = verify(pair.path, path, runtimes=ORT)
    assert "the output is missing" in reasons(verdict)
    assert {r.output for r in verdict.rows if r.passed} == {"first"}


def test_an_extra_output_is_no_pass(exported: Exported, changed: Changed) -> None:
    pair = exported("two outputs")
    fewer = changed(pair.path, drop_last_output)
    assert "the reference has no output of this name" in reasons(verify(fewer, pair.path, runtimes=ORT))
    with pytest.raises(UsageError, match=r"gives 1 outputs, the candidate 2 \(first, second\)"):
        verify(pair.model.body, pair.path, runtimes=ORT)


def test_nan_in_the_file_fails(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * np.nan))
    assert "values of the candidate are not finite" in reasons(verify(pair.model, path, runtimes=ORT))


def test_nan_on_both_sides_fails(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * np.nan))
    assert "values of the reference are not finite" in reasons(verify(path, path, runtimes=ORT))
    broken = alive(Net("relu"))
    broken[8].weight.data.fill_(float("nan"))
    assert "values of the reference are not finite" in reasons(verify(broken, path, runtimes=ORT))


def test_another_shape_fails(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")

    def narrower(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if 5 in tensor.dims:
                rewrite(tensor, lambda w: w[:4] if w.shape[0] == 5 else w[:, :4])
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
        model.graph.ClearField("value_info")

    path = changed(pair.path, narrower)
    assert "shape [14, 4], the reference has [14, 5]" in reasons(verify(pair.model, path, runtimes=ORT))
