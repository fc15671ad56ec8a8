"""`locate` in graphs that branch, call a module twice, are renamed or deep: faults are found in few looks."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from locating_faults import first
from small_networks import SIDE, rewrite, weights
from torch import Tensor, nn

from edgeacts.exporters import to_onnx
from edgeacts.parity import locate

Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


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
