"""`locate`: planted faults are found where they were planted, in few looks, and shown alone by the files that are written."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper, numpy_helper
from small_networks import SIDE, Net, Two, alive, rewrite, weights
from torch import Tensor, nn

import edgeacts
from edgeacts.errors import UsageError
from edgeacts.exporters import to_onnx
from edgeacts.parity import format_divergence, locate
from edgeacts.records import DivergenceRecord, LayerRow
from edgeacts.runtimes import levels

Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def first(record: DivergenceRecord) -> LayerRow:
    assert record.first is not None, record.summary
    return record.rows[record.first]


def scaled(which: int, factor: float = 1.01) -> Callable[[onnx.ModelProto], None]:
    return lambda model: rewrite(list(weights(model).values())[which], lambda w: w * factor)


def shown_alone(record: DivergenceRecord, level: int = 99) -> float:
    """The error that the minimal file makes in onnxruntime on the input beside it, by numpy and onnxruntime alone."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel(level)
    session = ort.InferenceSession(record.minimal_model, options, providers=["CPUExecutionProvider"])
    with np.load(record.minimal_input, allow_pickle=False) as arrays:
        feeds = {value.name: arrays[value.name] for value in session.get_inputs()}
        expected = [arrays[f"expected_{value.name}"] for value in session.get_outputs()]
        assert set(arrays.files) == {*feeds, *(f"expected_{v.name}" for v in session.get_outputs())}
    return max(float(np.abs(e - f).max()) for e, f in zip(expected, session.run(None, feeds), strict=True))


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


# ---- structure


class Branches(nn.Module):
    """Two branches, one module called twice, an addition, a concatenation, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 1)
        self.shared = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.tanh(self.stem(x))
        a = self.shared(torch.tanh(self.left(x)))
        b = self.shared(torch.sigmoid(self.right(x)))
        both = torch.cat([a + x, b], dim=1)
        return self.head(both.mean((2, 3))), b


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(1)
    model = Branches().eval()
    path = tmp_path_factory.mktemp("branches") / "branches.onnx"
    to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), path, output_names=["scores", "features"])
    return model, path


def reader_of(path: Path, weight: str, nth: int = 0) -> str:
    return [n.output[0] for n in onnx.load(path).graph.node if weight in n.input][nth]


@pytest.mark.parametrize("module", ["stem", "left", "right", "head"])
def test_faults_in_branches(branches: tuple[nn.Module, Path], changed: Changed, module: str) -> None:
    model, path = branches
    names = [t.name for t in onnx.load(path).graph.initializer if t.name == f"{module}.weight"]
    assert names
    wrong = changed(path, lambda m: rewrite(weights(m)[names[0]], lambda w: w * 1.02))
    for reference in (model, path):
        record = locate(reference, wrong, level="disabled")
        assert first(record).candidate == reader_of(path, names[0])
        if reference is model:
            assert first(record).reference == module


@pytest.mark.parametrize(("nth", "name"), [(0, "shared"), (1, "shared#2")])
def test_a_module_called_twice(
    branches: tuple[nn.Module, Path], changed: Changed, nth: int, name: str
) -> None:
    model, path = branches

    def fault(proto: onnx.ModelProto) -> None:
        node = [n for n in proto.graph.node if "shared.weight" in n.input][nth]
        other = onnx.TensorProto()
        other.CopyFrom(weights(proto)["shared.weight"])
        other.name = "other"
        rewrite(other, lambda w: w * 0.98)
        proto.graph.initializer.append(other)
        node.input[1] = "other"

    record = locate(model, changed(path, fault), level="disabled")
    assert first(record).reference == name
    assert first(record).candidate == reader_of(path, "shared.weight", nth)


def test_a_lost_addition_is_found_by_its_function(branches: tuple[nn.Module, Path], changed: Changed) -> None:
    model, path = branches

    def lose(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "Add")
        node.input[1] = node.input[0]

    record = locate(model, changed(path, lose), level="disabled")
    assert (first(record).reference, first(record).operator) == ("(add)", "Add")


def test_renamed_and_reordered_nodes_are_recognised(
    branches: tuple[nn.Module, Path], changed: Changed
) -> None:
    """Another exporter's file: no name in common but those of inputs and outputs, the branches in another order."""
    _, path = branches

    def other(proto: onnx.ModelProto) -> None:
        keep = {v.name for v in (*proto.graph.input, *proto.graph.output)}
        for node in proto.graph.node:
            node.input[:] = [n if n in keep or not n else f"v_{n}" for n in node.input]
            node.output[:] = [n if n in keep else f"v_{n}" for n in node.output]
        for tensor in proto.graph.initializer:
            tensor.name = f"v_{tensor.name}"
        del proto.graph.value_info[:]
        nodes = list(proto.graph.node)
        right = next(i for i, n in enumerate(nodes) if "v_right.weight" in n.input)
        left = next(i for i, n in enumerate(nodes) if "v_left.weight" in n.input)
        nodes.insert(left, nodes.pop(right))
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        rewrite(weights(proto)["v_right.weight"], lambda w: w * 1.02)

    record = locate(path, changed(path, other), level="disabled")
    assert first(record).candidate == f"v_{reader_of(path, 'right.weight')}"
    assert first(record).reference == reader_of(path, "right.weight")


def test_outputs_by_order_where_their_names_differ(
    branches: tuple[nn.Module, Path], changed: Changed
) -> None:
    _, path = branches

    def rename(proto: onnx.ModelProto) -> None:
        for node in proto.graph.node:
            node.output[:] = ["result" if n == "features" else n for n in node.output]
            node.input[:] = ["result" if n == "features" else n for n in node.input]
        proto.graph.output[1].name = "result"

    assert locate(path, changed(path, rename)).first is None


def test_swapped_outputs(exported: Exported, changed: Changed) -> None:
    pair = exported("two outputs")

    def swap(model: onnx.ModelProto) -> None:
        a, b = model.graph.output
        for node in model.graph.node:
            names = {a.name: b.name, b.name: a.name}
            node.output[:] = [names.get(n, n) for n in node.output]
            node.input[:] = [names.get(n, n) for n in node.input]

    record = locate(pair.model, changed(pair.path, swap), level="disabled")
    assert first(record).candidate in ("first", "second")


def test_few_looks_in_a_deep_chain(tmp_path: Path) -> None:
    """60 layers, the fault in any of some: at most log2(60) looks, one for the neighbours, one for the table."""
    torch.manual_seed(0)
    layers = [m for _ in range(30) for m in (nn.Linear(8, 8), nn.Tanh())]
    model = nn.Sequential(*layers).eval()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight, 1.2)
    files = to_onnx(model, torch.zeros(1, 8), tmp_path / "deep.onnx")
    for layer in (0, 7, 18, 29):
        proto = onnx.load(files.portable)
        rewrite(weights(proto)[f"{2 * layer}.weight"], lambda w: w * 1.05)
        onnx.save(proto, tmp_path / "wrong.onnx")
        record = locate(model, tmp_path / "wrong.onnx", level="disabled")
        assert first(record).reference == f"{2 * layer}"
        assert record.looks <= math.ceil(math.log2(60)) + 2
        assert sum(row.outcome != "not looked at" for row in record.rows) <= 16


# ---- what is written


def test_node_data_are_in_model_explorers_format(
    exported: Exported, changed: Changed, tmp_path: Path
) -> None:
    pair = exported("tanhexp")
    path = changed(pair.path, scaled(1))
    record = locate(pair.model, path, out=tmp_path / "out")
    data = json.loads((tmp_path / "out" / "nodes.json").read_text())
    graph = onnx.load(path).graph
    assert list(data) == [graph.name]
    results = data[graph.name]["results"]
    assert set(data[graph.name]) == {"name", "results"}
    assert set(results) <= {node.name for node in graph.node}
    assert len(results) == sum(row.outcome != "not looked at" for row in record.rows)
    maker = next(n.name for n in graph.node if first(record).candidate in n.output)
    assert results[maker] == {
        "value": first(record).relative_error,
        "bgColor": "#b71c1c",
        "textColor": "#ffffff",
    }
    assert all(set(entry) <= {"value", "bgColor", "textColor"} for entry in results.values())
    assert all(isinstance(entry["value"], float) for entry in results.values())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_all_layers_are_looked_at_when_asked_for(
    exported: Exported, changed: Changed, tmp_path: Path, runtime: str
) -> None:
    pair = exported("tanhexp")
    path = changed(pair.path, scaled(0))
    record = locate(
        pair.model, path, runtime=runtime, level=levels(runtime)[0], out=tmp_path, all_layers=True
    )
    assert first(record).reference == "1"
    assert [row.outcome for row in record.rows] == ["fail"] * len(record.rows)
    results = json.loads((tmp_path / "nodes.json").read_text())["main_graph"]["results"]
    assert set(results) == {node.name for node in onnx.load(path).graph.node}


def test_the_minimal_file_keeps_function_and_metadata(tmp_path: Path, changed: Changed) -> None:
    model = alive(Net("tanhexp"))
    files = to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), tmp_path / "net.onnx")

    def other_body(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.functions[0].node if n.op_type == "Tanh")
        node.op_type = "Sigmoid"

    record = locate(model, changed(files.portable, other_body), out=tmp_path / "out")
    assert first(record).operator == "edgeacts::TanhExp"
    part = onnx.load(record.minimal_model)
    assert [n.op_type for n in part.graph.node] == ["TanhExp"]
    assert [f.name for f in part.functions] == ["TanhExp"]
    assert {p.key for p in part.metadata_props} == {"edgeacts.forms", "edgeacts.tables"} | {
        p.key for p in onnx.load(files.portable).metadata_props
    }
    assert part.graph.doc_string == record.summary
    assert shown_alone(record) > 1e-2
    assert shown_alone(record, level=0) > 1e-2


def test_the_table_fits_eighty_columns_and_marks_the_layer(exported: Exported, changed: Changed) -> None:
    pair = exported("tanhexp")
    record = locate(pair.model, changed(pair.path, scaled(1)), level="disabled")
    lines = format_divergence(record).splitlines()
    assert all(len(line) <= 80 for line in lines)
    marked = [line for line in lines if line.startswith(">")]
    assert len(marked) == 1
    assert first(record).candidate in marked[0]
    assert any(line.startswith("DIVERGE: ") for line in lines)


# ---- refused


def test_what_cannot_be_located_is_refused(exported: Exported, tmp_path: Path) -> None:
    pair = exported("relu")
    with pytest.raises(UsageError, match=r"unknown runtime 'onnxrutime': did you mean onnxruntime\?"):
        locate(pair.model, pair.path, runtime="onnxrutime")
    with pytest.raises(UsageError, match=r"unknown onnxruntime level 'al': did you mean all\?"):
        locate(pair.model, pair.path, level="al")
    with pytest.raises(
        UsageError, match=r"model\.xml: layers are located in \.onnx files: give the file it was converted"
    ):
        locate(pair.path, tmp_path / "model.xml", runtime="openvino")
    training = alive(Net("relu"))
    training[1].train()
    with pytest.raises(UsageError, match=r"net is in training mode: call model\.eval\(\) before locating"):
        locate(training, pair.path, label="net")
    with pytest.raises(UsageError, match=r"Two gives 2 outputs, the candidate 1 \(logits\)"):
        locate(Two(), pair.path)
    with pytest.raises(
        UsageError, match=r"0\.onnx gives 2 outputs \(first, second\), the candidate 1 \(logits\)"
    ):
        locate(exported("two outputs").path, pair.path)
    narrow = alive(Net("relu"))
    narrow[0] = nn.Conv2d(5, 8, 3, 2, 1)
    with pytest.raises(
        UsageError, match=r"Net does not take the candidate's inputs \(image \[\d+, 3, 12, 12\]\)"
    ):
        locate(narrow.eval(), pair.path)
