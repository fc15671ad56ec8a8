"""Records are joined by hash, else by label; what does not fit together is said."""

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeacts.records import LatencyRecord, TrainingRecord
from edgeacts.report.answer import headline, sentences
from edgeacts.report.evidence import collect
from edgeacts.report.front import front_plots
from edgeacts.report.joining import join
from edgeacts.report.palette import looks
from edgeacts.report.variants import settings_of, short_names


def test_whole_run_gives_one_variant_each(run_folder: Path) -> None:
    evidence = collect([run_folder])
    variants = join(evidence)
    assert len(variants) == 6
    assert evidence.problems == []
    for variant in variants:
        assert variant.training is not None
        assert [len(found) for found in (variant.exports, variant.verdicts, variant.timings)] == [1, 2, 2]
    assert [setting.name for setting in settings_of(variants)] == [
        "ONNX Runtime, 1 thread",
        "OpenVINO, 1 thread",
    ]


def test_hash_joins_what_labels_do_not(run_folder: Path) -> None:
    path = run_folder / "bench" / "latency.json"
    record = LatencyRecord.read(path)
    renamed = tuple(
        msgspec.structs.replace(series, label=f"model {i}") for i, series in enumerate(record.series)
    )
    msgspec.structs.replace(record, series=renamed).write(path)
    shutil.move(run_folder / "mobilenet_v2-mish" / "export", run_folder / "elsewhere")
    variants = join(collect([run_folder]))
    assert len(variants) == 6
    assert all(len(variant.timings) == 2 for variant in variants)


def test_label_joins_when_there_is_no_export(run_folder: Path) -> None:
    for path in run_folder.glob("*/export"):
        shutil.rmtree(path)
    variants = join(collect([run_folder]))
    assert [len(variant.timings) for variant in variants] == [2] * 6


def test_timing_of_another_file_than_the_exported_is_a_problem(run_folder: Path) -> None:
    path = run_folder / "bench" / "latency.json"
    record = LatencyRecord.read(path)
    stale = msgspec.structs.replace(record.series[0], model_sha256="0" * 64)
    msgspec.structs.replace(record, series=(stale, *record.series[1:])).write(path)
    evidence = collect([run_folder])
    join(evidence)
    assert len(evidence.problems) == 1
    assert (
        "mobilenet_v2-relu on ONNX Runtime timed mobilenet_v2-relu.onnx (00000000)"
        in evidence.problems[0].text
    )
    assert "run bench again" in evidence.problems[0].text


def test_export_of_another_checkpoint_is_a_problem(run_folder: Path) -> None:
    path = run_folder / "mobilenet_v2-nish" / "train" / "training.json"
    msgspec.structs.replace(TrainingRecord.read(path), checkpoint_sha256="1" * 64).write(path)
    evidence = collect([run_folder])
    variants = join(evidence)
    assert len(variants) == 6
    assert any(
        "describes the checkpoint 11111111: export again" in problem.text for problem in evidence.problems
    )


def test_two_trainings_of_one_name_stay_two(run_folder: Path) -> None:
    path = run_folder / "mobilenet_v2-relu" / "train" / "training.json"
    again = msgspec.structs.replace(TrainingRecord.read(path), seed=1, checkpoint_sha256="2" * 64)
    again.write(run_folder / "seed1" / "training.json")
    variants = join(collect([run_folder]))
    labels = [variant.label for variant in variants if variant.activation == "relu"]
    assert labels == [
        "mobilenet_v2-relu (mobilenet_v2-relu/train/training.json)",
        "mobilenet_v2-relu (seed1/training.json)",
    ]
    assert len({variant.look for variant in variants if variant.activation == "relu"}) == 1
    assert short_names(variants) == {variant.label: variant.label for variant in variants}


def test_any_onnx_file_that_was_timed_is_a_variant(tmp_path: Path, maker: Any) -> None:
    series = (
        maker.series("squeezenet-mish-int8", "onnxruntime", 1e6, "a" * 64),
        maker.series("other-model", "onnxruntime", 1.5e6, "b" * 64, 1e6),
    )
    msgspec.structs.replace(maker.latency(), series=series, noise_floors=()).write(tmp_path / "latency.json")
    first, second = join(collect([tmp_path]), ("mish",))
    assert (first.activation, first.model, first.look) == ("mish", "squeezenet", "mish")
    assert (second.activation, second.look) == ("", "other-model")


def test_models_are_told_apart_by_filling_and_settings_by_plots(run_folder: Path, maker: Any) -> None:
    maker.model = "squeezenet1_1"
    maker.training("relu").write(run_folder / "squeezenet1_1-relu" / "train" / "training.json")
    maker.latency(("relu",)).write(run_folder / "bench" / "other.json")
    maker.latency(("relu",), threads=2).write(run_folder / "bench" / "threads2.json")
    variants = join(collect([run_folder]))
    settings = settings_of(variants)
    threads = ("1 thread", "2 threads")
    names = [f"{runtime}, {count}" for runtime in ("ONNX Runtime", "OpenVINO") for count in threads]
    assert [setting.name for setting in settings] == names
    plots = front_plots(variants, looks(dict.fromkeys(v.look for v in variants)), settings)
    assert [plot.title for plot in plots] == ["All runtimes together", *names]
    drawn = [[trace for trace in plot.figure.data if "activation" in trace.meta] for plot in plots]
    assert [len(traces) for traces in drawn] == [16, 7, 1, 7, 1]
    assert sum(trace.marker.symbol.endswith("-open") for trace in drawn[1]) == 1
    assert "Filled: mobilenet_v2; hollow: squeezenet1_1." in plots[1].note


# ---- the answer


def answer_of(folder: Path) -> tuple[str, list[str]]:
    variants = join(collect([folder]))
    return headline(variants, settings_of(variants)), sentences(variants, settings_of(variants))


def test_overlapping_intervals_are_not_ranked(run_folder: Path) -> None:
    head, told = answer_of(run_folder)
    assert head.startswith(
        "nish is the most accurate (97.78 %), but this run cannot tell it apart from relu, which takes 1.8"
    )
    assert "the intervals of all others reach into its own, so this run does not rank them" in told[0]
    assert "On ONNX Runtime, 1 thread, relu is the fastest" in told[1]
    assert "mish the slowest" in told[1]
    assert re.search(r"\(14\.\d\d × relu, 14\.\d\d to 14\.\d\d ×\)", told[1])
    assert told[-1] == "Parity passed in all 720 comparisons of 6 variants."


def test_clear_winner_is_called_one(tmp_path: Path, maker: Any) -> None:
    for activation, correct in (("relu", 300), ("mish", 355)):
        maker.training(activation, correct).write(tmp_path / activation / "training.json")
    maker.latency(("relu", "mish")).write(tmp_path / "latency.json")
    head, told = answer_of(tmp_path)
    assert head.startswith("mish is the most accurate (98.61 %) and takes 27.")
    assert "cannot" not in head
    assert "the intervals of all others end below its own" in told[0]
    assert told[-1] == "Nothing was verified: there is no verdict among these files."


def test_failed_parity_rules_a_variant_out(run_folder: Path, maker: Any) -> None:
    maker.verdict("nish", "fail").write(run_folder / "mobilenet_v2-nish" / "verify" / "verdict.json")
    head, told = answer_of(run_folder)
    assert head.startswith("tanhexp is the most accurate")
    assert told[-1] == "Parity failed for nish: do not deploy."


def test_when_all_failed_parity_that_is_the_headline(tmp_path: Path, maker: Any) -> None:
    maker.training("relu").write(tmp_path / "training.json")
    maker.verdict("relu", "fail").write(tmp_path / "verdict.json")
    maker.latency(("relu",)).write(tmp_path / "latency.json")
    assert answer_of(tmp_path)[0] == "Parity failed for relu: do not deploy."


@pytest.mark.parametrize(("correct", "reaches"), [(340, True), (250, False)])
def test_tie_follows_the_intervals(tmp_path: Path, maker: Any, correct: int, reaches: bool) -> None:
    for activation, right in (("relu", correct), ("mish", 346)):
        maker.training(activation, right).write(tmp_path / activation / "training.json")
    assert ("does not rank" in answer_of(tmp_path)[1][0]) is reaches
