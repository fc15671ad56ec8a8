"""The gate in pairs: holds at once, needs layers, cannot hold; what cannot be told; in which order layers go back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper

from edgeacts.errors import UsageError
from edgeacts.quantization.gate import Candidate, GateResult, GateSettings, candidates_of, gate
from edgeacts.quantization.gate_sensitivity import measure_sensitivities
from edgeacts.quantization.gate_table import format_gate
from edgeacts.records import GateRecord, GateTry, LatencyRatio, PairedDrop

IMAGES = 2000
LABELS = np.arange(IMAGES) % 2
SCORES = np.where(LABELS, 1.0, -1.0).astype(np.float32)


def model(wrong: int, padding: int = 0) -> onnx.ModelProto:
    """Images are [N, 2, 1, 1]: (score, number). The model errs on images whose number is below `wrong`."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Split", ["flat"], ["score", "number"], axis=1, num_outputs=2),
        helper.make_node("Less", ["number", "limit"], ["errs"]),
        helper.make_node("Neg", ["score"], ["against"]),
        helper.make_node("Where", ["errs", "against", "score"], ["right"]),
        helper.make_node("Neg", ["right"], ["other"]),
        helper.make_node("Concat", ["other", "right"], ["logits"], axis=1),
    ]
    constants = [numpy_helper.from_array(np.float32(wrong), "limit")]
    constants += [numpy_helper.from_array(np.zeros(padding, np.uint8), "padding")] if padding else []
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 2, 1, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])], constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def images(count: int = IMAGES) -> np.ndarray:
    return np.stack([SCORES[:count], np.arange(count, dtype=np.float32)], 1)[:, :, None, None]


REFERENCE = model(0, padding=1000)
LAYERS = [
    Candidate("stem", frozenset({"stem", "stem_act"}), 0.5, 1000),
    Candidate("wide", frozenset({"wide"}), 0.4, 100_000),
    Candidate("head", frozenset({"head"}), 0.3, 100),
    Candidate("free", frozenset({"free"}), 0.001, 1),
]


def builder(
    errors: dict[str, int], built: list[frozenset[str]]
) -> Callable[[frozenset[str]], onnx.ModelProto]:
    """Each layer in 8 bits adds its errors."""

    def build(nodes: frozenset[str]) -> onnx.ModelProto:
        built.append(nodes)
        return model(
            sum(count for name, count in errors.items() if name not in nodes), padding=100 * len(nodes)
        )

    return build


def run(
    errors: dict[str, int], settings: GateSettings | None = None, count: int = IMAGES
) -> tuple[GateResult, list[frozenset[str]]]:
    built: list[frozenset[str]] = []
    result = gate(builder(errors, built), REFERENCE, images(count), LABELS[:count], LAYERS, settings)
    return result, built


def test_it_holds_at_once() -> None:
    result, built = run({"stem": 1})
    assert built == [frozenset()]
    assert result.record.passed
    assert result.record.outcome == "holds"
    assert result.float_nodes == frozenset()
    assert result.record.summary.startswith("the drop is at most 0.5 points: drop 0.05 points (")
    assert "on 2,000 images with 0 layers in float" in result.record.summary


def test_layers_go_back_until_it_holds_the_most_help_for_its_cost_first() -> None:
    result, built = run({"stem": 30, "head": 20, "wide": 5})
    assert built == [frozenset(), frozenset({"head"}), frozenset({"head", "stem", "stem_act"})]
    assert result.record.order == ("head", "stem", "wide", "free")
    assert [t.returned for t in result.record.tries] == ["", "head", "stem"]
    assert [t.drop.lost for t in result.record.tries] == [55, 35, 5]
    assert result.record.passed
    assert result.record.chosen == 2
    assert result.record.tries[2].float_layers == ("head", "stem")
    assert result.record.tries[2].float_macs_share == pytest.approx(1100 / 101_101)
    assert result.float_nodes == {"head", "stem", "stem_act"}
    assert result.record.tries[2].size_bytes == result.model.ByteSize()


def test_a_layer_that_hardly_matters_waits_however_cheap_it_is() -> None:
    cheap, dear = LAYERS[3], LAYERS[0]
    assert cheap.sensitivity / cheap.cost > dear.sensitivity / dear.cost
    assert run({"stem": 900})[0].record.order[-1] == "free"


def test_moving_elements_counts_as_cost() -> None:
    plain = Candidate("a", frozenset({"a"}), 1.0, 1000)
    moved = Candidate("b", frozenset({"b"}), 1.0, 1000, elements=10)
    assert moved.cost == plain.cost + 320


def test_it_cannot_hold() -> None:
    result, built = run({"somewhere else": 100, "head": 4})
    assert len(built) == 5
    assert not result.record.passed
    assert result.record.outcome == "fails"
    assert result.float_nodes == frozenset().union(*[c.nodes for c in LAYERS])
    assert result.record.summary.startswith(
        "after 5 tries, the drop is not within 0.5 points: drop 5.00 points ("
    )
    assert result.record.summary.endswith("fine-tune it with --qat, or allow a larger --max-drop")


def test_it_stops_after_so_many_layers() -> None:
    result, built = run({"somewhere else": 100}, GateSettings(max_layers=1))
    assert built == [frozenset(), frozenset({"head"})]
    assert not result.record.passed


@pytest.mark.parametrize(("lost", "needed"), [(1, "1,100"), (2, "1,500"), (3, "1,900")])
def test_few_images_more_or_less_send_no_layer_back(lost: int, needed: str) -> None:
    """Two of 300 images are 0.67 points: more than the limit, and no evidence."""
    result, built = run({"head": lost}, count=300)
    assert len(built) == 1
    assert result.record.passed
    assert (result.record.verdict, result.record.outcome) == ("cannot tell", "cannot tell")
    assert result.record.summary.startswith(
        f"300 images cannot tell whether the drop is at most 0.5 points, about {needed} are needed; nothing shows a loss "
        f"beyond the limit, so it is handed over: drop {lost / 3:.2f} points ("
    )


def test_few_images_that_prove_a_loss_send_layers_back_until_they_do_not() -> None:
    result, built = run({"head": 5, "stem": 1}, count=300)
    assert result.record.tries[0].verdict == "fails"
    assert built == [frozenset(), frozenset({"head"})]
    assert result.record.verdict == "cannot tell"
    assert result.record.kept.float_layers == ("head",)


def test_a_drop_seen_beyond_the_limit_on_enough_images_is_repaired_though_the_limit_is_near() -> None:
    result, built = run({"head": 12}, count=2000)
    first = result.record.tries[0]
    assert first.verdict == "cannot tell"
    assert first.drop.low > 0
    assert built == [frozenset(), frozenset({"head"})]
    assert result.record.verdict == "held"


def test_strict_wants_a_proof() -> None:
    result, built = run({"stem": 6, "head": 3}, GateSettings(strict=True))
    assert result.record.tries[0].verdict == "cannot tell"
    assert len(built) == 3
    assert result.record.outcome == "holds"


def test_strict_gives_up_at_once_where_no_proof_is_possible() -> None:
    result, built = run({"stem": 1}, GateSettings(strict=True), count=300)
    assert len(built) == 1
    assert not result.record.passed
    assert result.record.summary.startswith(
        "300 images cannot prove a drop of at most 0.5 points, at least 765 are needed"
    )


def test_the_best_model_is_handed_back_not_the_last() -> None:
    """Going back to float can hurt: errors of layers may cancel."""
    built: list[frozenset[str]] = []

    def build(nodes: frozenset[str]) -> onnx.ModelProto:
        built.append(nodes)
        return model({0: 90, 1: 60, 3: 80, 4: 85, 5: 95}[len(nodes)])

    result = gate(build, REFERENCE, images(), LABELS, LAYERS)
    assert len(built) == 5
    assert result.record.chosen == 1
    assert result.float_nodes == {"head"}
    assert onnx.numpy_helper.to_array(result.model.graph.initializer[0]) == 60


def test_sensitivities_are_measured_only_if_layers_must_go_back() -> None:
    silent = [Candidate(c.name, c.nodes, 0.0, c.multiply_adds) for c in LAYERS]
    asked: list[int] = []

    def measure() -> dict[str, float]:
        asked.append(1)
        return {"wide": 1e6, "stem": 1.0}

    def errs(errors: dict[str, int]) -> GateRecord:
        build = builder(errors, [])
        return gate(build, REFERENCE, images(), LABELS, silent, measure=measure).record

    assert errs({"wide": 1}).passed
    assert asked == []
    record = errs({"wide": 30})
    assert asked == [1]
    assert record.order[0] == "wide"
    assert record.sensitivities == {"stem": 1.0, "wide": 1e6, "head": 0.0, "free": 0.0}
    assert [t.returned for t in record.tries] == ["", "wide"]


def test_layers_in_float_from_the_beginning_stay_there() -> None:
    built: list[frozenset[str]] = []
    result = gate(builder({"stem": 40}, built), REFERENCE, images(), LABELS, LAYERS, kept=frozenset({"head"}))
    assert built[0] == {"head"}
    assert result.record.tries[0].float_layers == ("head",)
    assert result.record.order == ("stem", "wide", "free")
    assert result.record.passed


def test_the_table_and_the_record(tmp_path: Path) -> None:
    seen: list[GateTry] = []
    result = gate(
        builder({"stem": 30, "head": 20}, []), REFERENCE, images(), LABELS, LAYERS,
        latency=lambda m: LatencyRatio(ratio=0.5, low=0.49, high=0.52), timed_on="a stopwatch", step=seen.append,
    )  # fmt: skip
    assert result.record.timed_on == "a stopwatch"
    assert tuple(seen) == result.record.tries
    lines = format_gate(result.record).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("in float  accuracy  drop, points")
    assert lines[1].startswith("0         97.50%")
    assert lines[1].endswith("0.50x ±0.02  fails")
    assert "MACs" not in lines[0]
    assert lines[3].startswith("+ stem    100.00%")
    assert lines[3].endswith("holds*")
    assert max(map(len, lines)) <= 80
    untimed = run({"stem": 1})[0].record
    assert "latency" not in format_gate(untimed)
    assert "MACs" in format_gate(untimed)
    assert (untimed.timed_on, untimed.tries[0].latency) == ("", None)
    result.record.write(tmp_path / "gate.json")
    assert GateRecord.read(tmp_path / "gate.json") == result.record


def test_the_table_of_long_names_and_numbers_fits_a_terminal() -> None:
    record = run({"stem": 1})[0].record
    drop = PairedDrop(
        total=1000, reference_correct=900, candidate_correct=700, lost=220, gained=20, drop=20.03, low=17.49, high=22.51
    )  # fmt: skip
    tried = replace(
        record.tries[0], returned="node_Conv_12345678", drop=drop, verdict="cannot tell",
        latency=LatencyRatio(ratio=1.25, low=1.11, high=1.31),
    )  # fmt: skip
    lines = format_gate(replace(record, tries=(tried,))).splitlines()
    assert lines[1].startswith("+ …_12345678")
    assert "1.25x ±0.14" in lines[1]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"max_drop": 0}, "max_drop 0: give points of accuracy, more than 0 and below 100"),
        ({"max_drop": float("nan")}, "max_drop nan"),
        ({"max_layers": -1}, "max_layers -1: give a number of at least 0"),
    ],
)
def test_settings_that_cannot_be(settings: dict, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        GateSettings(**settings)


def test_images_that_the_model_does_not_take() -> None:
    with pytest.raises(UsageError, match=r"does not run on images of shape \[2000, 2, 1\]"):
        gate(builder({}, []), REFERENCE, images()[..., 0], LABELS, LAYERS)


def test_measured_sensitivities_are_what_float_takes_away() -> None:
    errors = {"stem": 20, "head": 5}
    layers = {c.name: c.nodes for c in LAYERS}
    found = measure_sensitivities(builder(errors, []), REFERENCE, layers, images())
    assert found["stem"] > found["head"] > 0  # 20 and 5 of the 64 images
    assert found["wide"] == found["free"] == 0
    squared = 4.0  # each wrong image is off by 2 in both scores, whose variance is 1
    assert found["head"] == pytest.approx(squared * 5 / 64, rel=1e-5)
    stem = candidates_of(found, LAYERS, {"stem": 7})[0]
    assert (stem.name, stem.sensitivity, stem.elements) == ("stem", found["stem"], 7)
    assert candidates_of({}, LAYERS)[0].sensitivity == 0.0


def test_sensitivities_need_an_output_that_moves() -> None:
    with pytest.raises(UsageError, match="does not move with its input"):
        measure_sensitivities(builder({}, []), REFERENCE, {}, np.zeros((4, 2, 1, 1), np.float32))
