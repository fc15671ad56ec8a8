"""Parity matrix, budgets, flips; first divergence; conformance: numbers are the records', blind is not fail."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeacts.records import ParityRow, Verdict
from edgeacts.report import build_report
from edgeacts.report.conformance import (
    conformance_table,
    differing,
    heat_tables,
    special_table,
    ulp_words,
)
from edgeacts.report.divergence import divergence_plots, divergence_problems, divergence_table
from edgeacts.report.evidence import Evidence, collect
from edgeacts.report.joining import join
from edgeacts.report.matrix import budget_table, matrix_tables, used_words
from edgeacts.report.parity import (
    comparison_table,
    file_table,
    parity_cell,
    parity_outcome,
    parity_problems,
    parity_table,
)
from edgeacts.report.variants import Variant

replace = msgspec.structs.replace


def verified(folder: Path, *verdicts: Verdict) -> list[Variant]:
    for index, verdict in enumerate(verdicts):
        verdict.write(folder / f"verdict{index}.json")
    return join(collect([folder]), ("relu", "mish"))


def with_row(verdict: Verdict, index: int, whole: str = "pass", **changes: Any) -> Verdict:
    rows = list(verdict.rows)
    rows[index] = replace(rows[index], **changes)
    return replace(verdict, rows=tuple(rows), outcome=whole)


def worst(rows: tuple[ParityRow, ...], level: str, batch: int, threads: int) -> float:
    return max(
        (row.relative_error or 0) / row.allowed_relative_error
        for row in rows
        if (row.level, row.batch, row.threads) == (level, batch, threads)
    )


def test_matrix_has_a_cell_per_place_with_the_share_of_the_budget(tmp_path: Path, maker: Any) -> None:
    verdict = maker.verdict("relu")
    (table,) = matrix_tables(verified(tmp_path, verdict))
    assert table.columns == (
        "runtime · level · precision",
        "batch 1, 1 thread", "batch 1, 2 threads", "batch 2, 1 thread", "batch 7, 1 thread",
    )  # fmt: skip
    assert [row[0].text for row in table.rows] == [
        *(f"ONNX Runtime · {level} · float32" for level in ("disabled", "basic", "extended", "all")),
        "OpenVINO · default · float32",
    ]
    for row in table.rows:
        level = row[0].text.split(" · ")[1]
        assert row[0].note == ("deployed" if level in {"all", "default"} else "")
        for cell, (batch, threads) in zip(row[1:], ((1, 1), (1, 2), (2, 1), (7, 1)), strict=True):
            used = worst(verdict.rows, level, batch, threads)
            assert cell.value == pytest.approx(used)
            assert (cell.text, cell.note, cell.tone) == (used_words(used), "pass", "good")
            assert cell.heat is not None
            assert 0 < cell.heat < 1


def test_matrix_of_several_variants_names_the_worst_and_each_has_its_own(tmp_path: Path, maker: Any) -> None:
    bad = with_row(
        maker.verdict("mish"), 0, "fail", outcome="fail", relative_error=5e-4, max_error=5e-4 * 4.1
    )
    whole, first, second = matrix_tables(verified(tmp_path, maker.verdict("relu"), bad))
    assert "the worst of all variants" in whole.caption
    assert (whole.rows[0][1].note, whole.rows[0][1].text, whole.rows[0][1].tone) == (
        "fail, mish",
        "500 %",
        "bad",
    )
    assert first.caption == "Parity matrix: mobilenet_v2-relu"
    assert second.rows[0][1].note == "fail"
    assert first.rows[0][1].note == "pass"


def test_blind_is_neither_pass_nor_fail(tmp_path: Path, maker: Any) -> None:
    variants = verified(tmp_path, maker.verdict("relu", "blind"))
    cell = matrix_tables(variants)[0].rows[0][1]
    assert (cell.note, cell.tone, cell.heat) == ("blind", "blind", None)
    assert parity_outcome(variants[0]) == "blind"
    assert "parity is blind for mobilenet_v2-relu" in parity_problems(variants)[0].text
    page = build_report(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "Parity is blind for relu: the output hardly moves with the input" in text
    assert "do not deploy" not in text
    told = page.with_name("summary.md").read_text(encoding="utf-8")
    assert "60 of 60 comparisons mean nothing: the output hardly moves with its input" in told


def test_blind_on_one_set_of_inputs_is_no_matter_where_another_passed(tmp_path: Path, maker: Any) -> None:
    """Row 0 is of batch 1 and one thread on the validation images; random and extreme inputs judge the same output."""
    verdict = with_row(
        maker.verdict("relu"),
        0,
        outcome="blind",
        relative_error=1e-9,
        max_error=4.1e-9,
        p999_error=0.0,
        mean_error=0.0,
    )
    variants = verified(tmp_path, verdict)
    assert len(variants) == 1
    assert (matrix_tables(variants)[0].rows[0][1].note, parity_outcome(variants[0])) == ("pass", "pass")
    assert parity_table(variants).rows[0][2].text == "pass"  # type: ignore[union-attr]


def test_checks_of_the_file_are_a_table_of_their_own(tmp_path: Path, maker: Any) -> None:
    nothing = {
        "relative_error": None,
        "max_error": None,
        "p999_error": None,
        "mean_error": None,
        "movement": None,
    }
    verdict = with_row(
        maker.verdict("relu"), 0, "fail", outcome="fail", runtime="file", level="", precision="", batch=0, threads=0,
        inputs="metadata", output="edgeacts.classes", reason="metadata edgeacts.classes is missing", **nothing,
    )  # fmt: skip
    variants = verified(tmp_path, verdict)
    (matrix,) = matrix_tables(variants)
    assert matrix.rows[0][0].text == "ONNX Runtime · disabled · float32"
    assert "batch 0" not in " ".join(matrix.columns)
    assert {row[1].text for row in parity_table(variants).rows} == {
        "ONNX Runtime float32",
        "OpenVINO float32",
    }  # type: ignore[union-attr]
    table = file_table(variants)
    assert table is not None
    assert [cell.text for cell in table.rows[0][1:3]] == ["metadata edgeacts.classes", "fail"]
    assert parity_cell(variants[0]).note == "60 comparisons; metadata edgeacts.classes is missing"


def test_failed_outranks_blind(tmp_path: Path, maker: Any) -> None:
    verdict = with_row(
        maker.verdict("relu", "blind"), 0, "fail", outcome="fail", relative_error=1e-5, max_error=4.1e-5
    )
    variants = verified(tmp_path, verdict)
    assert matrix_tables(variants)[0].rows[0][1].note == "fail"
    assert parity_table(variants).rows[0][2].note == "1 of 48 failed"  # type: ignore[union-attr]


def test_error_that_is_not_finite_is_said(tmp_path: Path, maker: Any) -> None:
    none = {"relative_error": None, "max_error": None, "p999_error": None, "mean_error": None, "snr_db": None}
    variants = verified(tmp_path, with_row(maker.verdict("relu"), 0, "fail", outcome="fail", **none))
    cell = matrix_tables(variants)[0].rows[0][1]
    assert (cell.text, cell.value, cell.heat, cell.note) == ("not finite", None, 1.0, "fail")


def test_flips_have_an_interval_and_say_how_close_they_were(tmp_path: Path, maker: Any) -> None:
    flips = {"predictions_differ": 3, "flip_interval": (0.0028, 0.0242), "flip_margin": 0.0031}
    variants = verified(tmp_path, with_row(maker.verdict("relu"), 0, **flips))
    table = comparison_table(variants)
    assert table is not None
    cell = next(row[16] for row in table.rows if row[16].value == 3)
    assert (cell.text, cell.note) == ("3 of 360", "0.3 to 2.4 %, lead up to 3.1e-3 of the movement")
    assert cell.span == (0.0028, 0.0242)
    assert parity_table(variants).rows[0][9].text == "3 of 360"  # type: ignore[union-attr]


def test_comparisons_show_every_row_the_worst_first(tmp_path: Path, maker: Any) -> None:
    verdict = with_row(maker.verdict("relu"), 17, "fail", outcome="fail", reason="too far off")
    table = comparison_table(verified(tmp_path, verdict))
    assert table is not None
    assert len(table.rows) == 60
    first = table.rows[0]
    row = verdict.rows[17]
    assert (first[8].text, first[8].note) == ("fail", "too far off")
    assert (first[9].value, first[10].value, first[11].value) == (
        row.max_error,
        row.p999_error,
        row.mean_error,
    )
    assert (first[13].value, first[14].value, first[15].value) == (
        row.relative_error,
        row.allowed_relative_error,
        98.7,
    )


def test_budget_says_what_it_is_made_of(tmp_path: Path, maker: Any) -> None:
    table = budget_table(verified(tmp_path, maker.verdict("relu")))
    assert table is not None
    row = table.rows[0]
    assert [cell.value for cell in (row[4], *row[6:10])] == [3.25e-6, 2.6e-5, 6.4e-5, 1e-5, 1e-4]
    assert row[5].text == "rounding 2.1e-06, accumulation order 3.2e-06, threads 1.1e-06, batch 9.0e-07"
    assert "sums taken in another order" in table.note


@pytest.mark.parametrize(
    ("used", "told"),
    [
        (0.0, "0 %"),
        (0.1234, "12 %"),
        (0.0042, "0.4 %"),
        (0.00012, "0.01 %"),
        (23.4, "23 ×"),
        (1e30, "1e+30 ×"),
    ],
)
def test_used_words(used: float, told: str) -> None:
    assert used_words(used) == told


# ---- first divergence


def test_divergence_names_the_layer_and_its_files(tmp_path: Path, maker: Any) -> None:
    maker.divergence("relu").write(tmp_path / "divergence.json")
    evidence = collect([tmp_path])
    table = divergence_table(evidence)
    assert table is not None
    assert (table.rows[0][2].text, table.rows[0][2].tone) == ("node_5_out", "bad")
    assert table.rows[0][2].note == "Conv: error 1.0e-2, allowed 1.0e-5"
    assert table.rows[0][6].text == "minimal.onnx, minimal.npz"
    (plot,) = divergence_plots(evidence)
    lines = {trace.name: trace for trace in plot.figure.data}
    assert lines["error"].x == tuple(i + 1 for i in range(12) if i != 9)
    assert lines["error"].y[4:6] == (1e-6, 1e-2)
    assert lines["first divergence"].x == (6,)
    assert [row[0].note for row in plot.table.rows] == [
        "first divergence" if i == 5 else "" for i in range(12)
    ]
    assert plot.table.rows[9][7].text == "not looked at"
    assert "the models part: they part at features.5" in divergence_problems(evidence)[0].text
    assert "First divergence" in build_report(tmp_path).read_text(encoding="utf-8")


def test_looking_that_changes_the_result_is_a_problem(tmp_path: Path, maker: Any) -> None:
    record = replace(maker.divergence("relu", first=None), observer_effect="a fusion is gone")
    record.write(tmp_path / "divergence.json")
    evidence = collect([tmp_path])
    assert [p.text for p in divergence_problems(evidence)] == ["looking changed the result: a fusion is gone"]
    table = divergence_table(evidence)
    assert table is not None
    assert (table.rows[0][2].text, table.rows[0][5].text) == ("none", "a fusion is gone")


# ---- conformance


def conforming(folder: Path, maker: Any, **changes: Any) -> Evidence:
    record = maker.conformance(names=("relu", "mish"))
    first = replace(record.rows[0], **changes)
    replace(record, rows=(first, *record.rows[1:])).write(folder / "conformance.json")
    return collect([folder])


def test_heat_table_has_activation_by_way_and_the_ulp(tmp_path: Path, maker: Any) -> None:
    evidence = conforming(tmp_path, maker)
    tables = heat_tables(evidence)
    assert [table.caption for table in tables] == [
        f"ONNX Runtime 1.31.1, {dtype}" for dtype in ("float32", "float16", "bfloat16")
    ]
    assert tables[0].columns == ("activation", "form exact", "form ratio", "kernel table", "native operator")
    found = {(r.activation, r.kind, r.form): r for r in maker_rows(evidence) if r.dtype == "float32"}
    for row in tables[0].rows:
        for cell, way in zip(
            row[1:],
            (("form", "exact"), ("form", "ratio"), ("kernel", "table"), ("native", "native Op")),
            strict=True,
        ):
            expected = found[(row[0].text, *way)]
            assert cell.value == expected.max_ulp
            assert cell.text == ulp_words(expected.max_ulp)
            assert cell.tone == ("good" if way[0] != "native" else "")
            assert cell.note == ("pass, 3.1e-7" if way[0] != "native" else "Op")
    shades = sorted((cell.value, cell.heat) for row in tables[0].rows for cell in row[1:])
    assert shades == sorted(shades, key=lambda pair: pair[1])  # type: ignore[arg-type,return-value]
    assert conformance_table(evidence).rows[0][9].value == -12.34375  # type: ignore[union-attr]


def maker_rows(evidence: Evidence) -> list[Any]:
    from edgeacts.records import ConformanceRecord

    return [row for item in evidence.of(ConformanceRecord) for row in item.record.rows]


def test_specials_that_differ_are_counted_and_listed(tmp_path: Path, maker: Any) -> None:
    specials = {"nan": "0 (right: nan)", "+inf": "+inf", "-inf": "nan (right: -0)", "-0": "-0", "+0": "0"}
    evidence = conforming(tmp_path, maker, specials=specials)
    assert set(differing(maker_rows(evidence)[0])) == {"nan", "-inf"}
    assert "2 specials differ" in heat_tables(evidence)[0].rows[0][1].note
    table = special_table(evidence)
    assert table is not None
    assert [[cell.text for cell in row[:6]] for row in table.rows] == [
        ["relu", "form exact", "float32", "ONNX Runtime", "nan", "0 (right: nan)"],
        ["relu", "form exact", "float32", "ONNX Runtime", "-inf", "nan (right: -0)"],
    ]


def test_refused_and_failed_ways_are_told_apart(tmp_path: Path, maker: Any) -> None:
    evidence = conforming(tmp_path, maker, outcome="refused", reason="no float16 Softplus here")
    cell = heat_tables(evidence)[0].rows[0][1]
    assert (cell.text, cell.tone) == ("refused", "blind")
    assert "no float16 Softplus here" in build_report(tmp_path).read_text(encoding="utf-8")
    evidence = conforming(tmp_path, maker, outcome="fail", scaled_error=1e-3, not_finite=7)
    cell = heat_tables(evidence)[0].rows[0][1]
    assert (cell.note, cell.tone) == ("fail, 1.0e-3, 7 not finite", "bad")
    text = build_report(tmp_path).read_text(encoding="utf-8")
    assert "beyond their stated bound: relu form exact float32" in text


@pytest.mark.parametrize(
    ("ulp", "told"),
    [
        (None, "not finite"),
        (0.5, "0.5"),
        (2.345, "2.3"),
        (142.7, "143"),
        (123456.0, "1.2e5"),
        (3e38, "3.0e38"),
    ],
)
def test_ulp_words(ulp: float | None, told: str) -> None:
    assert ulp_words(ulp) == told
