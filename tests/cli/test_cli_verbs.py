"""Each verb does what it says: text on stdout, records in --json, exit 0 for yes and 1 for no."""

import json
import shutil
from pathlib import Path

import msgspec
import onnx
import pytest
from small_networks import rewrite, weights

from edgeacts.activations import names as activation_names
from edgeacts.cli import main
from edgeacts.data import dataset_names
from edgeacts.files import sha256_file
from edgeacts.models import model_names
from edgeacts.records import ExportRecord, LatencyRecord, TrainingRecord, Verdict
from edgeacts.runtimes import resolve_threads, runtime_names

pytestmark = pytest.mark.usefixtures("one_thread")

Capture = pytest.CaptureFixture[str]
ORT = ["--runtime", "onnxruntime"]


def ran(capsys: Capture, *arguments: object, code: int = 0) -> str:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def fits(text: str) -> bool:
    """Within 80 columns, but for a single word that cannot be broken."""
    return all(len(line) <= 80 or len(line.split()) <= 2 for line in text.splitlines())


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("activations", activation_names()),
        ("models", model_names()),
        ("data", dataset_names()),
        ("runtimes", runtime_names()),
    ],
)
def test_list_names_everything_there_is(
    capsys: Capture, tmp_path: Path, what: str, expected: tuple[str, ...]
) -> None:
    text = ran(capsys, "list", what, "--json", tmp_path / "list.json")
    assert tuple(line for line in text.splitlines() if not line.startswith(" ")) == expected
    assert fits(text)
    assert tuple(row["name"] for row in json.loads((tmp_path / "list.json").read_text())) == expected


@pytest.mark.parametrize("name", activation_names())
def test_explain_tells_an_activation(capsys: Capture, tmp_path: Path, name: str) -> None:
    text = ran(capsys, "explain", name, "--json", tmp_path / "facts.json")
    for label in (
        "formula: ",
        "derivative: ",
        "LaTeX: ",
        "towards +∞: ",
        "exported by default: ",
        "source: ",
    ):
        assert f"\n{label}" in text
    assert text.startswith(f"name: {name}\n")
    assert fits(text)
    assert json.loads((tmp_path / "facts.json").read_text())["name"] == name


def test_explain_tells_a_file(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    path = trained_digits / "export" / "model.onnx"
    text = ran(capsys, "explain", path, "--json", tmp_path / "facts.json")
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["inputs"] == "image"
    assert facts["outputs"] == "logits"
    assert "ai.onnx 20" in facts["opset"]
    (function,) = facts["activation functions"]
    assert function in text
    assert function.startswith("edgeacts::")
    assert "within" in text
    plain = ran(capsys, "explain", trained_digits / "export" / "model.inlined.onnx")
    assert "none: activations are plain operators" in plain
    assert fits(text.replace(str(path), "path"))


def test_verify_says_yes(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    checkpoint, path = (
        trained_digits / "train" / "checkpoint.safetensors",
        trained_digits / "export" / "model.onnx",
    )
    text = ran(capsys, "verify", checkpoint, path, "--json", tmp_path / "verdict.json")
    verdict = Verdict.read(tmp_path / "verdict.json")
    assert verdict.passed
    assert text.splitlines()[-1].startswith("PASS: ") or "\nPASS: " in text
    assert {r.inputs for r in verdict.rows} == {"validation", "random", "extremes"}
    assert {r.runtime for r in verdict.rows} == {"onnxruntime", "accelerated", "openvino"}
    assert {r.batch for r in verdict.rows} == {1, 2, 7}
    assert {r.threads for r in verdict.rows} == ({1, 2} if resolve_threads(0) > 1 else {1})
    assert max(map(len, text.splitlines())) <= 80


def test_verify_says_no(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    model = onnx.load(trained_digits / "export" / "model.onnx")
    rewrite(list(weights(model).values())[-1], lambda w: w * 1.01)
    onnx.save(model, tmp_path / "wrong.onnx")
    checkpoint = trained_digits / "train" / "checkpoint"
    text = ran(
        capsys, "verify", checkpoint, tmp_path / "wrong.onnx", *ORT, "--json", tmp_path / "v.json", code=1
    )
    assert "\nFAIL: " in text
    assert Verdict.read(tmp_path / "v.json").outcome == "fail"
    assert max(map(len, text.splitlines())) <= 80


def test_verify_says_nobody_can_tell(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    model = onnx.load(trained_digits / "export" / "model.onnx")
    rewrite(next(iter(weights(model).values())), lambda w: w * 0)
    onnx.save(model, tmp_path / "deaf.onnx")
    text = ran(
        capsys, "verify", tmp_path / "deaf.onnx", tmp_path / "deaf.onnx", *ORT, "--batch", "3", "--threads", "1",
        "--json", tmp_path / "v.json", code=1,
    )  # fmt: skip
    verdict = Verdict.read(tmp_path / "v.json")
    assert verdict.outcome == "blind"
    assert {(r.batch, r.threads) for r in verdict.rows} == {(3, 1)}
    assert "\nBLIND: " in text
    assert "verify trained weights on real inputs" in " ".join(text.split())


def test_verify_notices_stale_preprocessing(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    model = onnx.load(trained_digits / "export" / "model.onnx")
    (entry,) = (p for p in model.metadata_props if p.key == "edgeacts.preprocessing")
    stated = json.loads(entry.value)
    entry.value = json.dumps({**stated, "mean": [m + 0.1 for m in stated["mean"]]})
    onnx.save(model, tmp_path / "stale.onnx")
    text = ran(
        capsys, "verify", trained_digits / "train" / "checkpoint", tmp_path / "stale.onnx", *ORT, code=1
    )
    assert "metadata edgeacts.preprocessing is" in text


def test_verify_compares_two_files(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    folder = trained_digits / "export"
    text = ran(
        capsys, "verify", folder / "model.onnx", folder / "model.inlined.onnx", *ORT, "--data", "digits",
        "--json", tmp_path / "v.json",
    )  # fmt: skip
    assert "validation" in {r.inputs for r in Verdict.read(tmp_path / "v.json").rows}
    assert "the reference ran in float32, not optimized" in " ".join(text.split())


def test_a_checkpoint_of_another_size_is_refused(
    trained_digits: Path, capsys: Capture, tmp_path: Path
) -> None:
    """The same network, its preprocessing says another size than the file takes."""
    shutil.copytree(trained_digits / "train", tmp_path / "train")
    spec_path = tmp_path / "train" / "checkpoint.json"
    spec = json.loads(spec_path.read_text())
    spec["preprocessing"].update(height=20, width=20)
    spec_path.write_text(json.dumps(spec))
    model = onnx.load(trained_digits / "export" / "model.onnx")
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][2:] != [20, 20]
    assert main(["verify", str(spec_path), str(trained_digits / "export" / "model.onnx"), *ORT]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "images have shape [128, 1, 20, 20], input image takes float32 [batch, 1, " in line


def test_bench_measures(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    folder = trained_digits / "export"
    text = ran(
        capsys,
        "bench",
        folder / "model.onnx",
        folder / "model.inlined.onnx",
        *ORT,
        "--rounds",
        5,
        "--json",
        tmp_path / "l.json",
    )
    record = LatencyRecord.read(tmp_path / "l.json")
    assert [s.label for s in record.series] == ["model", "model.inlined"]
    assert (record.stopped, record.processes, record.precision_asked, record.budget_s) == (
        "rounds", 1, 0.02, 60,
    )  # fmt: skip
    assert all(s.median_ns > 0 and len(s.samples_ns) == 5 for s in record.series)
    assert "model.inlined" in text
    assert "A/A on onnxruntime: model over its own copy " in text
    assert max(map(len, text.splitlines())) <= 80


def test_bench_takes_percentages_and_times(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    model, path = trained_digits / "export" / "model.onnx", tmp_path / "l.json"
    ran(capsys, "bench", model, *ORT, "--precision", "3.5%", "--budget", "0.02m", "--json", path)
    record = LatencyRecord.read(path)
    assert (record.precision_asked, record.budget_s, record.stopped) == (0.035, 1.2, "time")


def test_bench_compares_with_an_older_record(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    models = [trained_digits / "export" / name for name in ("model.onnx", "model.inlined.onnx")]
    old, rounds = tmp_path / "old.json", ("--rounds", 5)
    ran(capsys, "bench", *models, *ORT, *rounds, "--json", old)
    text = ran(capsys, "bench", *models, *ORT, *rounds, "--compare", old, "--tolerance", "90%")
    compared = text[text.index("compared with") :]
    assert "model on onnxruntime: not compared: it is the baseline" in " ".join(compared.split())
    assert "model.inlined on onnxruntime: " in compared
    assert "slower = the whole interval lies above 1.90 by more than the A/A floors" in " ".join(
        compared.split()
    )
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80
    # The same record, as if the second model had been a thousand times faster.
    record = LatencyRecord.read(old)
    faster = {name: getattr(record.series[1], name) / 1000 for name in ("ratio", "ratio_low", "ratio_high")}
    series = (record.series[0], msgspec.structs.replace(record.series[1], **faster))
    msgspec.structs.replace(record, series=series).write(old)
    again = tmp_path / "new.json"
    command = ["bench", *models, *ORT, *rounds, "--compare", old, "--json", again]
    assert main([str(word) for word in command]) == 1
    assert "model.inlined on onnxruntime: slower: ratio to the baseline now/then" in " ".join(
        capsys.readouterr().out.split()
    )
    assert LatencyRecord.read(again).series[1].label == "model.inlined"


def test_export_writes_files_and_record(trained_digits: Path, capsys: Capture, tmp_path: Path) -> None:
    checkpoint = trained_digits / "train" / "checkpoint.json"
    text = ran(
        capsys,
        "export",
        checkpoint,
        "--out",
        tmp_path / "e",
        "--name",
        "net",
        "--opset",
        18,
        *ORT,
        "--json",
        tmp_path / "r.json",
    )
    record = ExportRecord.read(tmp_path / "r.json")
    assert text.splitlines()[:2] == [
        f"portable: {tmp_path / 'e' / 'net.onnx'}",
        f"inlined:  {tmp_path / 'e' / 'net.inlined.onnx'}",
    ]
    assert record.portable_sha256 == sha256_file(tmp_path / "e" / "net.onnx")
    assert record.opset == 18
    assert "PASS: " in text


def test_train_writes_a_checkpoint(capsys: Capture, tmp_path: Path) -> None:
    text = ran(
        capsys, "train", "--out", tmp_path / "t", "--activation", "relu", "--model", "squeezenet1_1", "--image-size", 16,
        "--limit-train", 40, "--epochs", 1, "--train-threads", 1, "--json", tmp_path / "r.json",
    )  # fmt: skip
    record = TrainingRecord.read(tmp_path / "r.json")
    assert record == TrainingRecord.read(tmp_path / "t" / "training.json")
    assert record.settings["limit_train"] == 40
    assert text.splitlines()[-1] == f"checkpoint: {tmp_path / 't' / 'checkpoint.safetensors'}"
    assert record.checkpoint_sha256 == sha256_file(tmp_path / "t" / "checkpoint.safetensors")


def test_plot_and_report_write_pages_that_need_no_network(
    trained_digits: Path, capsys: Capture, tmp_path: Path
) -> None:
    assert (
        ran(capsys, "plot", "nish", "--out", tmp_path / "p.html", "--json", tmp_path / "p.json")
        == f"plot: {tmp_path / 'p.html'}\n"
    )
    page = (tmp_path / "p.html").read_text()
    assert "nish" in page
    assert 'src="http' not in page
    assert json.loads((tmp_path / "p.json").read_text()) == {"plot": str(tmp_path / "p.html")}
    ran(capsys, "plot", "nish", "--out", tmp_path / "p.html" / "below.html", code=1)
    text = ran(capsys, "report", trained_digits, "--out", tmp_path / "r")
    assert text == f"report: {tmp_path / 'r' / 'report.html'}\n"
    assert (tmp_path / "r" / "report.html").stat().st_size > 1000


def test_doctor_says_what_is_here_and_what_is_missing(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgeacts.cli.doctor as doctor

    text = ran(capsys, "doctor", "--json", tmp_path / "d.json")
    found = json.loads((tmp_path / "d.json").read_text())
    assert "CPUExecutionProvider" in found["providers"]
    assert found["circumstances"]["versions"]["onnxruntime"] in text
    assert fits(text)
    real = doctor.util.find_spec
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name == "openvino" else real(name))
    text = ran(capsys, "doctor", "--json", tmp_path / "d.json")
    assert "missing: openvino, needed for the runtime openvino: pip install 'edgeacts[openvino]'" in " ".join(
        text.split()
    )
    assert "openvino" in json.loads((tmp_path / "d.json").read_text())["missing"]


def test_json_that_cannot_be_written_is_an_error(capsys: Capture, tmp_path: Path) -> None:
    assert main(["list", "runtimes", "--json", str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err
