"""`edgeacts conformance`: the table in 80 columns, records, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgeacts.cli import main
from edgeacts.conformance import allowances, format_conformance, measure, measure_conformance
from edgeacts.errors import NotAvailable
from edgeacts.records import ConformanceRecord

Capture = pytest.CaptureFixture[str]
FEW = ["--mantissas", "16"]


def ran(capsys: Capture, *arguments: object, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["conformance", *map(str, arguments)]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_table_and_records(capsys: Capture, tmp_path: Path) -> None:
    names = ["--runtime", "onnxruntime", "--activation", "mish,relu", *FEW]
    text = ran(capsys, *names, "--json", tmp_path / "one.json", "--out", tmp_path / "records")
    assert all(len(line) <= 80 for line in text.splitlines())
    lines = text.splitlines()
    assert lines[0].startswith("onnxruntime 1.")
    assert lines[1].split() == [
        "activation",
        "what",
        "dtype",
        "max",
        "ULP",
        "mean",
        "worst",
        "x",
        "error",
        "ok",
    ]
    (ratio,) = [line.split() for line in lines if line.startswith("mish       ratio            float32")]
    assert ratio[-1] == "yes"
    record = ConformanceRecord.read(tmp_path / "one.json")
    assert record == ConformanceRecord.read(tmp_path / "records" / "conformance-onnxruntime.json")
    assert text.rstrip() == format_conformance(record)
    shown = [row for row in record.rows if row.outcome != "refused"]
    assert lines[3 : 3 + len(shown)] == [
        line for line in lines if line.rsplit(maxsplit=1)[-1] in ("yes", "NO", "-")
    ]
    assert "x = -inf gives nan instead of 0: float32: mish native Mish" in " ".join(text.split())
    assert lines[-1].startswith(("PASS: ", "  "))


def test_refusals_are_told_once(capsys: Capture) -> None:
    record = measure_conformance("onnxruntime", ["sau", "mish"], ["float16"], mantissas=16)
    text = " ".join(format_conformance(record).split())
    assert (
        "refused (the constant -2e+08 of sau exact is -inf in float16: use another form): float16: sau exact"
        in text
    )
    assert "sau exact float16" not in text
    assert "1 refused; 63,488 of float16" in text


def test_exit_1_when_a_bound_is_broken(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(allowances.ROUNDINGS, "onnxruntime", 0.0)  # float32 cannot keep a bound of 0
    options = ["--runtime", "onnxruntime", "--activation", "tanhexp,relu", "--dtype", "float32", *FEW]
    text = ran(capsys, *options, code=1)
    assert "FAILED: tanhexp exact float32: error " in text
    assert "of max(1, |x|), allowed are 0\n" in text
    assert "FAIL: 2 within their bounds, 1 not" in text
    assert any(line.startswith("tanhexp    exact") and line.endswith(" NO") for line in text.splitlines())


def test_an_empty_comparison_is_a_failure(capsys: Capture) -> None:
    """The kernels compute in float32 only."""
    assert main(["conformance", "--runtime", "accelerated", "--dtype", "float16", *FEW]) == 1
    printed = capsys.readouterr()
    assert "FAIL: 0 within their bounds" in printed.out
    assert "nothing was compared: no runtime took any of this" in printed.err


def test_several_runtimes_and_one_that_is_missing(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = measure.open_runtime

    def opened(path: Path, runtime: str, **options: Any) -> Any:
        if runtime == "openvino":
            raise NotAvailable("openvino is not installed: pip install edgeacts[openvino]")
        return real(path, runtime, **options)

    monkeypatch.setattr(measure, "open_runtime", opened)
    options = ["--runtime", "onnxruntime,openvino", "--activation", "relu", "--dtype", "float32", *FEW]
    text = ran(capsys, *options, "--json", tmp_path / "r.json", "--out", tmp_path)
    assert "not measured: openvino: openvino is not installed" in text
    assert json.loads((tmp_path / "r.json").read_text())["runtime"] == "onnxruntime"
    assert not (tmp_path / "conformance-openvino.json").exists()
    assert main(["conformance", "--runtime", "openvino", *FEW]) == 2
    assert "nothing was measured: openvino is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--runtime", "ort"], "unknown runtime 'ort'"),
        (["--activation", "gelo"], "unknown activation 'gelo': did you mean gelu"),
        (["--dtype", "half"], "unknown dtype 'half'"),
        (["--seed", "-1"], "'-1' is no seed: write a whole number of at least 0"),
        (["--mantissas", "0"], "nothing to try"),
        (["--runtime", ","], "no runtime to try: give at least one"),
    ],
)
def test_wrong_usage(capsys: Capture, options: list[str], told: str) -> None:
    assert main(["conformance", *options]) == 2
    assert told in capsys.readouterr().err
