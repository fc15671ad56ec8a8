"""The page: one file, whole HTML, every number with its file, nothing from outside, no script in a label."""

import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeacts.files import sha256_file
from edgeacts.records import LatencyRecord, TrainingRecord
from edgeacts.report import build_report
from edgeacts.report.cells import latency_interval, milliseconds, percent, times_interval
from edgeacts.report.render import script_json

VOID = {"meta", "link", "br", "hr", "img", "input", "path"}
LOADING = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background"}


class Page(HTMLParser):
    """Text outside scripts and styles, elements, attributes; counts tags that are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.crossed = "", 0
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag == "script":
            self.scripts.append((found, ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and self.open.pop() != tag:
            self.crossed += 1

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self.open or self.open[-1] != "style":
            self.text += data

    def figures(self) -> dict[str, dict[str, object]]:
        return {
            a["id"]: json.loads(text) for a, text in self.scripts if a.get("id", "").startswith("figure-")
        }


@pytest.fixture(scope="module")
def page(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(build_report(whole_run, tmp_path_factory.mktemp("page") / "demo.html"))


def test_html_is_whole(page: Page) -> None:
    assert page.open == []
    assert page.crossed == 0
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        for name in ("aria-labelledby",):
            assert attributes.get(name, ids[0]) in ids


def test_every_number_is_there_with_its_file(page: Page, whole_run: Path) -> None:
    for path in sorted(whole_run.rglob("*.json")):
        sha256 = sha256_file(path)
        assert (
            f"{path.relative_to(whole_run).as_posix()} {sha256[:8]}" in page.text
            or path.name == "export.json"
        )
        assert sha256 in page.text
    for path in whole_run.rglob("training.json"):
        record = TrainingRecord.read(path)
        assert percent(record.test_accuracy) in page.text
        assert f"{record.test_correct} of {record.test_total}" in page.text
        assert all(f"{epoch.validation_accuracy:.4g}" in page.text for epoch in record.epochs)
    for series in LatencyRecord.read(whole_run / "bench" / "latency.json").series:
        low, high = latency_interval(series)
        for time_ns in (series.median_ns, series.quantiles_ns["p90"], series.quantiles_ns["p99"]):
            assert milliseconds(time_ns) in page.text
        for told in (
            f"{series.ratio:.2f} ×",
            times_interval(series.ratio_low, series.ratio_high),
            series.comparison,
        ):
            assert told in page.text
        assert f"{milliseconds(low)} to {milliseconds(high)}" in page.text


def test_what_really_ran_is_there(page: Page) -> None:
    ran = (
        "Example CPU 4 @ 2.50GHz",
        "avx512_vnni",
        "onnxruntime 1.31.1",
        "openvino 2026.4.1",
        "python 3.11.2",
    )
    executed = ("CPUExecutionProvider", "f32", "1x3x64x64", "ONNX Runtime here has no CUDA provider")
    for told in (*ran, *executed):
        assert told in page.text


def test_nothing_is_loaded_from_outside(page: Page) -> None:
    assert not [
        tag
        for tag, _ in page.elements
        if tag in {"link", "img", "iframe", "object", "embed", "base", "audio", "video"}
    ]
    for tag, attributes in page.elements:
        for name in LOADING & set(attributes):
            assert attributes[name].startswith("#"), (tag, name, attributes[name])
    policy = next(
        a["content"]
        for tag, a in page.elements
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_style_loads_nothing(page: Page, whole_run: Path) -> None:
    for name in ("report.css", "report.js"):
        text = (Path(build_report.__code__.co_filename).parent / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest", text), name


def test_plots_cover_the_issue_and_carry_the_raw_values(page: Page, whole_run: Path) -> None:
    figures = page.figures()
    measured = {
        "accuracy",
        "front",
        *(f"{name}-{i}" for name in ("tradeoff", "cost", "latency") for i in (0, 1)),
    }
    measured |= {"over-time-0", "over-time-1", "meanwhile-2"}
    drawn_from = {"epochs-validation-accuracy", "epochs-train-loss", "curves-0", "curves-1"}
    assert set(figures) == {f"figure-{name}" for name in measured | drawn_from}
    record = LatencyRecord.read(whole_run / "bench" / "latency.json")
    drawn = {tuple(trace["x"]) for trace in figures["figure-latency-0"]["data"]}  # type: ignore[attr-defined]
    assert {
        tuple(round(ns / 1e6, 6) for ns in s.samples_ns) for s in record.series if s.runtime == "onnxruntime"
    } == drawn


def test_every_plot_has_words_and_a_table(page: Page) -> None:
    plots = [attributes for tag, attributes in page.elements if attributes.get("class") == "plot"]
    assert len(plots) == 15
    assert all(len(attributes["aria-label"]) > 60 and attributes["role"] == "img" for attributes in plots)
    assert sum(tag == "details" for tag, _ in page.elements) >= len(plots)
    assert [tag for tag, _ in page.elements if tag == "h1"] == ["h1"]


def test_an_activation_looks_the_same_in_all_plots(page: Page) -> None:
    seen: dict[str, set[str]] = {}
    for figure in page.figures().values():
        for trace in figure["data"]:  # type: ignore[attr-defined]
            if "activation" not in trace.get("meta", {}):
                continue  # the front, a line at 1, what the machine did
            colour = trace.get("line", {}).get("color") or trace["marker"]["color"]
            seen.setdefault(trace["meta"]["activation"], set()).add(colour)
    assert set(seen) == {"relu", "hardswish", "tanhexp", "mish", "nish", "sau"}
    assert all(len(colours) == 1 for colours in seen.values())
    assert len(set.union(*seen.values())) == 6


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def test_script_in_a_label_stays_text(run_folder: Path) -> None:
    path = run_folder / "bench" / "latency.json"
    record = LatencyRecord.read(path)
    evil = msgspec.structs.replace(
        record.series[0], label=EVIL, model=EVIL, model_sha256="f" * 64, executed={EVIL: EVIL}
    )
    msgspec.structs.replace(record, series=(evil, *record.series[1:]), skipped={EVIL: EVIL}).write(path)
    training = run_folder / "mobilenet_v2-relu" / "train" / "training.json"
    wrong = msgspec.structs.replace(
        TrainingRecord.read(training), activation=EVIL, data=EVIL, settings={EVIL: EVIL}
    )
    wrong.write(training)
    out = build_report(run_folder)
    page = Page(out)
    assert page.open == []
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not [text for _, text in page.scripts if text.strip().startswith("alert")]
    assert EVIL in page.text
    summary = out.with_name("summary.md").read_text(encoding="utf-8")
    assert "<script>" not in summary.replace("\\<", "")
    for figure in page.figures().values():
        for trace in figure["data"]:  # type: ignore[attr-defined]
            drawn = {
                key: value for key, value in trace.items() if key != "meta"
            }  # the key's name for it, never drawn
            assert "<script" not in json.dumps(drawn)
            assert "<img" not in json.dumps(drawn)


def test_file_name_with_markup_stays_text(run_folder: Path) -> None:
    (run_folder / "<b onclick=x>.json").write_text("{")
    page = Page(build_report(run_folder))
    assert "<b onclick=x>.json" in page.text
    assert not [tag for tag, attributes in page.elements if tag == "b"]


def test_json_in_a_script_cannot_end_it() -> None:
    value = {"a": "</script><!--\u2028&", "b": [1, None]}
    text = script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


@pytest.mark.parametrize(
    ("kept", "present", "absent"),
    [
        (
            "train/training.json",
            {"accuracy", "training", "activations", "ran"},
            {"latency", "tradeoff", "parity"},
        ),
        (
            "bench/latency.json",
            {"latency", "ran"},
            {"accuracy", "training", "tradeoff", "parity"},
        ),
        ("verify/verdict.json", {"parity", "ran"}, {"latency", "training", "accuracy"}),
        ("export/export.json", {"parity", "activations", "ran"}, {"latency", "accuracy"}),
    ],
)
def test_part_of_a_run_is_a_report_too(
    run_folder: Path, kept: str, present: set[str], absent: set[str]
) -> None:
    for path in list(run_folder.rglob("*.json")):
        if not path.as_posix().endswith(kept):
            path.unlink()
    page = Page(build_report(run_folder))
    headings = {attributes.get("id") for tag, attributes in page.elements if tag == "h2"}
    assert present <= headings
    assert not absent & headings
    assert page.open == []


def test_activation_that_is_not_in_the_catalogue_gives_a_note(run_folder: Path) -> None:
    path = run_folder / "mobilenet_v2-mish" / "train" / "training.json"
    msgspec.structs.replace(TrainingRecord.read(path), activation="mishh").write(path)
    page = Page(build_report(run_folder))
    assert "no curve is drawn: unknown activation 'mishh': did you mean mish" in page.text
    assert "figure-curves-0" in page.figures()


def test_only_damaged_files_make_a_report_of_problems(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text('{"kind": "training"}')
    page = Page(build_report(tmp_path))
    assert "None of the records could be read." in page.text
    assert "training.json is not a valid TrainingRecord" in page.text


@pytest.mark.parametrize("given", ["folder", "files"])
def test_files_and_folders_are_accepted(run_folder: Path, given: str) -> None:
    files = [*sorted(run_folder.rglob("training.json")), run_folder / "bench" / "latency.json"]
    out = build_report(run_folder if given == "folder" else files)
    assert out == run_folder / "report" / "report.html"
    assert "mobilenet_v2-relu/train/training.json" in Page(out).text
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "report.html",
        "report.json",
        "summary.csv",
        "summary.md",
    ]


def test_out_is_a_page_or_a_folder(run_folder: Path, tmp_path: Path) -> None:
    assert build_report(run_folder, tmp_path / "x.html") == tmp_path / "x.html"
    assert build_report(run_folder, tmp_path / "y") == tmp_path / "y" / "report.html"
    assert (tmp_path / "y" / "summary.csv").is_file()


def test_failed_parity_stands_first(run_folder: Path, maker: Any) -> None:
    maker.verdict("mish", "fail").write(run_folder / "mobilenet_v2-mish" / "verify" / "verdict.json")
    page = Page(build_report(run_folder))
    assert "parity failed for mobilenet_v2-mish: 0 of 60 comparisons passed" in page.text
    assert page.text.index("parity failed for") < page.text.index("Accuracy against latency")
    assert "error above the allowed one" in page.text
