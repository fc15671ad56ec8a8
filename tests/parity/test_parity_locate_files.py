"""What `locate` writes and prints, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from locating_faults import first, scaled, shown_alone
from small_networks import SIDE, Net, Two, alive
from torch import nn

from edgeacts.errors import UsageError
from edgeacts.exporters import to_onnx
from edgeacts.parity import format_divergence, locate
from edgeacts.runtimes import levels

Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


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
