"""Wrong operators, outputs and values are seen, and for the right reason; the same file without the fault passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from small_networks import SIDE, Net, alive, rewrite, weights
from verdicts import reasons

from edgeacts.errors import UsageError
from edgeacts.parity import verify

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_relu6_exported_as_relu_is_seen(exported: Exported, tmp_path: Path) -> None:
    clipped, pair = Net("relu6"), exported("relu")
    clipped.load_state_dict(pair.model.state_dict())
    verdict = verify(clipped.eval(), pair.path, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    assert {row.inputs for row in verdict.rows if not row.passed} >= {"extremes"}


@pytest.mark.parametrize("right", ["mish", "tanhexp"])
def test_a_similar_activation_is_not_the_activation(exported: Exported, right: str) -> None:
    other, pair = Net(right), exported("silu")
    other.load_state_dict(pair.model.state_dict())
    reasons(verify(other.eval(), pair.path, runtimes=ORT))


def test_the_alpha_of_one_sau_lost_is_seen(tmp_path: Path, changed: Changed) -> None:
    from edgeacts.exporters import to_onnx

    model = alive(Net("sau"))
    model[2].alpha.data.fill_(0.3)
    files = to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), tmp_path / "sau.onnx")

    def lose(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "SAU")
        alpha = next(a for a in node.attribute if a.name == "alpha")
        assert alpha.f == pytest.approx(0.3)
        alpha.f = 0.15

    assert verify(model, files.portable, runtimes=ORT).passed
    reasons(verify(model, changed(files.portable, lose), runtimes=ORT))


def test_swapped_outputs_are_seen(exported: Exported, changed: Changed) -> None:
    pair = exported("two outputs")
    assert verify(pair.model, pair.path).passed

    def swap(model: onnx.ModelProto) -> None:
        first, second = model.graph.output
        for node in model.graph.node:
            names_of = {first.name: second.name, second.name: first.name}
            for i, name in enumerate(node.output):
                node.output[i] = names_of.get(name, name)
            for i, name in enumerate(node.input):
                node.input[i] = names_of.get(name, name)

    verdict = verify(pair.model, changed(pair.path, swap), runtimes=ORT)
    assert {row.output for row in verdict.rows if not row.passed} == {"first", "second"}


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
