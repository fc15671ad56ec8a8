"""OpenVINO's files: values, metadata, what travels and what does not, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from portable_files import PREPROCESSING, alone, doubled, network

from edgeacts.activations import activation, names
from edgeacts.errors import DamagedFile, EdgeactsError, UsageError
from edgeacts.exporters import to_onnx, to_openvino
from edgeacts.files import sha256_file
from edgeacts.forms import choose_for
from edgeacts.modules import ActivationModule
from edgeacts.oracles import float64
from edgeacts.parity.claims import file_precisions, form_bound
from edgeacts.runtimes import model_metadata, open_runtime, open_session
from edgeacts.runtimes import openvino_ir as ir

STATED = {
    "edgeacts.classes": json.dumps(
        ["T-shirt", 'a "quoted" <tag> & ünïcödé', "", "d", "e"], ensure_ascii=False
    ),
    "edgeacts.preprocessing": PREPROCESSING.to_json(),
    "edgeacts.tables": "a secret of other runtimes",
    "a key with spaces & <signs>": "kept",
}
POINTS = np.concatenate([np.linspace(-30, 30, 4001), [0.0, -1e4, 1e4, 88.0, -104.0]]).astype(np.float32)


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network(tmp_path_factory.mktemp("portable") / "net.onnx", **STATED)


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 3, 12, 10)).astype(np.float32)


def run(path: Path, runtime: str, feeds: dict[str, np.ndarray], **options: Any) -> np.ndarray:
    with open_runtime(path, runtime, **options) as session:
        return next(iter(session.infer(feeds).values()))


@pytest.mark.parametrize("name", names())
def test_every_activation_of_the_catalogue_equals_its_definition(name: str, tmp_path: Path) -> None:
    files = to_openvino(alone(tmp_path / "one.onnx", name), tmp_path)
    x = POINTS[:, None]
    expected = float64(activation(name), x)
    scale = np.maximum(1.0, np.abs(x))
    for path in (files.xml, files.inlined):
        assert path is not None
        for level in ("dynamic", "default"):
            error = np.abs(run(path, "openvino", {"x": x}, level=level) - expected) / scale
            assert float(error.max()) < 3e-6, (path.name, level, float(x[error.argmax(), 0]))


def test_the_files_compute_what_the_portable_one_does(portable: Path, tmp_path: Path) -> None:
    files = to_openvino(portable, tmp_path / "out", name="net")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["net.bin", "net.openvino.onnx", "net.xml"]
    expected = run(portable, "onnxruntime", {"image": images()})
    assert expected.std() > 0.1
    for path in (files.xml, files.inlined):
        assert path is not None
        np.testing.assert_allclose(run(path, "openvino", {"image": images()}), expected, atol=2e-6)
    assert files.inlined is not None
    assert not onnx.load(files.inlined).functions
    np.testing.assert_allclose(run(files.inlined, "onnxruntime", {"image": images()}), expected, atol=1e-6)


def test_the_inlined_file_has_the_forms_that_openvino_runs_best(tmp_path: Path) -> None:
    """In the precision that was asked for; the portable file keeps the formula."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), ActivationModule("tanhexp", 6)).eval()
    source = to_onnx(model, torch.zeros(1, 4), tmp_path / "one.onnx").portable
    files = {p: to_openvino(source, tmp_path / p, precision=p) for p in ("f32", "bf16")}
    operators = {}
    for precision, written in files.items():
        assert written.inlined is not None
        operators[precision] = [node.op_type for node in onnx.load(written.inlined).graph.node]
        assert "Tanh" not in operators[precision]
        assert "Div" in operators[precision]
        assert written.forms["TanhExp"][0] == choose_for(activation("tanhexp"), precision=precision).form.name
    assert operators["bf16"] != operators["f32"]
    assert "Tanh" in [node.op_type for node in onnx.load(source).functions[0].node]


def test_what_the_file_says_of_itself_is_read_back(portable: Path, tmp_path: Path) -> None:
    files = to_openvino(portable, tmp_path)
    found = model_metadata(files.xml)
    assert {k: found[k] for k in ("edgeacts.classes", "edgeacts.preprocessing")} == {
        k: STATED[k] for k in ("edgeacts.classes", "edgeacts.preprocessing")
    }
    assert found["edgeacts.portable_sha256"] == sha256_file(portable)
    assert form_bound(files.xml) == 0.0
    assert found["a key with spaces & <signs>"] == "kept"
    text = files.xml.read_text()
    assert "edgeacts.tables" not in text
    assert sha256_file(files.weights) in text
    with open_runtime(files.xml, "openvino") as session:
        assert session.metadata == found  # type: ignore[attr-defined]
        assert [str(s) for s in session.inputs] == ["float32 [?, 3, 12, 10]"]
        assert session.manifest.activations[0].operator == "TanhExp"  # type: ignore[attr-defined]
    assert type(open_session(files.xml, "openvino")).__name__ == "CompiledModel"


def test_writing_twice_gives_the_same_bytes(portable: Path, tmp_path: Path) -> None:
    once, again = (to_openvino(portable, tmp_path / folder, camera="rgb") for folder in ("a", "b"))
    for one, other in ((once.weights, again.weights), (once.inlined, again.inlined)):
        assert one is not None
        assert other is not None
        assert sha256_file(one) == sha256_file(other)
    assert not list(tmp_path.glob("*/.*")), "temporary files are left"


# ---- forms


def test_openvino_runs_the_body_that_the_file_carries_for_it_and_nobody_else_does(tmp_path: Path) -> None:
    path = alone(tmp_path / "m.onnx", "tanhexp", **{"edgeacts.bodies": doubled()})
    x = np.array([[-0.5], [0.25], [1.5]], np.float32)
    exact = float64(activation("tanhexp"), x)
    np.testing.assert_allclose(run(path, "openvino", {"x": x}), 2 * x)
    np.testing.assert_allclose(run(path, "onnxruntime", {"x": x}), exact, atol=1e-6)
    files = to_openvino(path, tmp_path / "f32")
    assert files.forms == {"TanhExp": ("double", 1e-6)}
    np.testing.assert_allclose(run(files.xml, "openvino", {"x": x}), 2 * x)
    assert form_bound(files.xml) == 1e-6
    assert files.inlined is not None
    np.testing.assert_allclose(run(files.inlined, "onnxruntime", {"x": x}), 2 * x)
    assert form_bound(files.inlined) == 1e-6
    other = alone(tmp_path / "o.onnx", "tanhexp", **{"edgeacts.bodies": doubled(precision="bf16")})
    np.testing.assert_allclose(run(other, "openvino", {"x": x}), exact, atol=2e-6)
    assert to_openvino(other, tmp_path / "bf16", precision="bf16").forms == {"TanhExp": ("double", 1e-6)}


def test_a_function_that_was_changed_since_is_what_runs(tmp_path: Path) -> None:
    """Else a fault in the file would be hidden by the body beside it. Names and texts may change."""
    path = alone(tmp_path / "m.onnx", "tanhexp", **{"edgeacts.bodies": doubled()})
    x = np.array([[-0.5], [0.25], [1.5]], np.float32)
    model = onnx.load(path)
    for node in model.functions[0].node:
        node.name, node.doc_string = f"named {node.op_type}", "by another tool"
    onnx.save(model, path)
    np.testing.assert_allclose(run(path, "openvino", {"x": x}), 2 * x)
    exponential = next(node for node in model.functions[0].node if node.op_type == "Exp")
    exponential.op_type = "Sigmoid"
    onnx.save(model, path)
    expected = run(path, "onnxruntime", {"x": x})
    np.testing.assert_allclose(run(path, "openvino", {"x": x}), expected, atol=2e-6)
    assert to_openvino(path, tmp_path).forms == {"TanhExp": ("exact", 0.0)}


def test_the_form_is_chosen_anew_when_a_tolerance_is_given(tmp_path: Path) -> None:
    path = alone(tmp_path / "m.onnx", "sau")
    assert to_openvino(path, tmp_path / "own").forms == {"SAU": ("exact", 0.0)}
    chosen = to_openvino(path, tmp_path / "anew", tolerance=1e-5)
    assert chosen.forms["SAU"][0] == "leaky"
    assert 0 < chosen.forms["SAU"][1] <= 1e-5
    assert to_openvino(path, tmp_path / "exact", tolerance=0.0).forms == {"SAU": ("exact", 0.0)}
    x = POINTS[:, None]
    error = np.abs(run(chosen.xml, "openvino", {"x": x}) - float64(activation("sau"), x))
    assert float((error / np.maximum(1, np.abs(x))).max()) <= chosen.forms["SAU"][1] + 1e-6


def test_an_activation_with_another_formula_under_a_known_name_keeps_its_body(tmp_path: Path) -> None:
    path = alone(tmp_path / "m.onnx", "sau")
    model = onnx.load(path)
    for entry in model.metadata_props:
        entry.value = entry.value.replace('"formula": "', '"formula": "1 + ')
    onnx.save(model, path)
    assert to_openvino(path, tmp_path, tolerance=1e-5).forms == {"SAU": ("exact", 0.0)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ('{"chosen": {"openvino": {"f32": {"TanhExp": "no"}}}, "forms": {}}', "'instead_of' is missing"),
        (doubled().replace('"forms": {"TanhExp"', '"forms": {"Mish"'), "'TanhExp' is missing"),
        (doubled(body="%%%"), "form double of TanhExp is damaged"),
        (doubled(body="AAAA"), "form double of TanhExp is"),
        (doubled(bound=float("nan")), "form double of TanhExp has the bound nan"),
        (doubled(bound=-1.0), "form double of TanhExp has the bound -1.0"),
        (doubled(bound=None), "float"),
    ],
)
def test_damaged_bodies(text: str, told: str, tmp_path: Path) -> None:
    path = alone(tmp_path / "m.onnx", "tanhexp", **{"edgeacts.bodies": text})
    with pytest.raises(DamagedFile, match=r"metadata edgeacts\.bodies cannot be read \(") as caught:
        open_runtime(path, "openvino")
    assert told in str(caught.value)
    assert str(caught.value).endswith("export the model again")


def test_a_body_of_another_shape_or_of_foreign_operators_is_refused(tmp_path: Path) -> None:
    from onnx import helper
    from portable_files import body_text

    foreign = helper.make_node("Anything", ["x"], ["y"], domain="com.evil")
    nested = helper.make_node("If", ["x"], ["y"], then_branch=helper.make_graph([], "g", [], []))
    add = helper.make_node("Add", ["x", "z"], ["y"])
    for body, told in (
        (body_text("TanhExp", [foreign]), "holds com.evil"),
        (body_text("TanhExp", [nested]), "holds a graph"),
        (body_text("TanhExp", [add], ("x", "z")), "is another function"),
        (body_text("Mish", [helper.make_node("Add", ["x", "x"], ["y"])]), "is another function"),
    ):
        path = alone(tmp_path / "m.onnx", "tanhexp", **{"edgeacts.bodies": doubled(body=body)})
        with pytest.raises(DamagedFile, match=f"form double of TanhExp {told}"):
            to_openvino(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- precision


def test_f16_halves_the_weights_and_says_so(portable: Path, tmp_path: Path) -> None:
    whole, half = (
        to_openvino(portable, tmp_path / "f32"),
        to_openvino(portable, tmp_path / "f16", precision="f16"),
    )
    assert half.weights.stat().st_size < 0.6 * whole.weights.stat().st_size
    assert (file_precisions(whole.xml), file_precisions(half.xml)) == ({"f32"}, {"f16"})
    with open_runtime(half.xml, "openvino") as session:
        assert session.executed()["precision"] == "f32"


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precision": "f23"}, "unknown precision 'f23'"),
        ({"camera": "grb"}, "camera 'grb': give the order of its colours, rgb or bgr"),
    ],
)
def test_wrong_usage(options: dict[str, Any], told: str, portable: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        to_openvino(portable, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_only_onnx_is_converted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"m\.tflite is no ONNX file: OpenVINO's is made from the portable"):
        to_openvino(tmp_path / "m.tflite", tmp_path)
    with pytest.raises(UsageError, match=r"model .*none\.onnx does not exist"):
        to_openvino(tmp_path / "none.onnx", tmp_path)


# ---- files that are not what they were


@pytest.fixture
def written(portable: Path, tmp_path: Path) -> Path:
    return to_openvino(portable, tmp_path).xml


def refused(xml: Path, kind: type[EdgeactsError] = DamagedFile) -> str:
    with pytest.raises(kind) as caught:
        open_runtime(xml, "openvino")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_another_model_are_refused(written: Path, tmp_path: Path) -> None:
    weights = written.with_suffix(".bin")
    weights.write_bytes(bytes(reversed(weights.read_bytes())))
    assert (
        refused(written)
        == f"{weights} holds other weights than those model.xml was written with: convert again"
    )


def test_weights_cut_short_or_missing_are_refused(written: Path) -> None:
    weights = written.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:100])
    assert "model.xml" in refused(written)
    weights.unlink()
    assert "needs its weights beside it: model.bin does not exist" in refused(written, UsageError)


def test_an_offset_beyond_the_weights_is_refused(written: Path) -> None:
    text = written.read_text()
    assert 'offset="0"' in text
    written.write_text(text.replace('offset="0"', 'offset="99999999999"', 1))
    assert "cannot read" in refused(written)


def test_an_xml_of_which_half_is_missing_is_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes()[: written.stat().st_size // 2])
    assert "openvino cannot read" in refused(written)


def test_only_the_weights_of_the_same_name_are_read(written: Path, tmp_path: Path) -> None:
    """An .xml cannot lead out of its folder: it names no file at all."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(written, elsewhere / "model.xml")
    (elsewhere / "model.xml").write_text(
        written.read_text().replace("<net ", f'<net weights="{tmp_path}/model.bin" ')
    )
    assert "model.bin does not exist" in refused(elsewhere / "model.xml", UsageError)


def test_a_description_that_is_no_json_is_refused(written: Path) -> None:
    text = written.read_text()
    assert text.count("&quot;activations&quot;") == 1
    written.write_text(text.replace("&quot;activations&quot;", "&quot;activities&quot;"))
    assert "what it says of itself cannot be read: convert it again" in refused(written)


def test_an_xml_beyond_the_limit_is_not_read(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ir, "MAX_XML_BYTES", 1000)
    assert "more than the 1,000 allowed" in refused(written)


def test_onnxruntime_is_told_that_it_cannot_read_xml(written: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.xml is an OpenVINO model: give the \.onnx file"):
        open_runtime(written, "onnxruntime")
