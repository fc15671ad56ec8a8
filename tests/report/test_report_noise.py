"""Noise and the other modes: floors, what the machine did, parts of cold start, drift, throughput, memory, profile."""

from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pytest
import timed_records as timed
from run_records import TWO

from edgeacts.records import LatencyRecord
from edgeacts.report import build_report
from edgeacts.report.cells import block_medians, latency_interval
from edgeacts.report.cost import cost_plots
from edgeacts.report.drawing import stacked, thinned
from edgeacts.report.evidence import Evidence, collect
from edgeacts.report.joining import join
from edgeacts.report.modes import cold_plots, memory_plots, paced_plots, sustained_plots, throughput_plots
from edgeacts.report.noise import (
    benchmark_table,
    floor_table,
    machine_noise_table,
    noise_problems,
    time_plots,
)
from edgeacts.report.palette import looks
from edgeacts.report.profiles import profile_plots
from edgeacts.report.variants import settings_of

replace = msgspec.structs.replace


def bench(folder: Path, record: LatencyRecord) -> Evidence:
    record.write(folder / "latency.json")
    return collect([folder])


def test_floor_says_whether_it_holds_one(tmp_path: Path, maker: Any) -> None:
    record = maker.latency(TWO)
    off = replace(record.noise_floors[1], ratio=1.04, ratio_low=1.03, ratio_high=1.05)
    evidence = bench(tmp_path, replace(record, noise_floors=(record.noise_floors[0], off)))
    table = floor_table(evidence)
    assert table is not None
    assert [(row[0].text, row[2].span, row[3].text) for row in table.rows] == [
        ("ONNX Runtime", (0.991, 1.012), "holds 1"),
        ("OpenVINO", (1.03, 1.05), "does not hold 1"),
    ]
    assert [problem.text for problem in noise_problems(evidence)] == [
        "the baseline on OpenVINO differs from its own copy (1.030 to 1.050 ×): "
        "differences of that size mean nothing in this run"
    ]


def test_busy_machine_is_a_problem_and_a_quiet_one_is_not(tmp_path: Path, maker: Any) -> None:
    record = maker.latency(TWO)
    assert noise_problems(bench(tmp_path, record)) == []
    blocks = tuple(replace(block, steal_share=0.2, other_share=None) for block in record.blocks)
    evidence = bench(tmp_path, replace(record, blocks=blocks))
    told = "the hypervisor took 20% of the machine while it was measured"
    assert [problem.text for problem in noise_problems(evidence)] == [told]
    table = machine_noise_table(evidence)
    assert table is not None
    assert (table.rows[0][3].value, table.rows[0][4].value, table.rows[0][5].value) == (
        pytest.approx(0.2),
        0.2,
        None,
    )


def test_raw_times_are_drawn_in_order_with_their_blocks(tmp_path: Path, maker: Any) -> None:
    record = maker.latency(TWO)
    evidence = bench(tmp_path, record)
    variants = join(evidence, TWO)
    plots = time_plots(evidence, variants, looks(v.look for v in variants))
    assert [plot.name for plot in plots] == ["over-time-0", "over-time-1", "meanwhile-2"]
    series = record.series[1]
    trace = next(t for t in plots[0].figure.data if t.meta and t.meta["activation"] == "mish")
    assert trace.x == tuple(round(start / 1e9, 4) for start in series.starts_ns)
    assert trace.y == tuple(round(ns / 1e6, 6) for ns in series.samples_ns)
    rows = plots[0].table.rows
    assert len(rows) == timed.BLOCKS
    assert [row[5].value for row in rows] == [block_medians(series)[i] for i in range(timed.BLOCKS)]
    assert [row[6].value for row in rows] == [block.steal_share for block in record.blocks]
    assert [row[8].value for row in rows] == [block.frequency_mhz for block in record.blocks]
    lines = {trace.name: trace.y for trace in plots[2].figure.data}
    assert lines["load per core"] == tuple(block.load_average_1min / 2 for block in record.blocks)
    assert max(lines["frequency"]) == 1.0


def test_machine_that_tells_nothing_gives_no_plot_of_it(tmp_path: Path, maker: Any) -> None:
    record = maker.latency(TWO)
    none = {"steal_share": None, "other_share": None, "frequency_mhz": None, "load_average_1min": None}
    evidence = bench(
        tmp_path, replace(record, blocks=tuple(replace(block, **none) for block in record.blocks))
    )
    variants = join(evidence, TWO)
    plots = time_plots(evidence, variants, looks(v.look for v in variants))
    assert [plot.name for plot in plots] == ["over-time-0", "over-time-1"]
    assert noise_problems(evidence) == []


def test_how_it_was_timed_and_why_it_ended(tmp_path: Path, maker: Any) -> None:
    table = benchmark_table(bench(tmp_path, maker.latency(TWO, stopped="time", precision_reached=0.034)))
    assert table is not None
    values = {
        name: cell.value if cell.value is not None else cell.text
        for name, cell in zip(table.columns, table.rows[0], strict=True)
    }
    told = {"processes": 3, "blocks": 24, "warm-up rounds": 10, "confidence": 0.95, "half width asked": 0.02,
            "reached": 0.034, "time allowed": 60.0, "ended by": "time"}  # fmt: skip
    assert {name: values[name] for name in told} == told


def test_interval_of_the_median_is_over_blocks(maker: Any) -> None:
    series = maker.latency(TWO).series[0]
    medians = sorted(block_medians(series).values())
    low, high = latency_interval(series)
    assert low in medians
    assert high in medians
    assert low <= series.median_ns <= high
    first = [ns for ns, block in zip(series.samples_ns, series.block_of, strict=True) if block == 0]
    assert block_medians(series)[0] == median(first)


def test_thinning_keeps_outliers_and_order() -> None:
    values = [1.0] * 10_000
    values[1234], values[8765] = 50.0, 0.1
    kept = thinned(values, 100)
    assert len(kept) <= 100
    assert kept == sorted(kept)
    assert {1234, 8765} <= set(kept)
    assert thinned([3.0, 1.0], 100) == [0, 1]


def test_legend_of_many_parts_takes_no_room_from_the_bars() -> None:
    few, many = (
        stacked(["a", "b"], {f"part {i}": [1.0, 2.0] for i in range(count)}, "ms", ".3g") for count in (3, 8)
    )
    assert many.layout.height - few.layout.height >= 5 * 18
    assert len({trace.marker.color for trace in many.data}) == 8


# ---- the other modes


@pytest.fixture
def modes(tmp_path: Path, maker: Any) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    records = {kind: maker.mode(kind, TWO) for kind in timed.MAKERS}
    for kind, record in records.items():
        record.write(tmp_path / f"{kind}.json")
    variants = join(collect([tmp_path]), TWO)
    return records, variants, looks(dict.fromkeys(v.look for v in variants))


def named(record: Any) -> dict[str, Any]:
    names = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
    return {f"{s.label.removeprefix('mobilenet_v2-')} {names[s.runtime]}": s for s in record.series}


def test_cold_start_is_drawn_in_its_parts(modes: Any) -> None:
    records, variants, colours = modes
    (plot,) = cold_plots(variants, colours)
    assert [trace.name for trace in plot.figure.data] == [
        "process and imports",
        "opening the session",
        "first run",
    ]
    expected = named(records["cold"])
    assert len(plot.table.rows) == 4
    for row in plot.table.rows:
        series = expected[row[0].text]
        whole, opening, first = (
            series.median_to_first_result_ns, series.median_opening_ns, series.median_first_run_ns,
        )  # fmt: skip
        assert [row[i].value for i in (1, 3, 4, 5)] == [whole, whole - opening - first, opening, first]
    totals = [sum(parts) for parts in zip(*(trace.x for trace in plot.figure.data), strict=True)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] == pytest.approx(min(s.median_to_first_result_ns for s in expected.values()) / 1e6)


def test_paced_shows_late_frames(modes: Any) -> None:
    records, variants, colours = modes
    (plot,) = paced_plots(variants, colours)
    assert plot.title == "Paced at 30 frames a second"
    for row in plot.table.rows:
        series = named(records["paced"])[row[0].text]
        assert [cell.value for cell in row[2:6]] == [
            series.median_ns, series.unpaced_median_ns, series.quantiles_ns["p90"], series.quantiles_ns["p99"],
        ]  # fmt: skip
        assert (row[6].text, row[7].text) == ("2 of 90", "7.31 %")


def test_sustained_shows_drift_with_its_verdict(modes: Any) -> None:
    records, variants, colours = modes
    (plot,) = sustained_plots(variants, colours)
    row = plot.table.rows[0]
    series = named(records["sustained"])[row[0].text]
    assert (row[3].value, row[4].span, row[5].text) == (1.081, (1.071, 1.0923), "slower")
    assert (row[1].value, row[2].value) == (series.window_median_ns[0], series.window_median_ns[-1])
    trace = plot.figure.data[0]
    assert trace.y[0] == 1.0
    assert trace.customdata[-1] == pytest.approx(series.window_median_ns[-1] / 1e6, abs=1e-6)
    assert row[8].text == "2355 to 2500 MHz"


def test_throughput_has_its_interval(modes: Any) -> None:
    records, variants, colours = modes
    (plot,) = throughput_plots(variants, colours)
    for row in plot.table.rows:
        series = named(records["throughput"])[row[0].text]
        assert (row[1].value, row[2].value, row[3].value) == (4, 2, series.items_per_s)
        assert row[4].span == (series.items_per_s_low, series.items_per_s_high)
    drawn = [trace.x[0] for trace in plot.figure.data]
    assert drawn == sorted(drawn)


def test_memory_is_drawn_in_its_parts(modes: Any) -> None:
    _, variants, colours = modes
    (plot,) = memory_plots(variants, colours)
    assert [trace.x[0] for trace in plot.figure.data] == [61.0, 27.5, 14.75]
    arenas = {row[0].text: row[6].value for row in plot.table.rows}
    assert arenas == {
        "relu ONNX Runtime": 21_000_000, "mish ONNX Runtime": 21_000_000, "relu OpenVINO": None, "mish OpenVINO": None,
    }  # fmt: skip


def test_profile_shows_activations_and_operators(modes: Any) -> None:
    records, variants, _ = modes
    shares, operators = profile_plots(variants)
    for row in shares.table.rows:
        series = named(records["profile"])[row[0].text]
        assert [cell.value for cell in row[1:5]] == [0.235, 0.13, pytest.approx(0.635), series.total_ns]
        assert [cell.text for cell in row[6:8]] == ["3", "features.9.act"]
    totals = {trace.name: trace.x[0] for trace in operators.figure.data}
    assert totals["Conv"] == pytest.approx(0.54)
    assert sum(totals.values()) == pytest.approx(1.0)
    assert len(operators.table.rows) == 4 * 6
    assert operators.table.rows[0][3].text == "features.0.0"


def test_cost_takes_the_share_of_activations_from_the_profile_of_the_same_file(
    modes: Any, maker: Any, tmp_path: Path
) -> None:
    maker.latency(TWO).write(tmp_path / "latency.json")
    variants = join(collect([tmp_path]), TWO)
    plot = cost_plots(variants, looks(dict.fromkeys(v.look for v in variants)), settings_of(variants))[0]
    assert [(row[6].value, row[7].value) for row in plot.table.rows] == [(0.235, 0.13)] * 2


def test_modes_alone_are_a_report(modes: Any, tmp_path: Path) -> None:
    page = build_report(tmp_path).read_text(encoding="utf-8")
    assert "6 records of cold, memory, paced, profile, sustained, throughput; nothing was trained" in page
    for heading in ("Other ways to run", "Where the time goes", "What really ran"):
        assert f">{heading}</h2>" in page
    for heading in (
        "Parity",
        "Latency",
        "Accuracy",
        "Noise and circumstances",
        "Conformance of the activations",
    ):
        assert f">{heading}</h2>" not in page
