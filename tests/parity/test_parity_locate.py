"""`locate`: planted faults in weights and activations are found where they were planted, on every runtime and level."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from locating_faults import first, scaled, shown_alone
from onnx import helper, numpy_helper
from small_networks import SIDE, Net, alive, rewrite, weights
from torch import nn

import edgeacts
from edgeacts.exporters import to_onnx
from edgeacts.parity import format_divergence, locate
from edgeacts.records import DivergenceRecord

Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- agreement


@pytest.mark.parametrize("runtime", ["onnxruntime", "accelerated", "openvino"])
def test_an_exported_network_does_not_part(exported: Exported, runtime: str, tmp_path: Path) -> None:
    pair = exported("tanhexp")
    record = edgeacts.locate(pair.model, pair.path, runtime=runtime, label="net", out=tmp_path / "out")
    assert (record.first, record.looks, record.observer_effect) == (None, 0, "")
    assert [(row.candidate, row.outcome) for row in record.rows] == [("logits", "pass")]
    assert record.summary.startswith("every output is within its budget")
    assert (record.reference, record.candidate, record.runtime) == ("net", pair.path.name, runtime)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["divergence.json", "nodes.json"]
    assert "AGREE: every output" in format_divergence(record)


def test_a_file_does_not_part_from_its_inlined_twin(exported: Exported) -> None:
    pair = exported("sau")
    assert locate(pair.path, pair.inlined).first is None
    assert locate(pair.inlined, pair.path).first is None


def test_files_of_an_earlier_search_do_not_stay(exported: Exported, changed: Changed, tmp_path: Path) -> None:
    pair, out = exported("relu"), tmp_path / "out"
    locate(pair.path, changed(pair.path, scaled(1)), out=out)
    assert {"minimal.onnx", "minimal-input.npz", "minimal-reference.onnx"} <= {p.name for p in out.iterdir()}
    locate(pair.path, pair.path, out=out)
    assert sorted(p.name for p in out.iterdir()) == ["divergence.json", "nodes.json"]


# ---- weights


# kernel -> (module whose value it changes; batch norm is folded into the kernel, which is followed by an activation)
@pytest.mark.parametrize(
    ("which", "module", "operator"), [(0, "1", "Conv"), (1, "4", "Conv"), (2, "8", "Gemm")]
)
def test_one_percent_in_a_kernel_is_found_from_the_module(
    exported: Exported, changed: Changed, tmp_path: Path, which: int, module: str, operator: str
) -> None:
    pair = exported("tanhexp")
    record = locate(pair.model, changed(pair.path, scaled(which)), out=tmp_path / "out")
    row = first(record)
    assert (row.reference, row.operator, row.outcome) == (module, operator, "fail")
    assert row.relative_error is not None
    assert row.allowed is not None
    assert row.relative_error > 10 * row.allowed
    assert all(r.outcome != "fail" for r in record.rows[: record.first])
    assert record.looks <= 4
    assert shown_alone(record) == pytest.approx(row.max_error, rel=0.5)
    assert DivergenceRecord.read(tmp_path / "out" / "divergence.json") == record


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("twin", [False, True])
def test_one_percent_in_a_kernel_is_found_between_files(
    exported: Exported, changed: Changed, tmp_path: Path, which: int, twin: bool
) -> None:
    """`twin`: the reference has no functions, so that its values outnumber the candidate's."""
    pair = exported("tanhexp")
    names = list(weights(onnx.load(pair.path)))
    reader = next(n for n in onnx.load(pair.path).graph.node if names[which] in n.input)
    record = locate(pair.inlined if twin else pair.path, changed(pair.path, scaled(which)), out=tmp_path)
    assert first(record).candidate == first(record).reference == reader.output[0]
    assert shown_alone(record) > 1e-3
    options = ort.SessionOptions()
    reference = ort.InferenceSession(tmp_path / "minimal-reference.onnx", options)
    with np.load(record.minimal_input, allow_pickle=False) as arrays:
        found = reference.run(None, {v.name: arrays[v.name] for v in reference.get_inputs()})
        np.testing.assert_allclose(found[0], arrays[f"expected_{reader.output[0]}"], atol=1e-4)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_openvino_is_looked_into(exported: Exported, changed: Changed, tmp_path: Path, which: int) -> None:
    pair = exported("tanhexp")
    record = locate(pair.model, changed(pair.path, scaled(which)), runtime="openvino", out=tmp_path)
    assert first(record).reference == ("1", "4", "8")[which]
    assert (record.runtime, record.level) == ("openvino", "default")
    assert shown_alone(record) > 1e-3  # the file is wrong, not the runtime


@pytest.mark.parametrize("level", ["disabled", "basic", "extended", "all"])
def test_every_level_is_looked_into(exported: Exported, changed: Changed, level: str) -> None:
    pair = exported("relu")
    record = locate(pair.model, changed(pair.path, scaled(1)), level=level)
    # With optimization the activation is fused into the convolution, whose own value then does not exist.
    assert first(record).reference == ("4" if level in ("disabled", "basic") else "5")
    assert record.level == level


@pytest.mark.parametrize("which", [0, 1, 2])
def test_compiled_models_are_looked_into(exported: Exported, changed: Changed, which: int) -> None:
    from edgeacts.native import missing

    pair = exported("tanhexp")
    record = locate(pair.model, changed(pair.path, scaled(which)), runtime="accelerated")
    allowed = [("1", "2"), ("4", "5"), ("8",)][which]
    assert first(record).reference in allowed
    if missing() is None:
        assert "do not exist in what accelerated executes" in record.summary


REARRANGED = {
    "channels in another order": (0, lambda w: w[:, ::-1], "1"),
    "a kernel turned": (1, lambda w: w.transpose(0, 1, 3, 2), "4"),
    "kernel transposed in its channels": (1, lambda w: w.transpose(1, 0, 2, 3), "4"),
    "classes permuted": (2, lambda w: np.roll(w, 1, axis=0), "8"),
    "a sign": (0, np.negative, "1"),
    "all zero": (1, np.zeros_like, "4"),
    "NaN": (1, lambda w: w * np.nan, "4"),
    "a thousandfold": (1, lambda w: w * 1000, "4"),
}


@pytest.mark.parametrize("fault", REARRANGED)
def test_faults_that_leave_nothing_alike_are_found(exported: Exported, changed: Changed, fault: str) -> None:
    pair = exported("relu")
    which, change, module = REARRANGED[fault]
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[which], change))
    reader = next(n for n in onnx.load(path).graph.node if list(weights(onnx.load(path)))[which] in n.input)
    record = locate(pair.model, path, level="disabled")
    assert first(record).candidate == reader.output[0]
    assert first(record).reference in {module, str(int(module) - 1)}


# ---- activations


def test_relu6_exported_as_relu_in_the_middle(tmp_path: Path) -> None:
    model = alive(Net("relu6"), gain=3.0)
    files = to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), tmp_path / "relu6.onnx")
    proto = onnx.load(files.portable)
    clip = [n for n in proto.graph.node if n.op_type in ("Clip", "Relu6") or "relu6" in n.op_type.lower()][1]
    clip.CopyFrom(helper.make_node("Relu", clip.input[:1], clip.output, name=clip.name))
    onnx.save(proto, tmp_path / "relu.onnx")
    record = locate(model, tmp_path / "relu.onnx", level="disabled")
    assert (first(record).reference, first(record).operator) == ("5", "Relu")


def test_the_alpha_of_one_sau_lost(tmp_path: Path, changed: Changed) -> None:
    model = alive(Net("sau"))
    model[5].alpha.data.fill_(0.3)
    files = to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), tmp_path / "sau.onnx")

    def lose(proto: onnx.ModelProto) -> None:
        node = [n for n in proto.graph.node if n.op_type == "SAU"][1]
        next(a for a in node.attribute if a.name == "alpha").f = 0.15

    for runtime in ("onnxruntime", "openvino"):
        record = locate(model, changed(files.portable, lose), runtime=runtime)
        assert (first(record).reference, first(record).operator) == ("5", "edgeacts::SAU")
    assert locate(model, files.portable).first is None


@pytest.fixture(scope="module")
def pointwise(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """The activation sees 0.4 times the sum of three pixels: beyond 8 for the extreme inputs only."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), Net("tanhexp")[2], nn.Conv2d(4, 2, 1)).eval()
    with torch.no_grad():
        model[0].weight.fill_(0.4)
    path = tmp_path_factory.mktemp("pointwise") / "pointwise.onnx"
    return model, to_onnx(model, torch.zeros(1, 3, 4, 4), path).portable


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_form_that_is_wrong_beyond_eight_only(
    pointwise: tuple[nn.Module, Path], changed: Changed, tmp_path: Path, runtime: str
) -> None:
    model, path = pointwise

    def saturate(proto: onnx.ModelProto) -> None:
        body = proto.functions[0]
        body.node[-1].output[0] = "unbounded"
        eight = numpy_helper.from_array(np.float32(8.0))
        body.node.append(helper.make_node("Constant", [], ["eight"], value=eight))
        body.node.append(helper.make_node("Min", ["unbounded", "eight"], [body.output[0]]))

    record = locate(model, changed(path, saturate), runtime=runtime, out=tmp_path)
    assert (first(record).operator, first(record).reference) == ("edgeacts::TanhExp", "1")
    assert "on the extremes inputs" in record.summary
    assert shown_alone(record) > 1.0


def test_a_step_that_the_reference_does_not_take_is_named(
    pointwise: tuple[nn.Module, Path], changed: Changed, tmp_path: Path
) -> None:
    model, path = pointwise

    def insert(proto: onnx.ModelProto) -> None:
        node = proto.graph.node[1]
        whole, node.output[0] = node.output[0], "unbounded"
        proto.graph.initializer.append(numpy_helper.from_array(np.float32(8.0), "eight"))
        proto.graph.node.insert(2, helper.make_node("Min", ["unbounded", "eight"], [whole]))

    record = locate(model, changed(path, insert), out=tmp_path)
    assert (first(record).operator, first(record).reference) == ("Conv", "2")
    assert "the cause may be in what has no counterpart there: _symbolic (Min)" in record.summary
    assert [n.op_type for n in onnx.load(record.minimal_model).graph.node] == ["Min", "Conv"]
    assert shown_alone(record) > 1e-2
