"""Records from elsewhere are not believed: each way to contradict itself is found, and sound records pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import quantized_records as quantized
import timed_records as timed
from run_records import TWO

from edgeacts.records import Record
from edgeacts.report.consistency import MAX_TEXT, contradiction
from edgeacts.report.evidence import KINDS, collect


def change(record: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(record, **changes)


def in_first(field: str, **changes: Any) -> Callable[[Any], Any]:
    """Changes the first of the record's `field`."""

    def apply(record: Any) -> Any:
        first, *rest = getattr(record, field)
        return change(record, **{field: (change(first, **changes), *rest)})

    return apply


def in_last(field: str, **changes: Any) -> Callable[[Any], Any]:
    def apply(record: Any) -> Any:
        *rest, last = getattr(record, field)
        return change(record, **{field: (*rest, change(last, **changes))})

    return apply


def sound(maker: Any) -> dict[str, Record]:
    """A record of every kind."""
    return {
        "training": maker.training("relu"),
        "export": maker.export("relu"),
        "verdict": maker.verdict("relu"),
        "latency": maker.latency(TWO),
        "divergence": maker.divergence("relu"),
        "executed": maker.executed("relu"),
        "conformance": maker.conformance(names=TWO),
        **{kind: maker.mode(kind, TWO) for kind in timed.MAKERS},
        **maker.int8("mish"),
    }


def test_every_kind_has_a_sound_example_and_it_is_believed(maker: Any, tmp_path: Path) -> None:
    records = sound(maker)
    assert set(records) == set(KINDS)
    for kind, record in records.items():
        assert contradiction(record) == "", kind
        record.write(tmp_path / f"{kind}.json")
    evidence = collect([tmp_path])
    assert {source.kind for source in evidence.sources} == set(KINDS)
    assert evidence.problems == []


LIES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("latency", in_first("series", samples_ns=()), "has no samples"),
    ("latency", in_first("series", starts_ns=(1, 2, 3)), "120 samples, but 3 starts"),
    ("latency", lambda r: in_first("series", starts_ns=r.series[0].starts_ns[::-1])(r), "not in the order of their starts"),
    ("latency", lambda r: in_first("series", samples_ns=(-1, *r.series[0].samples_ns[1:]))(r), "no time of an inference"),
    ("latency", lambda r: in_first("series", block_of=(24, *r.series[0].block_of[1:]))(r), "not among the 24 of the record"),
    ("latency", in_first("series", block_of=(0,)), "120 samples, but 1 blocks for them"),
    ("latency", in_first("series", median_ns=1000.0), "the samples' median is"),
    ("latency", in_first("series", quantiles_ns={"p90": 1e9}), "the samples' p90 is between"),
    ("latency", in_first("series", quantiles_ns={"best": 1.0}), "'best' is no quantile"),
    ("latency", in_first("series", ratio=-1.0), "ratio -1 with an interval from 1 to 1"),
    ("latency", in_first("series", ratio_low=1.2), "ratio 1 with an interval from 1.2 to 1"),
    ("latency", in_first("series", comparison="faster"), "is the first there, the baseline"),
    ("latency", in_last("series", comparison="faster"), "is called faster, but its ratio may be"),
    ("latency", in_last("series", ratio=1.02, ratio_low=1.01, ratio_high=1.03), "the medians' ratio is 1.4"),
    ("latency", lambda r: change(r, confidence=1.5), "the confidence is 1.5"),
    ("latency", in_first("blocks", steal_share=7.0), "7 is no share of the machine's time"),
    ("latency", in_first("blocks", start_ns=-5), "block 0: process 0 at -5 ns"),
    ("latency", in_first("noise_floors", runtime="tensorrt"), "A/A on tensorrt: nothing else was timed there"),
    ("latency", in_first("noise_floors", ratio_low=0.0), "A/A on onnxruntime: ratio"),
    ("latency", in_first("noise_floors", samples_ns=()), "A/A on onnxruntime has no samples"),
    ("verdict", lambda r: change(r, rows=()), "it says pass, but nothing was compared"),
    ("verdict", in_first("rows", outcome="fail"), "it says pass, but its 60 comparisons (59 pass, 1 fail, 0 blind) say fail"),
    ("verdict", lambda r: change(r, rows=tuple(change(row, outcome="blind") for row in r.rows)), "it says pass, but its 60 comparisons (0 pass, 0 fail, 60 blind) say blind"),
    ("verdict", lambda r: change(in_first("rows", outcome="fail")(r), outcome="blind"), "it says blind, but its 60 comparisons (59 pass, 1 fail, 0 blind) say fail"),
    ("verdict", in_first("rows", relative_error=0.5, max_error=0.5 * 4.1), "passed with an error of 0.5, but 0.0001 is allowed"),
    ("verdict", in_first("rows", relative_error=None), "passed without an error that is finite"),
    ("verdict", in_first("rows", mean_error=1.0), "the largest error"),
    ("verdict", in_first("rows", max_error=4.1e-9, p999_error=0.0, mean_error=0.0), "4.1e-09 of 4.1 is not"),
    ("verdict", in_first("rows", movement=-1.0), "an error is negative"),
    ("verdict", in_first("rows", predictions_differ=400), "400 of 360 predictions changed"),
    ("verdict", in_first("rows", predictions_differ=180), "does not hold 180 of 360"),
    ("verdict", in_first("rows", predictions_total=None), "changed predictions without their number"),
    ("verdict", in_first("budgets", allowed=-1.0), "has a negative share"),
    ("verdict", in_first("budgets", noise=1.0), "the noise 1 is not its largest source, 3.25e-06"),
    ("divergence", lambda r: change(r, first=None), "it says that no layer is beyond its budget, but row 6 is"),
    ("divergence", lambda r: change(r, first=0), "it says that row 1 is the first beyond its budget, but that one is not"),
    ("conformance", in_first("rows", scaled_error=1.0), "passed with an error of 1, but 5e-07 is allowed"),
    ("conformance", in_first("rows", allowed=None), "passed without an error and a bound"),
    ("conformance", in_first("rows", max_ulp=1e-9), "is below its mean or 99.9th percentile"),
    ("conformance", in_first("rows", not_finite=-1), "a count is negative"),
    ("cold", in_first("series", opening_ns=(1,)), "9 starts, 1 openings, 9 first runs"),
    ("cold", in_first("series", median_opening_ns=1.0), "the samples' median is"),
    ("cold", lambda r: in_first("series", opening_ns=r.series[0].to_first_result_ns,
                                median_opening_ns=r.series[0].median_to_first_result_ns)(r), "take longer than the whole"),
    ("paced", lambda r: change(r, rate_hz=0.0), "a rate of 0 a second"),
    ("paced", in_first("series", late=91), "91 of 90 frames late"),
    ("paced", in_first("series", busy_share=-0.1), "busy for -0.1 of the time"),
    ("sustained", in_first("series", window_runs=(1,)), "30 medians, 1 counts, 30 frequencies"),
    ("sustained", in_first("series", window_s=0.0), "has a window without a time"),
    ("sustained", in_first("series", drift=2.0), "drift 2 with an interval from 1.071"),
    ("throughput", in_first("series", window_items_per_s=()), "has no window with items"),
    ("throughput", in_first("series", items_per_s=1e6, items_per_s_high=2e6), "1e+06 items a second, but the windows have"),
    ("memory", in_first("series", open_resident_bytes=999_000_000), "the peak of 103,250,000 bytes is below"),
    ("memory", in_first("series", file_bytes=-1), "a size is negative"),
    ("profile", in_first("series", activation_share=0.9), "activations have 36.5% of the operators' time, not 103.0%"),
    ("profile", in_first("series", activations=0), "1 of 0 activations without an operator"),
    ("profile", in_first("series", total_ns=0.0), "a time that is none of an operator"),
    ("profile", lambda r: in_first("series", operators=r.series[0].operators * 2)(r), "shares add up to 2"),
    ("gate", lambda r: change(r, chosen=2), "try 2 of 2 is the chosen one"),
    ("gate", in_last("tries", drop=quantized.drop(60, 2)), "try 1 cannot tell, but drop 5.80 points"),
    ("gate", lambda r: in_last("tries", drop=change(r.kept.drop, gained=5))(r), "from 960 to 958 right, but 3 lost and 5 gained"),
    ("gate", lambda r: in_last("tries", drop=change(r.kept.drop, high=0.3))(r), "the counts give a drop of 0.20 points"),
    ("gate", lambda r: in_last("tries", drop=change(r.kept.drop, total=0))(r), "of 0 images right"),
    ("gate", in_first("tries", float_macs_share=1.5), "1.5 is no share of the multiply-adds"),
    ("gate", in_first("tries", size_bytes=0), "try 0: 0 bytes"),
    ("gate", lambda r: in_first("tries", latency=change(r.kept.latency, low=0.9))(r), "latency 0.63 with an interval from 0.9"),
    ("gate", lambda r: change(r, outcome="holds"), "it says that the accuracy holds, but the chosen try cannot tell"),
    ("gate", lambda r: change(r, strict=True), "it says 'cannot tell', but drop 0.20 points (-0.29 to 0.79) on 1,000 images is 'failed'"),
    ("gate", lambda r: change(r, images_needed=765), "it says that 765 images would tell, but 1,130 would"),
    ("gate", lambda r: change(r, passed=False), "it says 'failed', but drop 0.20 points (-0.29 to 0.79) on 1,000 images is 'cannot tell'"),
    ("saturation", lambda r: change(r, exact_correct=999), "999 and 946 of 1000 right is not what the loss says"),
    ("saturation", lambda r: change(r, differing_outputs=641), "641 of 640 outputs differ"),
    ("saturation", in_first("layers", saturated=80_001), "80001 of 80000 pairs saturate"),
    ("quantization", lambda r: change(r, float_size_bytes=0), "the float file 0"),
    ("quantization", lambda r: change(r, held_out=257), "257 of 256 images were held out"),
    ("quantization", lambda r: change(r, exact=change(r.exact, agreement=1.2)), "1.2 is no share of images"),
    ("quantization", in_first("layers", noise_share=-0.1), "node_stem: shares of -0.1"),
    ("qat", lambda r: change(r, after=quantized.drop(6, 4, reference=950)), "were not compared with the same answers"),
    ("qat", lambda r: change(r, more=10_000), "7 + 10000 of 10000 values differ"),
    ("openvino-quantization", lambda r: change(r, chosen="another"), "'another' is the chosen one, but was not tried"),
    ("openvino-quantization", lambda r: change(r, held_out=0), "0 images judged"),
    ("openvino-quantization", in_first("candidates", accuracy=1.5), "accuracy 1.5"),
    ("openvino-quantization", in_first("candidates", drop=change(quantized.drop(5, 2), lost=-1)), "-1 lost"),
    ("openvino-quantization", in_first("candidates", drop=change(quantized.drop(5, 2), high=9.0)), "the counts give a drop of"),
    ("openvino-quantization", lambda r: in_first("candidates", time=change(r.kept.time, low=0.9))(r), "ratio 0.81 with an interval from 0.9"),
    ("training", lambda r: change(r, model="x" * (MAX_TEXT + 1)), "a text of 20,001 characters; at most 20,000"),
    ("training", lambda r: change(r, parameter_count=10**30), "an integer of 100 bits"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "lie", "told"), LIES, ids=[f"{kind}: {told}" for kind, _, told in LIES])
def test_contradiction_is_found_and_the_file_not_used(
    maker: Any, tmp_path: Path, kind: str, lie: Callable[[Any], Any], told: str
) -> None:
    wrong = lie(sound(maker)[kind])
    assert told in contradiction(wrong)
    wrong.write(tmp_path / "wrong.json")
    evidence = collect([tmp_path])
    assert evidence.records == []
    assert [problem.where for problem in evidence.problems] == ["wrong.json"]
    assert "contradicts itself and is not used" in evidence.problems[0].text


def test_every_check_has_a_lie() -> None:
    from edgeacts.report.consistency import _CHECKS

    lied = {kind for kind, _, _ in LIES}
    assert {kind for kind, record in KINDS.items() if record in _CHECKS} == lied


@pytest.mark.parametrize(
    ("kind", "verb"),
    [("verdict", "verify"), ("latency", "bench"), ("conformance", "conformance"), ("cold", "bench")],
)
def test_record_of_an_older_version_says_the_cure(maker: Any, tmp_path: Path, kind: str, verb: str) -> None:
    record = sound(maker)[kind]
    version = record.version  # type: ignore[attr-defined]
    old = change(record, version=version - 1)
    old.write(tmp_path / "old.json")
    evidence = collect([tmp_path])
    name = type(record).__name__
    told = f"is a {name} of version {version - 1}; this edgeacts reads {version}: run edgeacts {verb} again"
    assert evidence.problems[0].text == told


def test_record_of_a_newer_version_says_the_cure(maker: Any, tmp_path: Path) -> None:
    change(maker.verdict("relu"), version=3).write(tmp_path / "new.json")
    assert collect([tmp_path]).problems[0].text.endswith("this edgeacts reads 2: update edgeacts")
