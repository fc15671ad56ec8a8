"""The table that `bench` prints."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from latency_files import BOTH, models

from edgeacts.latency import benchmark, format_latency

if TYPE_CHECKING:
    from conftest import Fake


LONG = "mobilenet_v2_tanhexp_with_a_name_that_is_long_int8"


def test_table(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("nish", "onnxruntime"): 10}
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH, labels=["relu", LONG, "nish"])
    text = format_latency(record)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["onnxruntime", "executed", "p50", "ms", "ratio,", "interval"]
    assert lines[2].split() == ["relu", "f32", "10.00", "1", "baseline"]
    assert re.fullmatch(r"mobilenet\S*…\S*int8 +f32 +150\.0 +15\.0 \[14\.\d, 15\.\d\] +slower", lines[3])
    assert re.fullmatch(r"nish +f32 +10\.00 +1\.00 \[0\.9\d, 1\.0\d\] +cannot tell", lines[4])
    assert lines[6].split()[0] == "openvino"
    about = " ".join(text.split())
    assert re.search(r"A/A on openvino: relu over its own copy 1\.00 \[0\.9\d, 1\.0\d\]\.", about)
    assert re.search(
        r"1 thread, batch 1, 95% intervals over 5 fresh processes, \d+ blocks, \d+ interleaved rounds after 50 of warm-up; "
        r"ratios known within [\d.]+ % \(2 % asked for\), \d+\.\d s\.",
        about,
    )


def test_table_shows_p90_where_it_is_known_and_says_why_it_ended(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu"), within=0.0005, budget_s=9)
    text = format_latency(record)
    assert text.splitlines()[0].split()[-4:] == ["p90", "ms", "ratio,", "interval"]
    assert text.splitlines()[2].split() == ["relu", "f32", "10.00", "10.00", "1", "baseline"]
    assert re.search(
        r"the time of 9 s was used up: ratios known within [\d.]+ % \(0\.05 % asked for\)",
        " ".join(text.split()),
    )
    assert "the rounds were used up: ratios known" in " ".join(
        format_latency(benchmark(models(folder, "relu"), rounds=5)).split()
    )


def test_table_says_what_disturbed_it(folder: Path, fake: "Fake", monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeacts.latency import machine

    monkeypatch.setattr(machine, "between", lambda *_: {"steal_share": 0.02, "other_share": 0.31})
    about = " ".join(format_latency(benchmark(models(folder, "relu"), rounds=5)).split())
    assert "The hypervisor took 2% of the machine's time, 2% in the worst block." in about
    assert "Other processes used 31% of the machine, 31% in the worst block." in about
    monkeypatch.setattr(machine, "between", lambda *_: {"steal_share": None, "other_share": 0.01})
    quiet = format_latency(benchmark(models(folder, "relu"), rounds=5))
    assert "hypervisor" not in quiet
    assert "Other processes" not in quiet


def test_table_names_what_was_skipped(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    text = format_latency(benchmark(models(folder, "bad", "relu"), rounds=5))
    assert "skipped: bad on onnxruntime:" in text
    assert max(len(line) for line in text.splitlines() if str(folder) not in line) <= 80
