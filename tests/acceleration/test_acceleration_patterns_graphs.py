"""Stock activations in whole graphs: several of them, what they share, and what is kept."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import onnx
import pytest
from stock_graphs import CLIP, SCALAR_STYLES, SHAPE, assert_quiet, assert_sane, graph, ours

from edgeacts.acceleration import patterns
from edgeacts.acceleration.patterns import recognise
from edgeacts.acceleration.patterns_matching import Op, X
from edgeacts.acceleration.patterns_stock import Pattern


def test_two_in_a_row_and_what_stands_around_them() -> None:
    body = """w = Relu(x) e = Exp(w) t = Tanh(e) m = Mul(w, t) s = Sigmoid(m) n = Mul(s, m) y = Neg(n)"""
    result, found = recognise(graph(body))
    assert [(f.operator, f.output) for f in found] == [("TanhExp", "m"), ("Silu", "n")]
    assert [n.op_type for n in result.graph.node] == ["Relu", "TanhExp", "Silu", "Neg"]
    assert_sane(result)


def test_the_larger_of_two_nested_patterns_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    small = X * Op("Sigmoid", X)
    table = patterns._by_root([Pattern("small", "Silu", small), Pattern("large", "Mish", Op("Neg", small))])
    monkeypatch.setattr(patterns, "_BY_ROOT", table)
    result, found = recognise(graph("s = Sigmoid(x) m = Mul(x, s) y = Neg(m)"))
    assert [f.pattern for f in found] == ["large"]
    assert [n.op_type for n in result.graph.node] == ["Mish"]


def test_two_patterns_of_the_same_input() -> None:
    body = "s = Sigmoid(x) e = Exp(x) t = Tanh(e) a = Mul(x, t) b = Mul(x, s) y = Add(a, b)"
    result, found = recognise(graph(body))
    assert [f.operator for f in found] == ["TanhExp", "Silu"]
    assert_sane(result)


def test_a_gate_that_two_products_share_is_used_elsewhere() -> None:
    assert_quiet(graph("s = Sigmoid(x) a = Mul(x, s) b = Mul(s, x) y = Add(a, b)"))


def test_nodes_between_the_parts_stay_in_order() -> None:
    body = "s = Sigmoid(x) r = Relu(x) e = Exp(r) m = Mul(x, s) y = Add(m, e)"
    result, _ = recognise(graph(body))
    assert [n.op_type for n in result.graph.node] == ["Relu", "Exp", "Silu", "Add"]
    assert_sane(result)


def test_a_shared_constant_stays_for_its_other_reader() -> None:
    body = f"{CLIP} m = Mul(x, c) d = Div(m, {{6.0}}) y = Add(d, {{3.0}})"
    for constants in SCALAR_STYLES:
        result, found = recognise(graph(body, constants=constants))
        assert len(found) == 1
        assert_sane(result)
        left = [t.name for t in result.graph.initializer]
        left += [n.output[0] for n in result.graph.node if n.op_type == "Constant"]
        assert left == ["c0"]


def test_a_constant_shared_by_two_activations_goes() -> None:
    body = f"{CLIP} m = Mul(x, c) d = Div(m, {{6.0}}) f = Add(d, {{3.0}}) h = Clip(f, {{0.0}}, {{6.0}}) n = Mul(h, d) y = Div(n, {{6.0}})"
    result, found = recognise(graph(body))
    assert [f.operator for f in found] == ["HardSwish", "HardSwish"]
    assert not result.graph.initializer


def test_everything_else_is_kept() -> None:
    model = graph(
        "s = Sigmoid(x) m = Mul(x, s) y = Mul(m, w)",
        weights="float[8,1,1] w = {1, 2, 3, 4, 5, 6, 7, 8}, float unused = {9}",
    )
    model.metadata_props.add(key="who", value="somebody")
    model.producer_name = "elsewhere"
    model.graph.node[1].name = "block.1/act"
    model.graph.node[1].metadata_props.add(key="scope", value="block.1")
    model.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 8, 5, 5]) for n in ("s", "m")
    )
    result, found = recognise(model)
    assert [(f.node, f.output) for f in found] == [("block.1/act", "m")]
    assert result.graph.initializer == model.graph.initializer
    assert result.metadata_props == model.metadata_props
    assert result.producer_name == "elsewhere"
    assert (result.graph.input, result.graph.output) == (model.graph.input, model.graph.output)
    assert [v.name for v in result.graph.value_info] == ["m"]
    (node,) = ours(result)
    assert (node.name, node.metadata_props[0].value) == ("block.1/act", "block.1")
    assert_sane(result)


def test_only_what_is_wanted_is_replaced() -> None:
    asked: list[tuple[str, dict[str, float]]] = []

    def wanted(operator: str, parameters: Any) -> bool:
        asked.append((operator, dict(parameters)))
        return bool(operator == "Mish")

    result, found = recognise(graph("s = Sigmoid(x) m = Mul(x, s) y = Mish(m)"), wanted)
    assert [f.operator for f in found] == ["Mish"]
    assert [n.op_type for n in result.graph.node] == ["Sigmoid", "Mul", "Mish"]
    assert ("Silu", {"beta": 1.0}) in asked


def deep(blocks: int) -> onnx.ModelProto:
    body = " ".join(
        f"a{i} = Add(x{i}, {{3.0}}) b{i} = Clip(a{i}, {{0.0}}, {{6.0}}) m{i} = Mul(x{i}, b{i}) d{i} = Div(m{i}, {{6.0}}) x{i + 1} = Neg(d{i})"
        for i in range(blocks)
    )
    return graph(
        body, inputs=f"float[{SHAPE}] x0", outputs=f"float[{SHAPE}] x{blocks}", constants="Constant value"
    )


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python are executed, each turn of a loop counted."""
    count, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_the_work_grows_with_the_depth_and_not_with_its_square() -> None:
    steps = []
    for blocks in (50, 100, 200):
        model = deep(blocks)
        steps.append(lines_run(lambda model=model: recognise(model)))
        result, found = recognise(model)
        assert len(found) == blocks
        assert len(result.graph.node) == 2 * blocks
    first, second = steps[1] - steps[0], steps[2] - steps[1]
    assert first > 50
    assert 1.9 * first < second < 2.1 * first, steps
