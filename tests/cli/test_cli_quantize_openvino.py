"""`edgeacts quantize --runtime openvino`: what it prints, writes and refuses; times are given, not measured."""

import pytest
from openvino_networks import times

from edgeacts.cli import main
from edgeacts.records import OpenVinoQuantizationRecord

pytestmark = pytest.mark.filterwarnings("ignore")  # nncf and what it imports


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def run(monkeypatch, folder, out, ratio, *options):
    monkeypatch.setattr("edgeacts.quantization.openvino.measured", lambda *_: times(others=ratio))
    model = str(folder / "export" / "model.onnx")
    return main(
        [
            "quantize",
            model,
            "--runtime",
            "openvino",
            "--data",
            "digits",
            "--images",
            "32",
            "--out",
            str(out),
            "--try-all",
            *options,
        ]
    )


def test_it_prints_every_variant_and_refuses_a_slower_one(trained_digits, tmp_path, monkeypatch, capsys):
    written = tmp_path / "record.json"
    few = ("--test-images", "40", "--max-drop", "20")
    options = ("--step-share", "0", "--json", str(written), *few)
    code = run(monkeypatch, trained_digits, tmp_path / "slow", 1.1, *options)
    text = capsys.readouterr()
    assert code == 1
    assert "it is not faster" in text.err
    assert not list((tmp_path / "slow").glob("*.xml"))
    record = OpenVinoQuantizationRecord.read(written)
    assert (record.faster, record.chosen) == (False, "all")
    assert (record.held_out, record.kept.drop.total) == (40, 40)
    assert record.kept.accuracy == record.kept.drop.accuracy
    assert record.kept.why.startswith("the drop is at most 20 points: drop ")
    assert all(len(line) <= 80 for line in text.out.splitlines())

    code = run(
        monkeypatch, trained_digits, tmp_path / "fast", 0.7, "--step-share", "0.5", "--reduce-range", "yes"
    )
    text = capsys.readouterr().out
    assert code == 0
    assert "written:" in text
    assert "weights have 7 bits" in text
    assert (tmp_path / "fast" / "model.int8.xml").is_file()
    assert "images cannot tell whether the drop is at most 0.5 points, about" in " ".join(text.split())
    starred = [line for line in text.splitlines() if line.startswith("*")]
    assert len(starred) == 1
    assert "0.700" in starred[0]
    assert all(len(line) <= 80 for line in text.splitlines() if "/" not in line)


def test_images_that_cannot_judge_are_refused(trained_digits, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, trained_digits, tmp_path, 0.7, "--test-images", "1") == 2
    assert "--test-images 1: give at least 2, some thousand prove more" in capsys.readouterr().err


def test_bodies_for_another_runtime_are_refused(trained_digits, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, trained_digits, tmp_path, 0.9, "--body-for", "onnxruntime") == 2
    assert "--body-for is for ONNX Runtime" in capsys.readouterr().err


def test_help_fits_80_columns(capsys):
    with pytest.raises(SystemExit):
        main(["quantize", "--help"])
    text = capsys.readouterr().out
    assert "--keep-slower" in text
    assert all(len(line) <= 80 for line in text.splitlines())
