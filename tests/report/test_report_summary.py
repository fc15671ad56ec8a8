"""Markdown and CSV beside the page, and how numbers are written."""

import csv
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeacts.files import sha256_file
from edgeacts.records import LatencyRecord
from edgeacts.report import build_report
from edgeacts.report.cells import median_interval, milliseconds, small


def test_csv_holds_full_digits(run_folder: Path) -> None:
    out = build_report(run_folder)
    with out.with_name("summary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = {
        (s.label, s.runtime): s for s in LatencyRecord.read(run_folder / "bench" / "latency.json").series
    }
    assert len(rows) == len(expected) == 12
    for row in rows:
        series = expected[row["variant"], row["runtime"]]
        assert float(row["median_ns"]) == series.median_ns
        assert (row["parity"], row["comparisons"], row["samples"]) == ("pass", "120", "120")
        assert [float(row[name]) for name in ("ratio", "ratio_low", "ratio_high")] == [
            series.ratio,
            series.ratio_low,
            series.ratio_high,
        ]
        assert row["comparison"] == series.comparison
        assert float(row["p99_ns"]) == series.quantiles_ns["p99"]
        assert (row["executed_precision"], row["stopped"], row["processes"]) == ("f32", "precision", "3")
        assert (float(row["noise_floor_low"]), float(row["noise_floor_high"])) == (0.991, 1.012)
        assert 0 < float(row["budget_used"]) < 0.1
        assert f"bench/latency.json {sha256_file(run_folder / 'bench/latency.json')[:8]}" in row["sources"]


def test_csv_holds_no_formula(tmp_path: Path, maker: Any) -> None:
    series = (maker.series("=1+1", "onnxruntime", 1e6, "a" * 64),)
    msgspec.structs.replace(maker.latency(), series=series, noise_floors=()).write(tmp_path / "latency.json")
    text = build_report(tmp_path).with_name("summary.csv").read_text(encoding="utf-8")
    assert "\n'=1+1," in text


def test_markdown_is_a_table_with_sources(run_folder: Path) -> None:
    text = build_report(run_folder).with_name("summary.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 8
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert f"SHA-256 {sha256_file(run_folder / 'bench/latency.json')[:8]}" in text


@pytest.mark.parametrize(
    ("value", "told"), [(None, "not finite"), (0.0, "0"), (3.12e-6, "3.1e-6"), (2.5e-11, "2.5e-11")]
)
def test_small(value: float | None, told: str) -> None:
    assert small(value) == told


@pytest.mark.parametrize(
    ("ns", "told"),
    [(10_324_567, "10.3 ms"), (1_870_000, "1.87 ms"), (512_300, "0.512 ms"), (4_210, "4.21 µs")],
)
def test_milliseconds(ns: float, told: str) -> None:
    assert milliseconds(ns) == told


def test_median_interval_has_the_ranks_of_the_binomial() -> None:
    """For n = 100 the ranks 40 and 61 hold the median with 96.5 % (binomial), 41 and 60 with 94.3 %."""
    assert median_interval(tuple(range(1, 101))) == (40.0, 61.0)
    assert median_interval((5, 1, 3)) == (1.0, 5.0)
