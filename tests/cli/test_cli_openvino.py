"""Verbs that write and read OpenVINO's files: export, explain, verify, bench, report."""

import json
from pathlib import Path

import pytest

from edgeacts.cli import main
from edgeacts.records import ExecutedGraph, LatencyRecord, Verdict
from edgeacts.runtimes import model_metadata, open_runtime

pytestmark = pytest.mark.usefixtures("one_thread")
Capture = pytest.CaptureFixture[str]


def ran(capsys: Capture, *arguments: object, code: int = 0) -> str:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def fails(capsys: Capture, *arguments: object, code: int = 2) -> str:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == code
    return capsys.readouterr().err.strip()


@pytest.fixture(scope="module")
def written(trained_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openvino")
    portable = trained_digits / "export" / "model.onnx"
    assert (
        main(["export", str(portable), "--format", "openvino", "--camera", "rgb", "--out", str(folder)]) == 0
    )
    return folder


def test_export_of_a_checkpoint_writes_both_formats_and_two_verdicts(
    trained_digits: Path, capsys: Capture, tmp_path: Path
) -> None:
    checkpoint = trained_digits / "train" / "checkpoint.safetensors"
    told = ran(
        capsys, "export", checkpoint, "--out", tmp_path / "out", "--format", "openvino", "--runtime", "onnxruntime",
        "--json", tmp_path / "executed.json",
    )  # fmt: skip
    lines = told.splitlines()
    assert [line.split(":")[0] for line in lines if line[0] != " "] == [
        *("portable", "inlined", "PASS", "openvino", "inlined for it", "executed", "PASS"),
    ]
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {
        *("model.onnx", "model.inlined.onnx", "export.json", "verdict.json"),
        *("model.xml", "model.bin", "model.openvino.onnx", "verdict-openvino.json", "executed-openvino.json"),
    }
    verdict = Verdict.read(tmp_path / "out" / "verdict-openvino.json")
    assert (verdict.candidate, {r.runtime for r in verdict.rows}) == ("model.xml", {"openvino"})
    assert {r.level for r in verdict.rows} == {"dynamic", "default"}
    assert "validation" in {r.inputs for r in verdict.rows}
    graph = ExecutedGraph.read(tmp_path / "executed.json")
    assert (graph.precision_asked, graph.precision, graph.model) == ("f32", "f32", "model.xml")
    assert {one.operator for one in graph.activations} == {"TanhExp"}
    assert (
        len(graph.activations)
        == json.loads((tmp_path / "out" / "export.json").read_text())["activation_nodes"]
    )


def test_explain_tells_what_openvino_executes(
    written: Path, trained_digits: Path, capsys: Capture, tmp_path: Path
) -> None:
    told = ran(capsys, "explain", written / "model.xml", "--json", tmp_path / "x.json")
    assert "f32 asked for, f32 executed" in " ".join(told.split())
    facts = json.loads((tmp_path / "x.json").read_text())
    layers = facts["layers executed"]
    assert any(name.startswith("Convolution, ") and name.endswith(", f32") for name in layers)
    assert all(text.startswith("TanhExp (") for text in facts["activations executed"].values())
    assert "edgeacts.classes" in facts["metadata"]
    of_onnx = ran(capsys, "explain", trained_digits / "export" / "model.onnx", "--runtime", "openvino")
    assert "activations executed:" in of_onnx
    assert "accelerated" not in of_onnx


def test_verify_judges_an_xml_by_the_checkpoint_and_by_its_metadata(
    written: Path, trained_digits: Path, capsys: Capture, tmp_path: Path
) -> None:
    """Everything passes but what the file says of itself, which is no longer what the checkpoint says."""
    xml, stale = written / "model.xml", tmp_path / "stale.xml"
    text = xml.read_text()
    old, new = (f"&quot;resize&quot;:&quot;{way}" for way in ("bilinear", "nearest"))
    assert text.count(old) == 1
    stale.write_text(text.replace(old, new))
    (tmp_path / "stale.bin").write_bytes(xml.with_suffix(".bin").read_bytes())
    checkpoint = trained_digits / "train" / "checkpoint.safetensors"
    told = ran(
        capsys,
        "verify",
        checkpoint,
        stale,
        "--threads",
        1,
        "--batch",
        1,
        "--json",
        tmp_path / "v.json",
        code=1,
    )
    assert "not checked: onnxruntime: stale.xml is an OpenVINO model, which" in told
    assert "metadata edgeacts.preprocessing is" in " ".join(told.split())
    rows = Verdict.read(tmp_path / "v.json").rows
    assert [r.output for r in rows if not r.passed] == ["edgeacts.preprocessing"]
    assert {r.level for r in rows if r.passed} == {"dynamic", "default"}


def test_bench_measures_an_xml_beside_the_onnx_it_came_from(
    written: Path, trained_digits: Path, capsys: Capture, tmp_path: Path
) -> None:
    onnx_file = trained_digits / "export" / "model.onnx"
    ran(
        capsys, "bench", onnx_file, written / "model.xml", "--runtime", "openvino", "--rounds", 5, "--label", "onnx,xml",
        "--json", tmp_path / "b.json",
    )  # fmt: skip
    record = LatencyRecord.read(tmp_path / "b.json")
    assert [s.label for s in record.series] == ["onnx", "xml"]
    assert {s.executed["shapes"] for s in record.series} == {"fixed"}
    assert all("TanhExp" in str(s.executed["activations"]) for s in record.series)
    alone = ran(capsys, "bench", written / "model.xml", "--rounds", 5)
    assert "onnxruntime" in alone, "what was left out is said"


def test_the_report_shows_how_each_activation_was_executed(
    written: Path, capsys: Capture, tmp_path: Path
) -> None:
    ran(capsys, "report", written, "--out", tmp_path)
    page = json.loads((tmp_path / "report.json").read_text())
    section = next(s for s in page["sections"] if s["name"] == "ran")
    table = next(t for t in section["tables"] if t["name"] == "executed-activations")
    assert table["columns"][2:8] == ["activation", "form", "bound", "runs", "kernel", "precision"]
    row = [cell["text"] for cell in table["rows"][0]]
    assert row[:3] == ["model.xml", "openvino, f32", "TanhExp"]
    assert row[7] == "f32"
    graph = ExecutedGraph.read(written / "executed-openvino.json")
    assert sum(r[8]["value"] for r in table["rows"]) == len(graph.activations)


def test_an_export_carries_the_forms_that_openvino_is_to_run(trained_digits: Path) -> None:
    """Chosen when the file was written: a device has no SymPy to choose them with."""
    portable = trained_digits / "export" / "model.onnx"
    stated = json.loads(model_metadata(portable)["edgeacts.bodies"])
    form = stated["chosen"]["openvino"]["f32"]["TanhExp"]
    assert 0 < stated["forms"]["TanhExp"][form]["bound"] <= 1e-5
    with open_runtime(portable, "openvino") as session:
        assert f"TanhExp ({form}, " in str(session.executed()["activations"])
        assert session.form_bound == stated["forms"]["TanhExp"][form]["bound"]


def test_the_camera_model_says_what_it_was_made_for(written: Path) -> None:
    stated = model_metadata(written / "model.camera.xml")
    assert stated["edgeacts.camera"] == "rgb"
    assert stated["edgeacts.preprocessing"] == model_metadata(written / "model.xml")["edgeacts.preprocessing"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("export", "m.onnx", "--out", "o"),
            "m.onnx is exported already: give a checkpoint, or add --format openvino",
        ),
        (("export", "c", "--out", "o", "--camera", "rgb"), "--camera is for OpenVINO: add --format openvino"),
        (
            ("export", "c", "--out", "o", "--executed-precision", "f16"),
            "--executed-precision is for OpenVINO: add --format openvino",
        ),
        (
            ("explain", "m.onnx", "--executed-precision", "f32"),
            "--executed-precision is for openvino: add --runtime openvino",
        ),
        (
            ("explain", "m.xml", "--runtime", "accelerated"),
            "m.xml is an OpenVINO model, which accelerated does not",
        ),
        (("explain", "m.xml"), "m.xml does not exist"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], told: str, capsys: Capture) -> None:
    assert told in fails(capsys, *arguments)
