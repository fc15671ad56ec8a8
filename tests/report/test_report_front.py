"""The front, what is said of points off it, ratios with intervals, and verdict words that respect them."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeacts.records import LatencyRecord
from edgeacts.report.answer import apart, headline, sentences
from edgeacts.report.cells import latency_interval, times_interval
from edgeacts.report.cost import cost_plots
from edgeacts.report.evidence import collect
from edgeacts.report.front import front, front_plots, points, standing
from edgeacts.report.joining import join
from edgeacts.report.palette import looks
from edgeacts.report.variants import Variant, settings_of

ORT = "onnxruntime"


def understood(folder: Path) -> tuple[list[Variant], list[Any], dict[str, Any]]:
    variants = join(collect([folder]))
    return variants, settings_of(variants), looks(dict.fromkeys(v.look for v in variants))


def trained_and_timed(
    maker: Any,
    folder: Path,
    cases: dict[str, tuple[int, float]],
    spans: dict[str, tuple[float, float, str]] | None = None,
) -> Path:
    """Activation -> (correct, latency in ns); `spans` gives ratio intervals and verdicts of its own."""
    baseline = next(iter(cases.values()))[1]
    series = []
    for index, (activation, (correct, ns)) in enumerate(cases.items()):
        maker.training(activation, correct).write(folder / activation / "training.json")
        made = maker.series(f"{maker.model}-{activation}", ORT, ns, "a" * 64, baseline if index else 0.0)
        if spans and activation in spans:
            low, high, comparison = spans[activation]
            made = msgspec.structs.replace(
                made, ratio=(low + high) / 2, ratio_low=low, ratio_high=high, comparison=comparison
            )
        series.append(made)
    record = msgspec.structs.replace(maker.latency(("relu",)), series=tuple(series), noise_floors=())
    record.write(folder / "latency.json")
    return folder


def test_front_is_what_nothing_beats(tmp_path: Path, maker: Any) -> None:
    cases = {
        "relu": (300, 1e6),
        "mish": (340, 3e6),
        "nish": (290, 2e6),
        "sau": (355, 9e6),
        "tanhexp": (340, 4e6),
    }
    variants, settings, _ = understood(trained_and_timed(maker, tmp_path, cases))
    found = points(variants, settings)
    assert [point.name for point in front(found)] == ["relu", "mish", "sau"]
    told = {point.name: standing(point, found, front(found)) for point in found}
    assert told == {"relu": "on the front", "mish": "on the front", "sau": "on the front",
                    "nish": "cannot tell", "tanhexp": "cannot tell"}  # fmt: skip


def test_of_two_that_are_equally_fast_the_more_accurate_one_is_on_the_front(
    tmp_path: Path, maker: Any
) -> None:
    variants, settings, _ = understood(
        trained_and_timed(maker, tmp_path, {"relu": (300, 1e6), "mish": (340, 1e6), "nish": (350, 2e6)})
    )
    found = points(variants, settings)
    same = [dataclasses.replace(p, latency_ns=1e6) if p.name != "nish" else p for p in found]
    for order in (same, same[::-1]):
        assert [point.name for point in front(order)] == ["mish", "nish"]


def test_clearly_behind_needs_both_intervals(tmp_path: Path, maker: Any) -> None:
    variants, settings, _ = understood(
        trained_and_timed(maker, tmp_path, {"relu": (355, 1e6), "mish": (250, 3e6), "nish": (354, 3e6)})
    )
    found = points(variants, settings)
    told = {point.name: standing(point, found, front(found)) for point in found}
    assert told == {"relu": "on the front", "mish": "behind", "nish": "cannot tell"}


def test_a_point_that_is_no_choice_puts_no_other_behind(tmp_path: Path, maker: Any) -> None:
    folder = trained_and_timed(
        maker, tmp_path, {"relu": (320, 1e6), "mish": (358, 1e6), "nish": (312, 3e6), "sau": (250, 3e6)}
    )
    maker.verdict("mish", "fail").write(folder / "mish" / "verdict.json")
    variants, settings, _ = understood(folder)
    found = points(variants, settings)
    told = {point.name: standing(point, found, front(found)) for point in found}
    assert told == {
        "relu": "on the front", "mish": "parity failed", "nish": "cannot tell", "sau": "behind",
    }  # fmt: skip
    by_name = {point.name: point for point in found}
    assert by_name["nish"].clearly_behind(by_name["mish"])


def test_failed_parity_is_no_choice(tmp_path: Path, maker: Any) -> None:
    folder = trained_and_timed(maker, tmp_path, {"relu": (300, 1e6), "mish": (340, 3e6)})
    maker.verdict("mish", "fail").write(folder / "mish" / "verdict.json")
    variants, settings, colours = understood(folder)
    found = points(variants, settings)
    assert [point.name for point in front(found)] == ["relu"]
    rows = front_plots(variants, colours, settings)[0].table.rows
    assert [(row[0].text, row[9].text, row[9].tone) for row in rows] == [
        ("mobilenet_v2-relu", "on the front", "good"),
        ("mobilenet_v2-mish", "parity failed", "bad"),
    ]


def test_points_carry_both_intervals_and_their_numbers(whole_run: Path) -> None:
    variants, settings, colours = understood(whole_run)
    plots = front_plots(variants, colours, settings)
    assert [plot.name for plot in plots] == ["front", "tradeoff-0", "tradeoff-1"]
    for point in points(variants, settings):
        trace = next(
            t for t in plots[0].figure.data
            if t.meta.get("activation") == point.variant.look and t.meta["setting"] == point.timing.setting.name
        )  # fmt: skip
        low, high = latency_interval(point.timing.series)
        assert trace.x == (point.latency_ns / 1e6,)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(low / 1e6)
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(high / 1e6)
        assert trace.y[0] - trace.error_y.arrayminus[0] == pytest.approx(point.accuracy_span[0])
        assert trace.y[0] + trace.error_y.array[0] == pytest.approx(point.accuracy_span[1])
    table = plots[0].table
    assert len(table.rows) == 12
    assert [f.key for f in plots[0].filters] == ["setting"]
    row = next(r for r in table.rows if r[0].text == "mobilenet_v2-mish" and r[1].text.startswith("OpenVINO"))
    timing = next(
        t for v in variants if v.activation == "mish" for t in v.timings if t.setting.runtime == "openvino"
    )
    assert (row[5].value, row[6].span) == (timing.series.median_ns, latency_interval(timing.series))
    assert row[7].note == "slower"
    assert row[8].text == "0 of 360"


def test_the_front_is_a_dotted_stair_and_alone_named_where_runtimes_share_a_plot(whole_run: Path) -> None:
    variants, settings, colours = understood(whole_run)
    found = points(variants, settings)
    best = front(found)
    plot = front_plots(variants, colours, settings)[0]
    (line,) = [t for t in plot.figure.data if t.meta.get("front")]
    assert line.x == tuple(point.latency_ns / 1e6 for point in best)
    assert line.y == tuple(point.accuracy for point in best)
    assert (line.line.shape, line.line.dash) == ("hv", "dot")
    drawn = [t for t in plot.figure.data if "activation" in t.meta]
    named = [(t.meta["activation"], t.meta["setting"]) for t in drawn if t.text[0]]
    assert named
    assert set(named) <= {(p.variant.look, p.timing.setting.name) for p in best}
    first, second = (setting.name for setting in settings)
    open_in = {
        name: {t.marker.symbol.endswith("-open") for t in drawn if t.meta["setting"] == name}
        for name in (first, second)
    }
    assert open_in == {first: {False}, second: {True}}
    assert f"Filled: {first}; hollow: {second}." in plot.note


def test_precisions_and_models_are_points_and_filters_of_their_own(run_folder: Path, maker: Any) -> None:
    path = run_folder / "bench" / "latency.json"
    record = LatencyRecord.read(path)
    half = [
        msgspec.structs.replace(s, executed={"precision": "bf16"}, comparison="slower", ratio=1.2, ratio_low=1.1,
                                ratio_high=1.6) if s.comparison == "baseline" else s
        for s in record.series[6:7]
    ]  # fmt: skip
    more = msgspec.structs.replace(record, series=(*record.series, *half))
    more.write(path)
    maker.model = "squeezenet1_1"
    maker.training("relu").write(run_folder / "squeezenet1_1-relu" / "train" / "training.json")
    maker.latency(("relu",)).write(run_folder / "bench" / "other.json")
    variants, settings, colours = understood(run_folder)
    plot = front_plots(variants, colours, settings)[0]
    choices = {choice.key: choice.values for choice in plot.filters}
    assert choices["model"] == ("mobilenet_v2", "squeezenet1_1")
    assert choices["precision"] == ("f32", "bf16")
    names = [point.name for point in points(variants, settings)]
    assert "mobilenet_v2-relu bf16" in names
    assert "mobilenet_v2-relu f32" in names


def test_cost_shows_ratio_interval_verdict_and_noise_floor(whole_run: Path) -> None:
    variants, settings, colours = understood(whole_run)
    record = LatencyRecord.read(whole_run / "bench" / "latency.json")
    plot = cost_plots(variants, colours, settings)[0]
    expected = {s.label: s for s in record.series if s.runtime == ORT}
    assert len(plot.table.rows) == 6
    for row in plot.table.rows:
        series = expected[f"mobilenet_v2-{row[0].text}"]
        assert (row[1].value, row[2].span) == (series.ratio, (series.ratio_low, series.ratio_high))
        assert row[3].text == series.comparison
        assert row[4].text == "mobilenet_v2-relu"
        assert row[2].text == times_interval(series.ratio_low, series.ratio_high)
    band = next(trace for trace in plot.figure.data if trace.fill == "toself")
    assert set(band.x) == {0.991, 1.012}
    dots = {t.meta["activation"]: t for t in plot.figure.data if t.meta}
    mish = expected["mobilenet_v2-mish"]
    assert dots["mish"].x[0] + dots["mish"].error_x.array[0] == pytest.approx(mish.ratio_high)


def test_cannot_tell_is_drawn_hollow_and_said(tmp_path: Path, maker: Any) -> None:
    spans = {"mish": (0.97, 1.05, "cannot tell"), "nish": (1.9, 2.1, "slower")}
    folder = trained_and_timed(
        maker, tmp_path, {"relu": (340, 1e6), "mish": (350, 1.01e6), "nish": (341, 2e6)}, spans
    )
    variants, settings, colours = understood(folder)
    plot = cost_plots(variants, colours, settings)[0]
    symbols = {t.meta["activation"]: t.marker.symbol for t in plot.figure.data if t.meta}
    assert symbols["mish"].endswith("-open")
    assert not symbols["nish"].endswith("-open")
    told = sentences(variants, settings)
    assert "this run cannot tell mish apart from it; nish the slowest" in told[1] or (
        "this run cannot tell relu apart from it; nish the slowest" in told[1]
    )
    assert headline(variants, settings).endswith(
        "of those it cannot be told apart from, none is clearly faster."
    )


def test_without_a_clear_winner_nothing_is_called_the_slowest(tmp_path: Path, maker: Any) -> None:
    spans = {"mish": (0.97, 1.05, "cannot tell")}
    folder = trained_and_timed(maker, tmp_path, {"relu": (340, 1e6), "mish": (350, 1.01e6)}, spans)
    variants, settings, _ = understood(folder)
    told = sentences(variants, settings)[1]
    assert "but this run cannot tell the others (" in told
    assert "slowest" not in told


def test_latencies_of_two_files_are_compared_by_their_own_intervals(tmp_path: Path, maker: Any) -> None:
    for name, ns in (("a", 1e6), ("b", 1.005e6), ("c", 5e6)):
        series = (maker.series(f"net-{name}", ORT, ns, name * 64),)
        msgspec.structs.replace(maker.latency(), series=series, noise_floors=()).write(
            tmp_path / f"{name}.json"
        )
    a, b, c = (variant.timings[0] for variant in join(collect([tmp_path])))
    assert [apart(a, b), apart(a, c), apart(b, c)] == [False, True, True]
