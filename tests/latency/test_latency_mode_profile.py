"""Profiles folded back onto layers: every activation is accounted for, whatever the runtime made of it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from foreign_network import FOREIGN_ACTIVATIONS
from onnx import parser

from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.latency import format_profile, profile
from edgeacts.latency.profiling import Layers, fold
from edgeacts.records import OperatorTime, ProfileRecord, ProfileSeries
from edgeacts.runtimes import open_runtime
from edgeacts.runtimes.ort_profile import read_trace, trace_session
from edgeacts.runtimes.profile_base import ExecutedNode

RUNTIMES = ("onnxruntime", "accelerated", "openvino")


def series(path: Path, runtime: str) -> ProfileSeries:
    (one,) = profile([path], runtimes=[runtime], repeats=4).series
    return one


def carried(one: ProfileSeries) -> dict[str, list[OperatorTime]]:
    """Layer -> the operators that carry it out."""
    found: dict[str, list[OperatorTime]] = {}
    for operator in one.operators:
        for layer in operator.layers:
            found.setdefault(layer, []).append(operator)
    return found


def check_sums(one: ProfileSeries) -> None:
    assert one.total_ns == pytest.approx(sum(o.duration_ns for o in one.operators))
    assert sum(o.share for o in one.operators) == pytest.approx(1)
    others = sum(o.share for o in one.operators if not o.activation)
    assert one.activation_share + one.fused_share + others == pytest.approx(1)
    assert one.whole_run_ns > 0


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["mish", "relu", "hardswish", "nish"])
def test_every_activation_of_an_exported_network(networks: dict[str, Path], name: str, runtime: str) -> None:
    one = series(networks[name], runtime)
    check_sums(one)
    assert (one.activations, one.unaccounted) == (2, ())
    layers = carried(one)
    assert {"0", "3", "8"} <= set(layers)  # the modules that have weights
    with_activation = [o for o in one.operators if o.activation]
    wanted = {"mish": "Mish", "relu": "Relu", "hardswish": "HardSwish", "nish": "Nish"}[name]
    assert {o.activation for o in with_activation} == {wanted}
    assert all("0" not in o.layers or "3" not in o.layers for o in one.operators)


def test_inlined_activations_are_alone_and_fused_ones_with_their_convolution(
    networks: dict[str, Path],
) -> None:
    mish = series(networks["mish"], "onnxruntime")
    assert mish.activation_share > 0
    assert mish.fused_share == 0
    kinds = [o.operator for o in mish.operators if o.activation]
    assert kinds.count("Exp") == kinds.count("Div") == 2
    assert not any(o.layers for o in mish.operators if "Reorder" in o.operator)
    relu = series(networks["relu"], "onnxruntime")
    assert relu.activation_share == 0
    assert [o.operator for o in relu.operators if o.activation] == ["com.microsoft.nchwc:Conv"] * 2
    assert relu.fused_share == pytest.approx(sum(o.share for o in relu.operators if o.activation))


def test_kernels_of_an_accelerated_session(networks: dict[str, Path]) -> None:
    with open_runtime(networks["mish"], "accelerated") as session:
        assert str(session.executed()["accelerated"]).startswith(("tables", "depthwise")), (
            "nothing is accelerated here"
        )
    one = series(networks["mish"], "accelerated")
    ours = [o for o in one.operators if o.operator.startswith("edgeacts.kernels:")]
    assert [o.activation for o in ours] == ["Mish", "Mish"]
    assert all(len(o.layers) == 1 for o in ours)
    assert [o.layers for o in one.operators if o.operator.endswith("Conv")] == [("0",), ("3",)]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_activations_of_a_foreign_file(foreign: Path, runtime: str) -> None:
    one = series(foreign, runtime)
    check_sums(one)
    assert (one.activations, one.unaccounted) == (len(FOREIGN_ACTIVATIONS), ())
    layers = carried(one)
    for layer, operator in FOREIGN_ACTIVATIONS.items():
        assert all(operator in o.activation.split("+") for o in layers[layer]), layer
    assert set("acejl") <= set(layers)
    gate = layers["t"]
    assert all(not o.activation for o in gate)  # a Sigmoid that multiplies something else


def test_where_a_foreign_files_activations_run_on_stock_onnxruntime(foreign: Path) -> None:
    layers = carried(series(foreign, "onnxruntime"))
    assert [o.operator for o in layers["b"]] == ["com.microsoft:QuickGelu"]
    assert [o.operator for o in layers["d"]] == ["Add", "Clip", "Mul", "Div"]
    assert [o.operator for o in layers["i"]] == ["Softplus", "Tanh", "Mul"]
    assert [o.operator for o in layers["y"]] == [
        "Softplus",
        "Tanh",
        "Mul",
    ]  # ONNX's Mish, taken apart by the runtime
    assert layers["k"] == layers["j"]  # the Relu is part of its convolution
    assert layers["k"][0].layers == ("j", "k")
    assert [o.operator for o in layers["q"]] == ["Relu"]


def test_operators_without_a_telling_name_are_found_by_what_they_read(foreign: Path) -> None:
    layers = carried(
        series(foreign, "accelerated")
    )  # its compiled file names values of the blocked layout anew
    assert [(o.operator, o.layers) for o in layers["p"]] == [("Add", ("p",))]
    assert [(o.operator, o.layers) for o in layers["q"]] == [("Relu", ("q",))]


def test_depthwise_kernels_take_the_activations_on_both_sides(tmp_path: Path) -> None:
    from accelerating import build, ways

    text = """(float[1, 8, 16, 16] x) => (float[1, 8, 16, 16] y) {
        a = Conv<pads = [0, 0, 0, 0]>(x, first)
        b = edgeacts.Mish(a)
        c = Conv<group = 8, pads = [1, 1, 1, 1]>(b, depth)
        d = edgeacts.Mish(c)
        y = Conv(d, last)
    }"""
    model = build(text, first=(8, 8, 1, 1), depth=(8, 1, 3, 3), last=(8, 8, 1, 1))
    found = ways(model)
    assert set(found.kernels("activated").values()) == {"depthwise, on its input", "depthwise, on its output"}
    nodes = [
        ExecutedNode(
            node.name, f"{node.domain}:{node.op_type}", 1.0, (), tuple(node.input), tuple(node.output)
        )
        for node in found.models["activated"].graph.node
    ]
    folded, unaccounted = fold(Layers(model, "test"), nodes, found.kernels("activated"))
    assert unaccounted == ()
    told = {one.node.operator.rpartition(":")[2]: [layer.name for layer in one.layers] for one in folded}
    assert told["Depthwise"] == ["b", "c", "d"]
    convolutions = [
        [layer.name for layer in one.layers] for one in folded if one.node.operator.endswith("Conv")
    ]
    assert convolutions == [["a"], ["y"]]
    plain = [
        ExecutedNode(
            node.name, f"{node.domain}:{node.op_type}", 1.0, (), tuple(node.input), tuple(node.output)
        )
        for node in found.models["none"].graph.node
    ]
    folded, unaccounted = fold(Layers(model, "test"), plain, found.kernels("none"))
    assert unaccounted == ()
    assert [[layer.name for layer in one.layers] for one in folded if "Table" in one.node.operator] == [
        ["b"],
        ["d"],
    ]


def test_layers_are_named_as_the_author_named_them() -> None:
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 20, "user" : 1]>
        net (float[1, 4] x) => (float[1, 4] y)
        <float[4, 4] weight = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, float[4] c = {1, 2, 3, 4}> {
            [twice] a = user.Twice(x)
            b = MatMul(a, weight)
            k = Relu(c)
            [sum] y = Add(b, k)
        }
        <domain: "user", opset_import: ["" : 20]>
        Twice (x) => (y) { t = Add(x, x)  y = Identity(t) }"""
    )
    model.graph.initializer[0].name = model.graph.node[1].input[1] = "head.weight"
    layers = Layers(model, "test")
    assert [(layer.name, layer.operator) for layer in layers.layers] == [
        ("twice", "Twice"), ("head", "MatMul"), ("sum", "Add")
    ]  # fmt: skip
    assert layers.activations == ()  # that of a constant is computed once
    onnx.checker.check_model(layers.model)
    names = [node.name for node in layers.model.graph.node]
    assert len(set(names)) == len(names)
    found = [layers.find(name) for name in names]
    assert [one.name for one in found if one is not None] == ["twice", "twice", "head", "sum"]
    assert layers.find("sum") is layers.layers[2]
    assert layers.find("edgeacts_layer_99_1") is None


def events(*runs: dict[str, int], whole: list[int]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for times, total in zip(runs, whole, strict=True):
        found += [
            {
                "cat": "Node",
                "name": f"{name}_kernel_time",
                "dur": dur,
                "args": {"mem_arena_held": str(1000 + dur)},
            }
            for name, dur in times.items()
        ]
        found.append({"cat": "Session", "name": "model_run", "dur": total})
    return found


GRAPH = parser.parse_model(
    """<ir_version: 10, opset_import: ["" : 20]>
    net (float[4] x) => (float[4] y) { [one] t = Exp(x)  [two] y = Neg(t) }"""
)


def test_a_trace_is_read_from_the_faster_half_of_its_runs() -> None:
    told = events(
        {"one": 900, "two": 1}, {"one": 10, "two": 1}, {"one": 20, "two": 3}, {"one": 10, "two": 90},
        {"one": 12, "two": 2}, whole=[1000, 12, 30, 200, 15],
    )  # fmt: skip
    trace = read_trace(told, GRAPH, warmup=1)
    assert [(node.name, node.operator, node.duration_ns) for node in trace.nodes] == [
        ("one", "Exp", 11_000), ("two", "Neg", 1_500)
    ]  # fmt: skip
    assert (trace.runs, trace.whole_run_ns, trace.arena_bytes) == (2, 13_500, 1900)
    assert trace.nodes[1].inputs == ("t",)


def test_a_trace_without_runs_is_an_error_and_without_arena_none() -> None:
    with pytest.raises(EdgeactsError, match="profile has 1 runs, more than 1 were made"):
        read_trace(events({"one": 1}, whole=[1]), GRAPH, warmup=1)
    told = [{**event, "args": {}} for event in events({"one": 5}, whole=[9])]
    trace = read_trace(told, GRAPH, warmup=0)
    assert trace.arena_bytes is None
    assert [node.duration_ns for node in trace.nodes] == [5_000, 0]


def test_operators_and_whole_runs_agree(networks: dict[str, Path]) -> None:
    """Not how long, only that the parts of a run are not longer than the run."""
    with open_runtime(networks["nish"]) as session:
        feeds = {"input": np.zeros((1, 3, 12, 12), np.float32)}
        trace = trace_session(session, feeds, threads=1, runs=6)
    assert 0 < sum(node.duration_ns for node in trace.nodes) <= trace.whole_run_ns
    assert trace.runs == 3
    assert trace.arena_bytes is not None


def test_record_and_text(networks: dict[str, Path], foreign: Path) -> None:
    record = profile([networks["mish"], foreign], runtimes=RUNTIMES, repeats=2)
    assert ProfileRecord.from_json(record.to_json()) == record
    lines = format_profile(record).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("mish on onnxruntime: ")
    assert sum("% alone" in line for line in lines) == 6
    assert any("(Mish)" in line for line in lines)


def test_what_cannot_be_profiled(networks: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a profile is of provider cpu, not 'cuda': leave the provider out"):
        profile([networks["mish"]], provider="cuda")
    with pytest.raises(UsageError, match="repeats must be an integer from 1 to 10000, got 0"):
        profile([networks["mish"]], repeats=0)
    ir = tmp_path / "net.xml"
    ir.write_text("<net/>")
    with pytest.raises(
        UsageError, match=r"a profile is folded onto the layers of an .onnx file, not of .*net.xml"
    ):
        profile([ir], runtimes=["openvino"])
