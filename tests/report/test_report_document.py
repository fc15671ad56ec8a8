"""report.json says what the page says; hostile and huge records of every kind; each kind alone."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import timed_records as timed
from run_records import TWO

from edgeacts.files import sha256_file
from edgeacts.records import LatencyRecord
from edgeacts.report import build_report
from edgeacts.report.document import ReportDocument
from edgeacts.report.evidence import KINDS, collect

EVIL = "</script><img src=x onerror=alert(2)>=1"
replace = msgspec.structs.replace


class Tags(HTMLParser):
    """Elements with attributes, and the text of data scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.inside = ""
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = (
            dict(attrs).get("id") or "code" if tag == "script" else "style" if tag == "style" else ""
        )

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data
        else:
            self.text += data


def records(maker: Any) -> dict[str, Any]:
    return {
        "training": maker.training("relu"), "export": maker.export("relu"), "verdict": maker.verdict("relu"),
        "latency": maker.latency(TWO), "divergence": maker.divergence("relu"),
        "executed": maker.executed("relu"),
        "conformance": maker.conformance(names=TWO), **maker.int8("mish"), **{kind: maker.mode(kind, TWO) for kind in timed.MAKERS},
    }  # fmt: skip


def test_document_reads_back_and_names_the_sources(everything: Path, tmp_path: Path) -> None:
    out = build_report(everything, tmp_path)
    document = ReportDocument.read(out.with_name("report.json"))
    assert document.version == 1
    assert {source.record for source in document.sources} == set(KINDS)
    for source in document.sources:
        assert sha256_file(everything / source.path) == source.sha256
    numbers = {source.number for source in document.sources}
    cells = [c for s in document.sections for t in s.tables for row in t.rows for c in row]
    assert {number for cell in cells for number in cell.sources} <= numbers
    assert [s.name for s in document.sections] == [
        "accuracy", "tradeoff", "cost", "int8", "parity", "divergence", "conformance", "latency", "modes", "profile", "noise",
        "training", "activations", "ran",
    ]  # fmt: skip


def test_page_and_document_show_the_same_tables(everything: Path, tmp_path: Path) -> None:
    out = build_report(everything, tmp_path)
    page = Tags(out.read_text(encoding="utf-8"))
    document = ReportDocument.read(out.with_name("report.json"))
    shown = {a["id"] for tag, a in page.elements if tag == "table" and a.get("id")}
    told = {f"{table.name}-table" for section in document.sections for table in section.tables}
    assert shown == told | {"summary-table"}
    plots = {f"plot-{name}" for section in document.sections for name in section.plots}
    assert {a["id"] for tag, a in page.elements if a.get("class") == "plot"} == plots
    for section in document.sections:
        for table in section.tables:
            for row in table.rows[:5]:
                assert len(row) == len(table.columns)
                for cell, column in zip(row, table.columns, strict=True):
                    assert cell.text in page.text or column in {"source", "f(x)"}, (table.name, column)
    assert document.headline in page.text.replace("\u00a0", " ")


def test_document_has_full_digits(everything: Path, tmp_path: Path) -> None:
    document = ReportDocument.read(build_report(everything, tmp_path).with_name("report.json"))
    tables = {table.name: table for section in document.sections for table in section.tables}
    expected = {
        s.label.removeprefix("mobilenet_v2-").replace("-int8", " int8"): s
        for name in ("latency.json", "latency-int8.json")  # the newer series of a model counts
        for s in LatencyRecord.read(everything / "bench" / name).series
        if s.runtime == "onnxruntime"
    }
    rows = tables["table-cost-0"].rows
    assert {row[0].text for row in rows} == set(expected)
    for row in rows:
        series = expected[row[0].text]
        assert (row[1].value, row[1].unit) == (series.ratio, "ratio")
        assert (row[2].low, row[2].high) == (series.ratio_low, series.ratio_high)
        assert (row[5].value, row[5].unit) == (series.median_ns, "ns")
    assert len(tables["comparisons"].rows) == 720


def test_report_in_the_run_folder_is_not_evidence(run_folder: Path) -> None:
    build_report(run_folder)
    before = (run_folder / "report" / "report.json").read_bytes()
    assert all(not source.path.startswith("report/") for source in collect([run_folder]).sources)
    build_report(run_folder)
    assert (run_folder / "report" / "report.json").read_bytes() == before


WORDS = {"outcome", "comparison", "kind", "dtype", "sha256", "stopped", "verdict"}


def poison(record: Any) -> Any:
    """A copy of the record in which each text is markup, and the keys of free mappings too."""

    def walk(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            free = name in {
                "skipped",
                "specials",
                "versions",
                "executed",
                "noise_sources",
                "operators",
                "settings",
            }
            changed = {
                (f"{key} {EVIL}" if free else key): walk(item, "" if free else key)
                for key, item in value.items()
            }
            return (
                changed
                if name != "operators" or not isinstance(next(iter(value.values()), 0), str)
                else value
            )
        if isinstance(value, list | tuple):
            return [walk(item, name) for item in value]
        if isinstance(value, str) and name not in WORDS and not name.endswith("sha256"):
            return f"{value} {EVIL}"
        return value

    data = msgspec.to_builtins(record)
    if (
        data["kind"] == "conformance"
    ):  # a row's way is one of three words, so only a record's kind is no free text
        data["rows"] = data["rows"][:4]
    return msgspec.convert(walk(data, ""), type(record))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_markup_in_any_text_of_any_record_stays_text(maker: Any, tmp_path: Path, kind: str) -> None:
    record = poison(records(maker)[kind])
    assert EVIL in record.to_json().decode()
    record.write(tmp_path / "record.json")
    assert collect([tmp_path]).problems == []
    out = build_report(tmp_path)
    page = Tags(out.read_text(encoding="utf-8"))
    assert EVIL in page.text
    assert not [tag for tag, _ in page.elements if tag in {"img", "iframe", "object"}]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    figures = [name for name in page.scripts if name.startswith("figure-")]
    code = [attributes for tag, attributes in page.elements if tag == "script" and "id" not in attributes]
    assert len(code) == (2 if figures else 1)
    for name, text in page.scripts.items():
        if name.startswith("figure-"):
            for trace in json.loads(text)["data"]:
                drawn = json.dumps({key: value for key, value in trace.items() if key != "meta"})
                assert "<img" not in drawn, (name, drawn[:300])
            assert "<img" not in json.dumps(json.loads(text)["layout"])
    for told in ("summary.md", "summary.csv"):
        text = out.with_name(told).read_text(encoding="utf-8")
        assert "<img" not in text.replace("\\<", "") or told.endswith("csv")
    assert not re.search(r'(^|,)"?=', out.with_name("summary.csv").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "present"),
    [
        ("training", {"accuracy", "training", "activations"}),
        ("export", {"parity", "activations"}),
        ("verdict", {"parity", "activations"}),
        ("latency", {"cost", "latency", "noise", "activations"}),
        ("divergence", {"divergence"}),
        ("conformance", {"conformance"}),
        *(
            (kind, {"modes", "activations"})
            for kind in ("cold", "paced", "sustained", "throughput", "memory")
        ),
        ("profile", {"profile", "activations"}),
    ],
)
def test_one_record_alone_is_a_report_without_empty_sections(
    maker: Any, tmp_path: Path, kind: str, present: set[str]
) -> None:
    records(maker)[kind].write(tmp_path / "record.json")
    out = build_report(tmp_path)
    document = ReportDocument.read(out.with_name("report.json"))
    assert {section.name for section in document.sections} == present | {"ran"}
    assert all(table.rows for section in document.sections for table in section.tables)
    assert document.headline
    markdown = out.with_name("summary.md").read_text(encoding="utf-8")
    assert sha256_file(tmp_path / "record.json")[:8] in markdown


HUGE: dict[str, Callable[[Any], Any]] = {
    "series": lambda maker: many_series(maker, 400),
    "samples": lambda maker: many_samples(maker, 40_000),
    "comparisons": lambda maker: replace(maker.verdict("relu"), rows=maker.verdict("relu").rows * 100),
    "layers": lambda maker: replace(
        maker.divergence("relu", None), rows=maker.divergence("relu", None).rows * 1000
    ),
    "operators": lambda maker: many_operators(maker, 8000),
}


def many_series(maker: Any, count: int) -> LatencyRecord:
    record = maker.latency(("relu",))
    first = record.series[0]
    series = [
        replace(first, label=f"net-{i}", comparison="baseline" if not i else "cannot tell")
        for i in range(count)
    ]
    return replace(record, series=tuple(series), noise_floors=())


def many_samples(maker: Any, count: int) -> LatencyRecord:
    record = maker.latency(("relu",))
    first, times = record.series[0], count // 120
    starts = tuple(range(0, 120 * times * 1000, 1000))
    more = replace(
        first,
        samples_ns=first.samples_ns * times,
        starts_ns=starts,
        block_of=tuple(sorted(first.block_of * times)),
    )
    return replace(record, series=(more,), noise_floors=())


def many_operators(maker: Any, count: int) -> Any:
    record = maker.mode("profile", ("relu",))
    part = replace(record.series[0].operators[0], share=1 / count, duration_ns=1.0)
    operators = tuple(replace(part, name=f"op{i}", operator=f"Sort{i % 50}") for i in range(count))
    series = replace(record.series[0], operators=operators, activation_share=0.0, fused_share=0.0)
    return replace(record, series=(series,))


@pytest.mark.parametrize("what", sorted(HUGE))
def test_huge_record_gives_a_page_of_bounded_size_and_whole_data(
    maker: Any, tmp_path: Path, what: str
) -> None:
    from plotly.offline import get_plotlyjs

    record = HUGE[what](maker)
    record.write(tmp_path / "record.json")
    assert collect([tmp_path]).problems == []
    out = build_report(tmp_path)
    plotly = len(get_plotlyjs()) if "Plotly.react" in out.read_text(encoding="utf-8") else 0
    assert out.stat().st_size - plotly < 3_000_000
    document = ReportDocument.read(out.with_name("report.json"))
    longest = max(len(table.rows) for section in document.sections for table in section.tables)
    expected = {"series": 400, "samples": 24, "comparisons": 6000, "layers": 12_000, "operators": 8000}[what]
    assert longest == expected
    if longest > 400:
        assert f"The first 400 of {longest:,} rows; report.json beside this page has all." in out.read_text(
            encoding="utf-8"
        )
