"""`body_for`: the portable model's own bodies are those of a runtime without kernels; and a tuning file decides."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn
from tuning_files import shipped_entries

from edgeacts.errors import UsageError
from edgeacts.exporters import to_onnx
from edgeacts.modules import ActivationModule
from edgeacts.records import TuningRecord

pytestmark = pytest.mark.usefixtures("one_thread")


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), ActivationModule(name, 6), nn.Linear(6, 3)).eval()


def exported(name: str, path: Path, **options: Any) -> tuple[nn.Module, onnx.ModelProto]:
    model = network(name)
    to_onnx(model, torch.zeros(2, 4), path, **options)
    return model, onnx.load(path)


def body(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.functions[0].node}


def stated(model: onnx.ModelProto) -> dict[str, Any]:
    found = json.loads(next(p.value for p in model.metadata_props if p.key == "edgeacts.forms"))
    return dict(next(iter(found.values())))


def test_nish_without_sine(tmp_path: Path) -> None:
    usual = exported("nish", tmp_path / "usual.onnx")[1]
    model, ours = exported("nish", tmp_path / "m.onnx", body_for="onnxruntime")
    assert "Sin" in body(usual)
    assert not {"Sin", "Where"} & body(ours)
    assert stated(usual)["form"] == "exact"
    assert stated(ours)["form"].startswith("gate-")
    assert 0 < stated(ours)["bound"] <= 1e-5
    x = 3 * torch.randn(64, 4)
    with torch.no_grad():
        expected = model(x).numpy()
    got = ort.InferenceSession(str(tmp_path / "m.onnx")).run(None, {"input": x.numpy()})[0]
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert float(expected.std()) > 0.1


def test_native_mish_is_avoided(tmp_path: Path) -> None:
    assert "Mish" not in body(
        exported("mish", tmp_path / "m.onnx", body_for="onnxruntime", tolerance=1e-6)[1]
    )


def test_named_form_wins(tmp_path: Path) -> None:
    ours = exported("mish", tmp_path / "m.onnx", body_for="onnxruntime", form="native")[1]
    assert "Mish" in body(ours)


def test_tuning_file_decides(tmp_path: Path) -> None:
    """A file in which the formula is the fastest."""
    entries = [
        msgspec.structs.replace(
            entry,
            activations=tuple(
                msgspec.structs.replace(
                    one,
                    forms=tuple(
                        msgspec.structs.replace(f, ratio=0.5 if f.name == "exact" else 9.0) for f in one.forms
                    ),
                )
                for one in entry.activations
            ),
        )
        for entry in shipped_entries()
    ]
    path = tmp_path / "t.json"
    TuningRecord(entries=tuple(entries)).write(path)
    ours = exported("nish", tmp_path / "m.onnx", body_for="onnxruntime", tuning=path)[1]
    assert "Sin" in body(ours)


def test_runtime_without_forms_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="unknown runtime with forms 'tensorrt': valid: openvino, onnxruntime"
    ):
        exported("mish", tmp_path / "m.onnx", body_for="tensorrt")
