"""What is read, what is passed over, and what becomes a problem."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeacts.errors import UsageError
from edgeacts.files import sha256_file
from edgeacts.records import ExportRecord, LatencyRecord, TrainingRecord, Verdict
from edgeacts.report import build_report  # the package is importable as a whole
from edgeacts.report import evidence as collecting
from edgeacts.report.evidence import collect

TRAINING = "mobilenet_v2-relu/train/training.json"


def test_every_record_is_found_with_its_hash(run_folder: Path) -> None:
    evidence = collect([run_folder])
    found = [evidence.of(kind) for kind in (TrainingRecord, ExportRecord, Verdict, LatencyRecord)]
    assert [len(items) for items in found] == [6, 6, 12, 1]
    assert evidence.problems == []
    for source in evidence.sources:
        assert sha256_file(run_folder / source.path) == source.sha256
    assert {item.folder for item in evidence.of(TrainingRecord)} == {
        f"mobilenet_v2-{a}" for a in ("relu", "hardswish", "tanhexp", "mish", "nish", "sau")
    }


@pytest.mark.parametrize("text", ['{"kind": "recipe"}', '{"loss": 1}', "[1, 2]", '{"kind": 3}', "3"])
def test_json_of_another_kind_is_passed_over(run_folder: Path, text: str) -> None:
    (run_folder / "other.json").write_text(text)
    evidence = collect([run_folder])
    assert evidence.problems == []
    assert "other.json" not in {source.path for source in evidence.sources}


def test_a_list_of_records_is_read_one_by_one(run_folder: Path, tmp_path: Path) -> None:
    """What `conformance --json` writes for several runtimes."""
    one = (run_folder / TRAINING).read_text()
    two = one.replace('"seed": 0', '"seed": 1')
    assert one != two
    (tmp_path / "both.json").write_text(f"[{one}, {two}, {one}]")
    evidence = collect([tmp_path / "both.json"])
    assert [source.path for source in evidence.sources] == ["both.json#1", "both.json#2"]
    assert [problem.text for problem in evidence.problems] == ["is a copy of both.json#1; used once"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[: len(data) // 2], "is not valid JSON"),
        (lambda data: b"", "is not valid JSON"),
        (lambda data: b"\xff\xfe" + data, "is not valid JSON"),
        (lambda data: data.replace(b'"version": 2', b'"version": 99'), "reads 2: update edgeacts"),
        (lambda data: data.replace(b'"warmup_rounds"', b'"warm"'), "is not a valid LatencyRecord"),
        (lambda data: b'{"kind": "latency", "series": ' + b"[" * 100_000, "is not valid JSON"),
    ],
    ids=["truncated", "empty", "not-utf8", "version", "field", "nested"],
)
def test_damaged_record_is_a_problem_and_the_rest_is_reported(
    run_folder: Path, damage: Callable[[bytes], bytes], told: str
) -> None:
    path = run_folder / "bench" / "latency.json"
    path.write_bytes(damage(path.read_bytes()))
    evidence = collect([run_folder])
    assert [problem.where for problem in evidence.problems] == ["bench/latency.json"]
    assert told in evidence.problems[0].text
    assert len(evidence.of(TrainingRecord)) == 6
    assert "bench/latency.json" in build_report(run_folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        (TRAINING, '"test_correct": 344', '"test_correct": 300', "is not 300 of 360"),
        (TRAINING, '"test_total": 360', '"test_total": 0', "344 of 0"),
    ],
)
def test_record_that_contradicts_itself_is_not_used(
    run_folder: Path, edited: Callable[[str, str, str], Path], name: str, old: str, new: str, told: str
) -> None:
    edited(name, old, new)
    evidence = collect([run_folder])
    assert [problem.where for problem in evidence.problems] == [name]
    assert told in evidence.problems[0].text
    assert name not in {source.path for source in evidence.sources}


@pytest.mark.parametrize("rows", ["failed", "none"])
def test_verdict_that_passed_without_reason_is_not_used(run_folder: Path, maker: Any, rows: str) -> None:
    failed = maker.verdict("mish", "fail")
    wrong = msgspec.structs.replace(failed, outcome="pass", rows=failed.rows if rows == "failed" else ())
    wrong.write(run_folder / "mobilenet_v2-mish" / "verify" / "verdict.json")
    told = "(0 pass, 60 fail, 0 blind) say fail" if rows == "failed" else "nothing was compared"
    assert told in collect([run_folder]).problems[0].text


def test_median_that_is_not_the_samples_is_not_used(run_folder: Path) -> None:
    path = run_folder / "bench" / "latency.json"
    start, _, rest = path.read_text().partition('"median_ns": ')
    path.write_text(f'{start}"median_ns": 1000.0{rest[rest.index(",") :]}')
    assert "the samples' median is" in collect([run_folder]).problems[0].text


def test_link_out_of_the_folder_is_not_followed(run_folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (run_folder / "bench" / "latency.json").rename(outside / "latency.json")
    (run_folder / "bench" / "latency.json").symlink_to(outside / "latency.json")
    (run_folder / "more").symlink_to(outside)
    evidence = collect([run_folder])
    assert evidence.of(LatencyRecord) == []
    assert {problem.where for problem in evidence.problems} == {"bench/latency.json", "more"}
    assert all("symbolic link out of the folder" in problem.text for problem in evidence.problems)


def test_copy_is_used_once(run_folder: Path) -> None:
    (run_folder / "zz").mkdir()
    (run_folder / "zz" / "latency.json").write_bytes((run_folder / "bench" / "latency.json").read_bytes())
    evidence = collect([run_folder])
    assert len(evidence.of(LatencyRecord)) == 1
    assert "is a copy of bench/latency.json" in evidence.problems[0].text


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_FILES", 3), ("MAX_TOTAL_BYTES", 10_000), ("MAX_ENTRIES", 4)]
)
def test_reading_is_bounded(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(collecting, limit, value)
    evidence = collect([run_folder])
    assert len(evidence.sources) < 25
    assert any("not read" in problem.text for problem in evidence.problems)


def test_file_that_is_too_large_is_a_problem(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MAX_FILE_BYTES", 10_000)
    evidence = collect([run_folder])
    assert "more than the 10,000 allowed" in evidence.problems[0].text
    assert len(evidence.of(TrainingRecord)) == 6


def test_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r'nothing to report in .*: looked for \*\.json files with a "kind" of training, ex',
    ):
        build_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere does not exist: give a run folder or record files"):
        build_report(tmp_path / "nowhere")
