"""Every cell, line and bar of the INT8 section says what its record says: two networks whose records differ in everything."""

import re
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pytest
import quantized_records as quantized

from edgeacts.records import (
    GateRecord,
    LatencyRecord,
    LatencySeries,
    OpenVinoQuantizationRecord,
    QatRecord,
    QuantizationRecord,
    RangeTrial,
    SaturationRecord,
)
from edgeacts.report import int8, int8_plots, int8_tables
from edgeacts.report.cells import Cell, Table
from edgeacts.report.drawing import INK, SOFT
from edgeacts.report.evidence import collect
from edgeacts.report.joining import join
from edgeacts.report.palette import looks
from edgeacts.report.variants import Variant, settings_of

change = msgspec.structs.replace
MISH, RELU = "mobilenet_v2-mish-int8", "mobilenet_v2-relu-int8"


def _halved(series: LatencySeries) -> LatencySeries:
    samples = tuple(value // 2 for value in series.samples_ns)
    ratios = {name: getattr(series, name) / 2 for name in ("ratio", "ratio_low", "ratio_high")}
    return change(series, samples_ns=samples, median_ns=median(samples), quantiles_ns={}, **ratios)


@pytest.fixture
def folder(tmp_path: Path, maker: Any) -> Path:
    """Mish's records as `quantized_records` has them, ReLU's with other facts."""
    run = Path(maker.write_int8(maker.write_run(tmp_path / "run", ("relu", "mish")), ("relu", "mish")))
    files = run / "mobilenet_v2-relu" / "quantize"
    path = files / "quantization.json"
    record = QuantizationRecord.read(path)
    layer = change(record.layers[0], layer="node_head", operator="Gemm", noise_share=0.01, multiply_adds_share=0.25,
                   weights_share=0.5, kept_float=False, why="it hardly matters")  # fmt: skip
    error = change(record.exact, sqnr_db=40.0, agreement=0.75)
    change(
        record, settings={"ranges": "minmax", "bias_correction": False}, chosen="minmax", float_layers=(), exact=error,
        deployed=change(error, sqnr_db=38.5, agreement=0.5), images=1280, held_out=320, size_bytes=4_000_000,
        float_size_bytes=10_000_000, seconds=7.0, layers=(*record.layers, layer), activations={"Nish": 2, "SAU": 33},
        trials=(record.trials[0], RangeTrial(method="minmax", bias_correction=True, error=error)),
    ).write(path)  # fmt: skip
    path = files / "gate.json"
    gate = GateRecord.read(path)
    last = change(gate.tries[0], verdict="holds", latency=None)
    change(
        gate, max_drop=3.0, strict=True, passed=True, outcome="holds", tries=(last,), chosen=0, float_size_bytes=9_600_000,
        images_needed=179,
    ).write(path)  # fmt: skip
    path = files / "saturation.json"
    found = SaturationRecord.read(path)
    change(
        found, saturates_here=False, other="emulated", differing_outputs=3, checked_outputs=20, layers=()
    ).write(path)
    path = files / "qat.json"
    tuned = QatRecord.read(path)
    change(tuned, epochs=tuned.epochs * 3, kept=False, one_step=11, more=2, after=tuned.before).write(path)
    path = files / "openvino-quantization.json"
    kept = OpenVinoQuantizationRecord.read(path)
    untimed = change(kept.candidates[1], accuracy=None, time=None, size_bytes=3_300_000)
    change(kept, float_accuracy=0.75, candidates=(kept.candidates[0], untimed), xml="", faster=False).write(
        path
    )
    path = run / "bench" / "latency-int8.json"
    timed = LatencyRecord.read(path)
    change(timed, series=tuple(_halved(s) if s.label == MISH else s for s in timed.series)).write(path)
    return run


@pytest.fixture
def variants(folder: Path) -> list[Variant]:
    evidence = collect([folder])
    found = join(evidence)
    assert evidence.problems == []
    return found


def rows(table: Table | None, columns: int | None = None) -> list[list[str]]:
    """Text, and the note behind it, of every cell but the sources."""
    assert table is not None
    assert {len(row) for row in table.rows} == {len(table.columns)}
    return [[_shown(cell) for cell in row if not cell.files][:columns] for row in table.rows]


def _shown(cell: Cell) -> str:
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def test_how_it_was_quantized(variants: list[Variant]) -> None:
    assert rows(int8_tables.method_table(variants)) == [
        [MISH, "mse", "7-bit weights, biases corrected", "uint8", "Mish 35", "node_stem", "31.5", "29.2", "97.65 %",
         "256 (64 held out)", "2.50 MB", "0.28 ×", "41"],
        [RELU, "minmax", "8-bit weights", "not said", "Nish 2, SAU 33", "none", "40.0", "38.5", "50.00 %",
         "1,280 (320 held out)", "4.00 MB", "0.40 ×", "7"],
    ]  # fmt: skip


def test_the_same_file_on_other_cpus(variants: list[Variant]) -> None:
    share = ["95.80 %", "94.60 %", "1.20 points", "0.48 to 2.16", "1,000"]
    cpu = "Example CPU 4 @ 2.50GHz"
    assert rows(int8_tables.cpu_table(variants)) == [
        [MISH, f"saturates ({cpu})", *share, "32-bit option", "1 layer (node_wide 1.25%)", "0 of 640"],
        [RELU, f"does not saturate ({cpu})", *share, "emulated", "nothing", "3 of 20"],
    ]


def test_what_the_gate_tried(variants: list[Variant]) -> None:
    assert rows(int8_tables.tries_table(variants)) == [
        [MISH, "0", "0", "94.40 %", "1.60 points", "0.76 to 2.68", "fails", "0.27 ×", "0.00 %", "0.61 ×", "0.600 to 0.650 ×"],
        [MISH, "1 (handed back)", "1 (+ stem)", "95.80 %", "0.20 points", "-0.29 to 0.79", "cannot tell", "0.28 ×", "3.00 %",
         "0.63 ×", "0.600 to 0.650 ×"],
        [RELU, "0 (handed back)", "0", "94.40 %", "1.60 points", "0.76 to 2.68", "holds", "0.25 ×", "0.00 %", "–", "–"],
    ]  # fmt: skip


def test_ranges_layers_and_fine_tuning(variants: list[Variant]) -> None:
    assert rows(int8_tables.ranges_table(variants)) == [
        [MISH, "mse", "no", "31.5", "98.40 %"],
        [MISH, "minmax", "no", "31.5", "98.40 %"],
        [RELU, "mse", "no", "31.5", "98.40 %"],
        [RELU, "minmax", "yes", "40.0", "75.00 %"],
    ]
    stem = [
        "node_stem",
        "Conv",
        "40.00 %",
        "3.00 %",
        "0.10 %",
        "float (40 % of the noise for 3 % of the work)",
    ]
    assert rows(int8_tables.layers_table(variants)) == [
        [MISH, *stem],
        [RELU, *stem],
        [RELU, "node_head", "Gemm", "1.00 %", "25.00 %", "50.00 %", "INT8 (it hardly matters)"],
    ]
    before = ["3.80 points", "2.69 to 5.22"]
    assert rows(int8_tables.tuning_table(variants)) == [
        [MISH, "1", *before, "0.20 points", "-0.50 to 0.95", "the fine-tuned file", "7 of 10,000"],
        [RELU, "3", *before, *before, "the file from before", "13 of 10,000"],
    ]


def test_what_was_tried_for_openvino(variants: list[Variant]) -> None:
    error = ["28.0", "97.00 %"]
    first = ["95.40 %", *error, "0.81 ×", "0.790 to 0.830 ×", "faster", "2.60 MB", "yes"]
    refused = "no (slower than the float model)"
    assert rows(int8_tables.openvino_table(variants)) == [
        [f"{MISH}-openvino", "depthwise in float (kept)", "95.60 %", *first],
        [f"{MISH}-openvino", "all in 8 bits", "95.60 %", "95.40 %", *error, "1.12 ×", "1.100 to 1.140 ×", "slower", "2.60 MB", refused],
        [f"{RELU}-openvino", "depthwise in float (not written)", "75.00 %", *first],
        [f"{RELU}-openvino", "all in 8 bits", "75.00 %", "–", *error, "–", "–", "–", "3.30 MB", refused],
    ]  # fmt: skip


def test_a_card_for_each_network(variants: list[Variant]) -> None:
    settings = settings_of(variants)
    table = int8.summary_table(variants, settings)
    assert rows(table, 7) == [
        [MISH, "96.00 %", "95.80 %", "0.20 points (-0.29 to 0.79, gate: cannot tell)", "2.50 MB (0.277 of the float file)",
         "mse (7-bit weights, biases corrected)", "1 layer (stem)"],
        [RELU, "96.00 %", "94.40 %", "1.60 points (0.76 to 2.68, gate: held)", "4.00 MB (0.400 of the float file)",
         "minmax (8-bit weights)", "none"],
    ]  # fmt: skip
    assert table is not None
    assert table.columns[7:] == ("latency ONNX Runtime, 1 thread",)
    mish, relu = (_shown(row[7]) for row in table.rows)
    span = r"0\.\d\d × \(its float model \(0\.\d\d to 0\.\d\d\), faster"
    assert re.fullmatch(rf"{span}; \d\.\d\d × ReLU INT8\)", mish)
    assert re.fullmatch(rf"{span}\)", relu)
    assert [len(row[i].sources) for row in table.rows for i in (2, 4, 7)] == [1] * 6
    (told,) = int8.sentences(variants, settings)
    assert re.search(
        r"relu int8 loses 1\.60 points \(0\.76 to 2\.68\) and takes 0\.6\d × its float model\.", told
    )
    assert re.search(
        r"mish int8 loses 0\.20 points \(-0\.29 to 0\.79\) and takes 0\.[23]\d × its float model \(1,000 images",
        told,
    )


def test_the_plot_of_what_was_lost(variants: list[Variant]) -> None:
    (plot,) = int8_plots.drop_plots(variants, looks(dict.fromkeys(v.look for v in variants)))
    assert rows(plot.table) == [
        [MISH, "96.00 %", "95.80 %", "0.20 points", "-0.29 to 0.79", "3", "1", "1,000", "0.50 points", "cannot tell", "cannot tell",
         "1,130", "2"],
        [RELU, "96.00 %", "94.40 %", "1.60 points", "0.76 to 2.68", "19", "3", "1,000", "3.00 points", "holds (strict)", "held",
         "179", "1"],
    ]  # fmt: skip
    assert [(row[9].tone, row[10].tone) for row in plot.table.rows] == [
        ("unsure", "unsure"),
        ("good", "good"),
    ]
    lines = [(t.x[0], t.line.color) for t in plot.figure.data if t.mode == "lines"]
    assert lines == [(0.0, INK), (0.5, SOFT), (3.0, SOFT)]
    marks = [t for t in plot.figure.data if t.mode == "markers"]
    low, high = quantized.drop(3, 1).low, quantized.drop(3, 1).high
    assert [t.meta["activation"] for t in marks] == ["relu", "mish"]  # the smallest loss on top
    assert [t.y[0] for t in marks] == [0, 1]
    assert marks[1].x[0] - marks[1].error_x.arrayminus[0] == pytest.approx(low)
    assert marks[1].x[0] + marks[1].error_x.array[0] == pytest.approx(high)
    assert [t.marker.symbol.endswith("-open") for t in marks] == [False, True]
    assert list(plot.figure.layout.yaxis.ticktext) == ["relu int8<br>1.60 points", "mish int8<br>0.20 points"]
    assert "the gate's limit of 0.5 and 3 points" in plot.note
    assert plot.alt.endswith(
        "the smallest first: mish int8 drop 0.20 points (-0.29 to 0.79), relu int8 drop 1.60 points (0.76 to 2.68)."
    )


def test_the_plot_of_what_was_gained(variants: list[Variant]) -> None:
    """ReLU INT8 is not compared with itself; the better one on top; far apart, the axis is logarithmic."""
    colours = looks(dict.fromkeys(v.look for v in variants))
    (plot,) = int8_plots.latency_plots(variants, colours, settings_of(variants))
    lines = [(t.x[0], t.line.color) for t in plot.figure.data if t.mode == "lines"]
    assert lines == [(1.0, INK)]
    found = {row[0].text: dict(zip(plot.table.columns, row, strict=True)) for row in plot.table.rows}
    assert [cell.text for cell in found[RELU].values()][6:9] == ["1.00 ×", "1.000 to 1.000 ×", "baseline"]
    marks = [t for t in plot.figure.data if t.mode == "markers"]
    order = sorted(found, key=lambda label: -found[label]["over its float model"].value)
    assert order == [RELU, MISH]
    rows_of: dict[str, Any] = {label: row for row, label in enumerate(order)}
    expected = []
    for label, activation, column, shift, hollow in (
        (MISH, "mish", "over its float model", 0.14, False),
        (MISH, "mish", "over ReLU INT8", -0.18, True),
        (RELU, "relu", "over its float model", 0.14, False),
    ):
        expected.append((activation, found[label][column].value, rows_of[label] + shift, hollow))
    drawn = [(t.meta["activation"], t.x[0], t.y[0], t.marker.symbol.endswith("-open")) for t in marks]
    assert sorted(drawn) == sorted(expected)
    assert plot.figure.layout.xaxis.type == "log"
    assert plot.figure.layout.xaxis.title.text.startswith("ratio, log scale")
