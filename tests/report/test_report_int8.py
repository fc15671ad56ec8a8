"""INT8 in the report: joined by hash, on the front with its own accuracy, its story in plots, tables, CSV and Markdown."""

import csv
import dataclasses
import io
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import quantized_records as quantized
from run_records import EIGHT, TWO, known

from edgeacts.quantization.paired import images_needed
from edgeacts.records import GateRecord, LatencyRecord, QuantizationRecord
from edgeacts.report import build_report, int8, int8_plots, int8_tables
from edgeacts.report.cells import Table
from edgeacts.report.evidence import collect
from edgeacts.report.front import Point, front, front_plots, points, standing
from edgeacts.report.int8_ratios import compare, eight_timings
from edgeacts.report.joining import join
from edgeacts.report.palette import looks
from edgeacts.report.variants import settings_of, short_names
from edgeacts.shares import wilson_interval


def by_label(table: Table | None) -> dict[str, dict[str, Any]]:
    assert table is not None
    return {row[0].text: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def on_front(int8_folder: Path) -> list[Point]:
    variants = list(known(int8_folder).values())
    return points(variants, settings_of(variants))


def rewrite(path: Path, kind: type, **changes: Any) -> None:
    msgspec.structs.replace(kind.read(path), **changes).write(path)


def test_records_of_an_8_bit_file_are_one_variant_beside_its_float_one(int8_folder: Path) -> None:
    evidence = collect([int8_folder])
    variants = {variant.label: variant for variant in join(evidence)}
    assert evidence.problems == []
    assert set(variants) == {
        f"mobilenet_v2-{a}{kind}" for a in TWO for kind in ("", "-int8", "-int8-openvino")
    }
    eight = variants[EIGHT]
    assert (eight.model, eight.activation) == ("mobilenet_v2", "mish")
    assert eight.base is variants["mobilenet_v2-mish"]
    assert eight.eight is not None
    assert len(eight.eight.sources) == 4
    assert len(eight.timings) == 1
    names = short_names(variants.values())
    assert names[EIGHT] == "mish int8"
    assert names["mobilenet_v2-mish-int8-openvino"] == "mish int8 for OpenVINO"


def test_a_verdict_on_the_8_bit_file_is_not_one_on_the_float_file(int8_folder: Path, maker: Any) -> None:
    quantization = QuantizationRecord.read(
        int8_folder / "mobilenet_v2-mish" / "quantize" / "quantization.json"
    )
    failed = msgspec.structs.replace(
        maker.verdict("mish", "fail"), candidate_sha256=quantization.portable_sha256,
        reference_sha256=quantization.model_sha256,
    )  # fmt: skip
    failed.write(int8_folder / "mobilenet_v2-mish" / "verify-int8" / "verdict.json")
    variants = known(int8_folder)
    assert [v.record.outcome for v in variants[EIGHT].verdicts] == ["fail"]
    assert {v.record.outcome for v in variants["mobilenet_v2-mish"].verdicts} == {"pass"}


def test_records_of_another_file_are_said_not_used(int8_folder: Path) -> None:
    quantize = int8_folder / "mobilenet_v2-mish" / "quantize"
    rewrite(quantize / "gate.json", GateRecord, model_sha256="0" * 64)
    shutil.move(quantize / "qat.json", int8_folder / "qat.json")
    evidence = collect([int8_folder])
    variants = {variant.label: variant for variant in join(evidence)}
    assert variants[EIGHT].accuracy is None
    assert {problem.where: problem.text for problem in evidence.problems} == {
        "mobilenet_v2-mish/quantize/gate.json": (
            "is about an INT8 file (00000000) of which no quantization record is here: quantize again"
        ),
        "qat.json": "is a fine-tuning without the quantization.json that is written beside it: quantize again",
    }


def test_a_stale_timing_of_the_8_bit_file_is_a_problem(int8_folder: Path) -> None:
    path = int8_folder / "bench" / "latency-int8.json"
    record = LatencyRecord.read(path)
    stale = [
        msgspec.structs.replace(s, model_sha256="0" * 64) if s.label == EIGHT else s for s in record.series
    ]
    rewrite(path, LatencyRecord, series=tuple(stale))
    evidence = collect([int8_folder])
    join(evidence)
    (problem,) = evidence.problems
    assert problem.text.endswith(
        "which is not a file of the quantization in mobilenet_v2-mish/quantize/quantization.json: run bench again"
    )


def test_the_quantization_alone_says_what_it_is_of(maker: Any, tmp_path: Path) -> None:
    for kind, record in maker.int8("mish").items():
        record.write(tmp_path / "q8" / f"{kind}.json")
    variants = join(collect([tmp_path]), ("mish", "leaky_relu"))
    assert [(v.label, v.activation, v.base) for v in variants] == [
        ("q8-int8", "mish", None), ("q8-int8-openvino", "", None),
    ]  # fmt: skip


def test_int8_is_on_the_front_with_the_accuracy_of_the_gate(int8_folder: Path) -> None:
    found = {(p.variant.label, p.timing.setting.runtime): p for p in on_front(int8_folder)}
    point = found[EIGHT, "onnxruntime"]
    assert point.accuracy == 0.958
    assert point.accuracy_span == wilson_interval(958, 1000)
    assert point.latency_ns == point.timing.series.median_ns
    assert point.timing.precision == "int8"
    assert point.refused == ""
    best = front(list(found.values()))
    assert best[0].name == "relu int8"
    assert standing(found["mobilenet_v2-mish", "onnxruntime"], list(found.values()), best) != "on the front"


def test_the_accuracy_of_the_gate_holds_in_onnx_runtime_only(maker: Any, int8_folder: Path) -> None:
    record = maker.int8_latency(TWO, "openvino")
    record.write(int8_folder / "bench" / "openvino.json")
    runtimes = {p.timing.setting.runtime for p in on_front(int8_folder) if p.variant.label == EIGHT}
    assert runtimes == {"onnxruntime"}
    files = {s.label: s for s in record.series}
    ir = xml_hash(int8_folder)
    series = msgspec.structs.replace(files[EIGHT], model_sha256=ir, label="anything")
    rewrite(int8_folder / "bench" / "openvino.json", LatencyRecord, series=(record.series[0], series))
    (point,) = [p for p in on_front(int8_folder) if p.variant.openvino]
    assert (point.accuracy, point.measured.total, point.timing.setting.runtime) == (0.954, 500, "openvino")


def xml_hash(int8_folder: Path) -> str:
    found = known(int8_folder)["mobilenet_v2-mish-int8-openvino"].openvino
    assert found is not None
    return str(found.record.xml_sha256)


def test_a_failed_gate_is_drawn_pale_and_is_no_choice(int8_folder: Path, maker: Any) -> None:
    gate = quantized.gate("x", maker.int8("mish")["gate"].circumstances, quantized.drop(60, 2))
    path = int8_folder / "mobilenet_v2-mish" / "quantize" / "gate.json"
    rewrite(
        path, GateRecord, tries=gate.tries, passed=False, outcome="fails", summary="it does not hold",
        images_needed=gate.images_needed,
    )  # fmt: skip
    variants = list(known(int8_folder).values())
    settings, colours = settings_of(variants), looks(dict.fromkeys(v.look for v in variants))
    plot = next(p for p in front_plots(variants, colours, settings) if p.title == "ONNX Runtime, 1 thread")
    assert plot.note.startswith("Pale: gate failed, no choice. Small: INT8. ")
    rows = {row[0].text: row[9] for row in plot.table.rows}
    assert (rows[EIGHT].text, rows[EIGHT].tone) == ("gate failed", "bad")
    assert [t.opacity for t in plot.figure.data if t.meta.get("failed")] == [0.45]
    (problem,) = int8.gate_problems(variants)
    assert problem.text == f"the accuracy gate of {EIGHT} failed: it does not hold"


def test_int8_is_drawn_smaller_in_the_colour_of_its_activation(int8_folder: Path) -> None:
    variants = list(known(int8_folder).values())
    settings, colours = settings_of(variants), looks(dict.fromkeys(v.look for v in variants))
    plot = next(p for p in front_plots(variants, colours, settings) if p.title == "ONNX Runtime, 1 thread")
    traces = {
        (t.meta["activation"], t.meta["precision"]): t.marker
        for t in plot.figure.data
        if "precision" in t.meta
    }
    assert {key: m.size for key, m in traces.items()} == {
        **{(a, "f32"): 12 for a in TWO}, **{(a, "int8"): 8 for a in TWO},
    }  # fmt: skip
    assert traces["mish", "int8"].color == traces["mish", "f32"].color
    assert {t.text[0] for t in plot.figure.data if t.text} >= {"mish", "mish int8", "relu int8"}


def test_the_ratio_to_the_float_model_is_of_rounds_in_which_both_ran(int8_folder: Path) -> None:
    """The machine is ten times slower in half of the blocks: medians of all samples say nothing, rounds do."""
    path = int8_folder / "bench" / "latency-int8.json"
    record = LatencyRecord.read(path)
    slow = np.where(np.arange(len(record.blocks)) % 2, 10, 1)

    def changed(series: Any, scale: float) -> Any:
        samples = tuple(int(1e6 * scale * slow[block]) for block in series.block_of)
        middle = float(np.median(samples))
        return msgspec.structs.replace(
            series, samples_ns=samples, median_ns=middle, quantiles_ns={}, ratio=scale, ratio_low=scale * 0.9,
            ratio_high=scale * 1.1,
            comparison="baseline" if scale == 1 else "slower" if scale > 1 else "faster",
        )  # fmt: skip

    scales = {"mobilenet_v2-relu": 1.0, "mobilenet_v2-mish": 2.0, "mobilenet_v2-relu-int8": 0.5, EIGHT: 0.8}
    series = tuple(changed(one, scales[one.label]) for one in record.series)
    rewrite(path, LatencyRecord, series=series, noise_floors=())
    variants = list(known(int8_folder).values())
    (setting,) = [s for s in settings_of(variants) if s.runtime == "onnxruntime"]
    found = {one.variant.label: one for one in eight_timings(variants, setting)}
    over_float, over_relu = found[EIGHT].over_float, found[EIGHT].over_relu
    assert over_float is not None
    assert over_relu is not None
    assert over_float.interval.ratio == pytest.approx(0.4, rel=1e-5)
    assert over_float.interval.low < 0.4 < over_float.interval.high < 0.45
    assert over_float.comparison == "faster"
    assert over_relu.interval.ratio == pytest.approx(1.6, rel=1e-5)
    assert over_relu.comparison == "slower"
    relu = found["mobilenet_v2-relu-int8"].over_relu
    assert relu is not None
    assert relu.comparison == "baseline"


def test_series_that_did_not_run_in_the_same_rounds_are_not_compared(int8_folder: Path) -> None:
    own, other = known(int8_folder)[EIGHT].timings[0], known(int8_folder)["mobilenet_v2-relu"].timings[-1]
    assert compare(own, other) is not None
    short = msgspec.structs.replace(other.series, block_of=other.series.block_of[:-1])
    assert compare(own, dataclasses.replace(other, series=short)) is None


def test_plots_say_what_was_lost_and_what_was_gained(int8_folder: Path) -> None:
    variants = list(known(int8_folder).values())
    settings, colours = settings_of(variants), looks(dict.fromkeys(v.look for v in variants))
    (drops,) = int8_plots.drop_plots(variants, colours)
    row = by_label(drops.table)[EIGHT]
    drop = quantized.drop(3, 1)
    assert (row["points lost"].value, row["95 % interval"].span) == (drop.drop, (drop.low, drop.high))
    assert (row["float accuracy"].value, row["INT8 accuracy"].value) == (0.96, 0.958)
    assert (row["only float right"].value, row["only INT8 right"].value, row["images"].value) == (3, 1, 1000)
    assert (row["within the limit"].text, row["gate"].text, row["tries"].value) == (
        "cannot tell",
        "cannot tell",
        2,
    )
    assert (row["gate"].tone, row["images needed"].value) == ("unsure", images_needed(0.5, 4 / 1000))
    bars = next(t for t in drops.figure.data if t.meta and t.meta["activation"] == "mish")
    assert bars.x[0] + bars.error_x.array[0] == pytest.approx(drop.high)
    assert bars.marker.symbol.endswith("-open")  # cannot tell
    (latency,) = int8_plots.latency_plots(variants, colours, settings)
    row = by_label(latency.table)[EIGHT]
    over = next(o for o in eight_timings(variants, settings[0]) if o.variant.label == EIGHT)
    assert over.over_float is not None
    assert row["over its float model"].value == over.over_float.interval.ratio == pytest.approx(0.6, rel=0.05)
    assert row["interval"].span == (over.over_float.interval.low, over.over_float.interval.high)
    assert row["over ReLU INT8"].value == pytest.approx(14.7, rel=0.05)
    drawn = [t for t in latency.figure.data if t.meta]
    assert len(drawn) == 3  # ReLU INT8 is not compared with itself


def test_tables_tell_how_it_was_made_and_what_other_cpus_make_of_it(int8_folder: Path) -> None:
    variants = list(known(int8_folder).values())
    method = by_label(int8_tables.method_table(variants))[EIGHT]
    assert method["ranges"].text == "mse"
    assert method["weights"].text == "7-bit weights, biases corrected"
    assert method["as one unit"].text == "Mish 35"
    assert method["of the float file"].value == 2_500_000 / 9_012_345
    assert method["as it runs here"].value == 29.25
    cpus = by_label(int8_tables.cpu_table(variants))[EIGHT]
    assert cpus["with VNNI, and ARM"].value == 0.958
    assert cpus["x86 without VNNI"].value == 0.946
    assert cpus["points lost there"].value == pytest.approx(1.2)
    assert (cpus["saturates"].text, cpus["saturates"].note) == ("1 layer", "node_wide 1.25%")
    tries = int8_tables.tries_table(variants)
    assert tries is not None
    assert [(r[0].text, r[1].text, r[1].note, r[2].note) for r in tries.rows[:2]] == [
        (EIGHT, "0", "", ""), (EIGHT, "1", "handed back", "+ stem"),
    ]  # fmt: skip
    assert "latency on stock ONNX Runtime 1.31.1, one thread, one image" in tries.note
    assert dict(zip(tries.columns, tries.rows[1], strict=True))["interval of it"].span == (0.6, 0.65)
    tuned = by_label(int8_tables.tuning_table(variants))[EIGHT]
    assert tuned["points lost before"].value > 3 > tuned["points lost after"].value
    openvino = int8_tables.openvino_table(variants)
    assert openvino is not None
    assert [(r[1].text, r[1].note) for r in openvino.rows[:2]] == [
        ("depthwise in float", "kept"),
        ("all in 8 bits", ""),
    ]
    ranges, layers = int8_tables.ranges_table(variants), int8_tables.layers_table(variants)
    assert ranges is not None
    assert layers is not None
    assert [row[1].text for row in ranges.rows[:2]] == ["mse", "minmax"]
    assert layers.rows[0][6].text == "float"


def test_a_run_without_int8_has_no_such_section(whole_run: Path) -> None:
    variants = list(known(whole_run).values())
    assert int8.sentences(variants, settings_of(variants)) == []
    assert int8.summary_table(variants, settings_of(variants)) is None
    tables = (
        int8_tables.method_table,
        int8_tables.cpu_table,
        int8_tables.tries_table,
        int8_tables.tuning_table,
    )
    assert [table(variants) for table in tables] == [None] * 4


def test_page_csv_and_markdown_agree(int8_folder: Path, tmp_path: Path) -> None:
    page = build_report(int8_folder, tmp_path / "out")
    assert 'id="int8"' in page.read_text(encoding="utf-8")
    text = page.with_name("summary.md").read_text(encoding="utf-8")
    assert "In 8 bits on ONNX Runtime, 1 thread: " in text
    told = "0.20 points (-0.29 to 0.79) and takes 0.60 × its float model (1,000 images cannot tell whether that is at most 0.50 points)"
    assert f"mish int8 loses {told}" in text
    assert "gate: cannot tell" in text
    assert "| mobilenet\\_v2-mish-int8 | 96.00 % | 95.80 %" in text
    rows = list(csv.DictReader(io.StringIO(page.with_name("summary.csv").read_text(encoding="utf-8"))))
    row = next(r for r in rows if r["variant"] == EIGHT)
    assert (float(row["test_accuracy"]), row["accuracy_of"]) == (0.958, "INT8 in ONNX Runtime")
    assert float(row["points_lost"]) == pytest.approx(0.2)
    drop = quantized.drop(3, 1)
    assert (float(row["points_lost_low"]), float(row["points_lost_high"])) == (drop.low, drop.high)
    assert row["gate"] == "cannot tell"
    assert row["float_nodes"] == "1"
    assert float(row["size_ratio"]) == 2_500_000 / 9_012_345
    assert (
        0.57
        < float(row["ratio_to_float_low"])
        < float(row["ratio_to_float"])
        < float(row["ratio_to_float_high"])
    )
    assert float(row["ratio_to_relu_int8"]) == pytest.approx(14.7, rel=0.05)
    assert {len(r) for r in rows} == {len(rows[0])}
    assert None not in row
    relu = next(r for r in rows if r["variant"] == "mobilenet_v2-relu")
    assert (relu["points_lost"], relu["ratio_to_float"], relu["accuracy_of"]) == ("", "", "PyTorch")
