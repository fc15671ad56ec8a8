"""`export` and `export_checkpoint`: what is written, what the record says of it, and what is refused."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from small_networks import SIDE, Net, alive

from edgeacts.checkpoint import load_checkpoint
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.exporting import checkpoint_metadata, export, export_checkpoint
from edgeacts.files import sha256_file
from edgeacts.preprocessing import Preprocessing
from edgeacts.records import ExportRecord, Verdict

EXAMPLE = torch.zeros(1, 3, SIDE, SIDE)


def test_the_record_says_what_the_files_are(trained_digits: Path) -> None:
    folder = trained_digits / "export"
    record, verdict = ExportRecord.read(folder / "export.json"), Verdict.read(folder / "verdict.json")
    model = onnx.load(folder / record.portable)
    assert record.portable_sha256 == sha256_file(folder / record.portable) == verdict.candidate_sha256
    assert record.inlined_sha256 == sha256_file(folder / record.inlined)
    assert record.parent_sha256 == sha256_file(trained_digits / "train" / "checkpoint.safetensors")
    assert verdict.reference_sha256 == record.parent_sha256
    assert (record.verdict_passed, record.verdict_summary) == (True, verdict.summary)
    assert record.opset == next(o.version for o in model.opset_import if not o.domain) == 20
    assert sum(record.operators.values()) == len(model.graph.node)
    ours = [n for n in model.graph.node if n.domain == "edgeacts"]
    assert record.activation_nodes == len(ours) > 10
    assert [i.name for i in model.graph.input] == ["image"]
    assert [o.name for o in model.graph.output] == ["logits"]
    assert not onnx.load(folder / record.inlined).functions


def test_the_metadata_say_what_the_checkpoint_says(trained_digits: Path) -> None:
    checkpoint = load_checkpoint(trained_digits / "train" / "checkpoint")
    for name in ("model.onnx", "model.inlined.onnx"):
        model = onnx.load(trained_digits / "export" / name)
        metadata = {p.key: p.value for p in model.metadata_props}
        assert metadata.items() >= checkpoint_metadata(checkpoint).items()
        assert json.loads(metadata["edgeacts.classes"]) == [str(i) for i in range(10)]
        assert Preprocessing.from_json(metadata["edgeacts.preprocessing"]) == checkpoint.spec.preprocessing
        assert json.loads(metadata["edgeacts.activation"])["name"] == checkpoint.spec.activation
        assert metadata["edgeacts.parent_sha256"] == checkpoint.sha256


def test_a_network_of_your_own_is_exported_and_judged(tmp_path: Path) -> None:
    model = alive(Net("sau"))
    result = export(
        model, EXAMPLE, tmp_path / "own.onnx", runtimes=("onnxruntime",), metadata={"mine": "1"}, label="own"
    )
    assert result.verdict.passed
    assert result.record.verdict_passed
    assert result.verdict.reference == "own"
    assert (result.portable, result.inlined) == (tmp_path / "own.onnx", tmp_path / "own.inlined.onnx")
    assert result.record.activation == "sau"
    assert result.record.activation_nodes == 2
    assert {r.runtime for r in result.verdict.rows} == {"onnxruntime"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own.inlined.onnx", "own.onnx"]


def test_a_verdict_that_is_no_is_in_the_result(tmp_path: Path) -> None:
    dead = Net("relu").eval()
    dead[8].weight.data.zero_()  # the output is the bias whatever the input
    result = export(dead, EXAMPLE, tmp_path / "dead.onnx", runtimes=("onnxruntime",))
    assert result.verdict.outcome == "blind"
    assert not result.record.verdict_passed
    assert "blind" in result.record.verdict_summary


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"path": "net.pb"}, r"export path .*net\.pb must end in \.onnx"),
        ({"opset": 17}, "opset 17 is not supported: give one from 18 to 23"),
        ({"opset": 99}, "opset 99 is not supported"),
        ({"example": "x"}, "example must be a tensor"),
        ({"form": "cheapest"}, "activation tanhexp has no form .cheapest.; it has: exact"),
        ({"tolerance": -1.0}, "tolerance -1.0 must be 0 or more"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    given = {"example": EXAMPLE, "path": "net.onnx", **options}
    example, path = given.pop("example"), tmp_path / given.pop("path")
    with pytest.raises(UsageError, match=told):
        export(alive(Net("tanhexp")), example, path, **given)
    assert not list(tmp_path.iterdir())


def test_training_mode_is_refused(tmp_path: Path) -> None:
    model = alive(Net("relu"))
    model[4].train()
    with pytest.raises(UsageError, match=r"4 is in training mode \(1 modules are\): call model\.eval\(\)"):
        export(model, EXAMPLE, tmp_path / "net.onnx")


def test_a_network_torch_cannot_export_is_one_error(tmp_path: Path) -> None:
    class Branches(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * 2 if float(image.sum()) > 0 else image

    with pytest.raises(EdgeactsError, match="torch cannot export this model: "):
        export(Branches().eval(), EXAMPLE, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"checkpoint .*nothing\.safetensors does not exist; `edgeacts train` writes one"
    ):
        export_checkpoint(tmp_path / "nothing", tmp_path / "out")
    assert not (tmp_path / "out").exists()
