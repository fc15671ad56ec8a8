"""`edgeacts bench --mode ...`: options, table, JSON, errors."""

import argparse
from pathlib import Path

import onnx
import pytest
from onnx import parser

from edgeacts.cli import main
from edgeacts.cli.options import duration
from edgeacts.records import PacedRecord, ThroughputRecord

TEXT = """<ir_version: 10, opset_import: ["" : 20]>
net (float[batch, 4] x) => (float[batch, 4] y) { y = Tanh(x) }"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "a_model_with_a_rather_long_name_that_does_not_fit_the_table.onnx"
    onnx.save(parser.parse_model(TEXT), path)
    return str(path)


@pytest.mark.parametrize(
    ("text", "value"), [("10s", 10), ("5m", 300), ("1.5h", 5400), ("250ms", 0.25), ("7", 7), (" 2 min ", 120)]
)
def test_durations(text: str, value: float) -> None:
    assert duration(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "s", "0s", "-1s", "5 days", "1.2.3s", "infs", "1e3"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time: write 60s, 2m or a number of seconds"):
        duration(text)


def test_a_mode_prints_its_table_and_writes_its_record(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "paced.json"
    options = [
        "--mode",
        "paced",
        "--rate",
        "50",
        "--duration",
        "200ms",
        "--runtime",
        "onnxruntime",
        "--json",
        str(where),
    ]
    assert main(["bench", model, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "paced/not" in lines[0]
    record = PacedRecord.read(where)
    assert (record.rate_hz, record.series[0].frames) == (50, 10)


def test_common_options_reach_a_mode(model: str, tmp_path: Path) -> None:
    where = tmp_path / "throughput.json"
    options = [
        "--mode", "throughput", "--streams", "2", "--threads", "2", "--batch", "3", "--duration", "0.1",
        "--runtime", "onnxruntime", "--label", "mine", "--json", str(where),
    ]  # fmt: skip
    assert main(["bench", model, *options]) == 0
    one = ThroughputRecord.read(where).series[0]
    assert (one.label, one.batch, one.streams) == ("mine", 3, 2)
    assert one.executed["inputs"] == "x float32[3, 4]"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            ["--mode", "memory", "--rate", "30"],
            "--rate is no option of --mode memory, which has none of its own",
        ),
        (
            ["--mode", "cold", "--duration", "1s"],
            "--duration is no option of --mode cold, which has --repeats",
        ),
        (["--mode", "warm"], "unknown mode 'warm'"),
        (
            ["--mode", "paced", "--duration", "soon"],
            "'soon' is no time: write 60s, 2m or a number of seconds",
        ),
        (["--mode", "cold", "--compare", "old.json"], "--compare goes with --mode latency only"),
        (["--mode", "cold", "--budget", "9s"], "--budget goes with --mode latency only"),
        (["--rate", "30"], "--rate goes with other modes: give --mode"),
        (["--mode", "throughput", "--streams", "3"], "3 streams need at least as many threads, 1 given"),
    ],
)
def test_wrong_usage(model: str, capsys: pytest.CaptureFixture[str], options: list[str], text: str) -> None:
    assert main(["bench", model, *options]) == 2
    printed = capsys.readouterr().err
    assert text in printed
    assert printed.count("\n") == 1
