"""`edgeacts verify A B --locate`: table, files, exit codes, and options that do not fit."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from edgeacts.cli import main
from edgeacts.records import DivergenceRecord

TEXT = """<ir_version: 9, opset_import: ["" : 20]> g (float[n,8] x) => (float[n,8] y) {
  a = MatMul(x, w)
  b = Tanh(a)
  y = MatMul(b, v)
}"""


def write(path: Path, factor: float = 1.0) -> str:
    model = parser.parse_model(TEXT)
    rng = np.random.default_rng(0)
    for name, scale in (("w", 1.0), ("v", factor)):
        weight = (rng.standard_normal((8, 8)) * scale).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
    onnx.save(model, path)
    return str(path)


def test_a_divergence_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = write(tmp_path / "right.onnx"), write(tmp_path / "wrong.onnx", 1.01)
    out = tmp_path / "out"
    code = main(["verify", right, wrong, "--locate", "--out", str(out), "--json", str(tmp_path / "r.json")])
    printed = capsys.readouterr().out
    assert code == 1
    assert printed.startswith("wrong.onnx on onnxruntime, level all, against right.onnx\n")
    assert "DIVERGE: y (MatMul) is the first value that differs from the reference's" in printed
    assert {p.name for p in out.iterdir()} == {
        "divergence.json", "minimal.onnx", "minimal-input.npz", "minimal-reference.onnx", "nodes.json",
    }  # fmt: skip
    record = DivergenceRecord.read(tmp_path / "r.json")
    assert record == DivergenceRecord.read(out / "divergence.json")
    assert record.rows[record.first or 0].candidate == "y"


def test_agreement_is_told_for_each_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = write(tmp_path / "right.onnx")
    assert main(["verify", right, right, "--locate"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for runtime in ("onnxruntime all", "accelerated all", "openvino default"):
        assert f"{runtime}: every output is within its budget" in printed


def test_a_level_chooses_the_runtimes_that_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = write(tmp_path / "right.onnx")
    assert main(["verify", right, right, "--locate", "--level", "basic"]) == 0
    printed = capsys.readouterr().out
    assert "onnxruntime basic: " in printed
    assert "openvino" not in printed
    assert main(["verify", right, right, "--locate", "--level", "basc"]) == 2
    assert "unknown level 'basc': did you mean basic?" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--level", "all"), ("--out", "x"), ("--all-layers",)])
def test_options_without_locate_are_refused(
    tmp_path: Path, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    right = write(tmp_path / "right.onnx")
    assert main(["verify", right, right, *option]) == 2
    assert capsys.readouterr().err == f"edgeacts: {option[0]} goes with --locate only\n"
