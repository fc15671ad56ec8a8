"""What cannot be compared is refused, with the cure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_networks import SIDE, Net, alive
from torch import nn

from edgeacts.errors import EdgeactsError, NotAvailable, UsageError
from edgeacts.parity import format_verdict, verify
from edgeacts.runtimes import openvino as openvino_adapter
from edgeacts.runtimes import openvino_reading

ORT = ("onnxruntime",)
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_training_mode_is_refused_with_the_cure(exported: Exported) -> None:
    pair = exported("relu")
    model = alive(Net("relu"))
    model[1].train()  # one batch norm is enough
    with pytest.raises(UsageError, match=r"net is in training mode: call model\.eval\(\) before verifying"):
        verify(model, pair.path, runtimes=ORT, label="net")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"runtimes": ()}, "no runtime to verify on: give at least one"),
        ({"runtimes": ("onnxrutime",)}, r"unknown runtime 'onnxrutime': did you mean onnxruntime\?"),
        ({"precisions": "fp32"}, r"unknown precision 'fp32': did you mean f32\?"),
        ({"precisions": ()}, "no precision to verify on: give at least one"),
        ({"threads": -1}, "threads must be an integer"),
        ({"threads": ()}, "no number of threads to verify on: give at least one"),
        ({"batches": ()}, r"batches \(\): give whole numbers of at least 1, such as \(1, 2, 7\)"),
        ({"batches": (1, 0)}, r"batches \(1, 0\): give whole numbers"),
        (
            {"images": np.zeros((4, 1, SIDE, SIDE), np.float32)},
            r"images have shape \[4, 1, 12, 12\], input image takes",
        ),
        ({"images": np.zeros((4, 3, SIDE), np.float32)}, r"images have shape \[4, 3, 12\]"),
        ({"images": np.zeros((1, 3, SIDE, SIDE), np.float32)}, "at least two images are needed"),
        (
            {"inputs": {"pixels": np.zeros((4, 3, SIDE, SIDE))}},
            "inputs pixels were given, the model takes image",
        ),
    ],
)
def test_wrong_arguments_are_refused(exported: Exported, options: dict[str, Any], told: str) -> None:
    pair = exported("relu")
    with pytest.raises(UsageError, match=told):
        verify(pair.model, pair.path, **{"runtimes": ORT, **options})


def test_a_network_of_other_inputs_is_refused(exported: Exported) -> None:
    pair = exported("relu")
    grey = nn.Sequential(nn.Conv2d(1, 5, 12), nn.Flatten()).eval()
    with pytest.raises(
        UsageError, match=r"Sequential does not take the candidate's inputs \(image \[7, 3, 12, 12\]\): "
    ):
        verify(grey, pair.path, runtimes=ORT)


def graph(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights_: list[Any] | None = None
) -> Path:
    """An ONNX file of opset 18."""
    proto = helper.make_graph(nodes, "graph", inputs, outputs, weights_ or [])
    onnx.save(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def test_a_graph_without_inputs_has_nothing_to_compare(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.ones(3, np.float32), "c")
    path = graph(
        tmp_path / "c.onnx", [helper.make_node("Identity", ["c"], ["y"])], [], [value("y", [3])], [constant]
    )
    with pytest.raises(UsageError, match="the model has no input: there is nothing to compare on"):
        verify(path, path, runtimes=ORT)


def test_files_with_different_inputs_are_refused(tmp_path: Path) -> None:
    one = graph(
        tmp_path / "1.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", ["n", 3])],
        [value("y", ["n", 3])],
    )
    two = graph(tmp_path / "2.onnx", [helper.make_node("Add", ["x", "z"], ["y"])], [value("x", ["n", 3]), value("z", ["n", 3])],
                [value("y", ["n", 3])])  # fmt: skip
    with pytest.raises(UsageError, match=r"1\.onnx has 1 inputs \(x\), the candidate 2 \(x, z\)"):
        verify(one, two, runtimes=ORT)
    assert verify(two, two, runtimes=ORT).passed


def test_an_output_of_text_cannot_be_compared(tmp_path: Path) -> None:
    words = helper.make_tensor("words", TensorProto.STRING, [2], [b"cat", b"dog"])
    best = helper.make_node("ArgMax", ["x"], ["i"], axis=1, keepdims=0)
    name = helper.make_node("Gather", ["words", "i"], ["y"])
    text = value("y", ["n"], TensorProto.STRING)
    path = graph(tmp_path / "s.onnx", [best, name], [value("x", ["n", 2])], [text], [words])
    with pytest.raises(EdgeactsError, match="output y cannot be compared as numbers"):
        verify(path, path, runtimes=ORT)


def test_open_dimensions_need_a_size(tmp_path: Path) -> None:
    pool = helper.make_node("GlobalMaxPool", ["x"], ["y"])
    path = graph(tmp_path / "p.onnx", [pool], [value("x", ["n", 3, "h", "w"])], [value("y", ["n", 3, 1, 1])])
    with pytest.raises(UsageError, match=r"input x: the size of dimension 2 \(h\) is open: give --size h=N"):
        verify(path, path, runtimes=ORT)
    assert verify(path, path, runtimes=ORT, sizes={"h": 5, "w": 4}).passed


def test_a_runtime_that_is_not_there_is_listed_not_passed_over(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise NotAvailable("openvino is not installed: pip install 'edgeacts[openvino]'")

    for module in (openvino_adapter, openvino_reading):
        monkeypatch.setattr(module, "new_core", missing)
    pair = exported("relu")
    verdict = verify(pair.model, pair.path)
    assert verdict.passed
    assert list(verdict.skipped) == ["openvino"]
    assert verdict.summary.endswith("; not checked: openvino")
    assert "not checked: openvino: openvino is not installed" in " ".join(format_verdict(verdict).split())
    with pytest.raises(NotAvailable, match=r"nothing was compared: openvino is not installed: pip install"):
        verify(pair.model, pair.path, runtimes=("openvino",))


def test_nothing_compared_says_why(exported: Exported) -> None:
    pair = exported("relu")
    with pytest.raises(
        EdgeactsError, match="nothing was compared: onnxruntime runs a model in the precision of its file"
    ):
        verify(pair.model, pair.path, runtimes=ORT, precisions="bf16")


@pytest.mark.parametrize("content", [b"", b"not a model, but a text\n", bytes(range(256)) * 40, None])
def test_a_damaged_candidate_is_refused(exported: Exported, tmp_path: Path, content: bytes | None) -> None:
    pair = exported("relu")
    path = tmp_path / "damaged.onnx"
    path.write_bytes(pair.path.read_bytes()[:-700] if content is None else content)
    with pytest.raises(EdgeactsError, match=r"damaged\.onnx"):
        verify(pair.model, path, runtimes=ORT)
    with pytest.raises(EdgeactsError, match=r"damaged\.onnx"):
        verify(path, pair.path, runtimes=ORT)


def test_missing_files_and_folders_are_named(exported: Exported, tmp_path: Path) -> None:
    pair = exported("relu")
    for path in (tmp_path / "no.onnx", tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            verify(pair.model, path, runtimes=ORT)
        with pytest.raises(UsageError, match=str(path)):
            verify(path, pair.path, runtimes=ORT)
