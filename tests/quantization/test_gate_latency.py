"""Latency of a try over the float model's: the ratio and its interval from known times, and that it is asked for."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeacts.quantization import gate_latency
from edgeacts.quantization.gate_latency import against, ratio_of_rounds


def network(batch: int | str) -> onnx.ModelProto:
    shape = [batch, 2, 3, 3]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_the_ratio_is_of_rounds_so_that_a_slow_round_changes_nothing() -> None:
    base = np.linspace(1, 9, 41)  # the machine gets slower all the time
    found = ratio_of_rounds(0.5 * base, base)
    assert (found.ratio, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_is_of_order_statistics() -> None:
    """Of 100 values: the 41st and the 60th enclose the median with 94.3 %, the 40th and the 61st with 96.5 %."""
    own = np.random.default_rng(0).permutation(np.arange(1.0, 101.0))
    found = ratio_of_rounds(own, np.ones(100))
    assert (found.ratio, found.low, found.high) == (50.5, 40.0, 61.0)


def test_the_interval_holds_the_true_ratio() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        noise = rng.lognormal(0, 0.1, (2, 25))
        found = ratio_of_rounds(0.8 * noise[0], noise[1])
        inside += found.low <= 0.8 <= found.high
    assert inside >= 0.94 * 400


@pytest.mark.parametrize(("batch", "given"), [("n", 1), (1, 1), (4, 4)])
def test_both_models_run_in_turn_on_the_image(
    batch: int | str, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []

    def times_of(calls: dict, **_: object) -> dict[str, list[float]]:
        for name, call in calls.items():
            seen.append((name, np.shape(call()[0])))
        return {"float": [2.0] * 20, "int8": [1.0] * 20}

    monkeypatch.setattr(gate_latency, "times_of", times_of)
    found = against(network(batch), np.zeros((2, 3, 3), np.float32))(network(batch))
    assert seen == [("float", (given, 2, 3, 3)), ("int8", (given, 2, 3, 3))]
    assert found.ratio == 0.5


def test_rounds_are_counted_where_somebody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_latency, "_BUDGET_S", 0.0)
    timed = against(network(1), np.zeros((2, 3, 3), np.float32), progress=True)
    found = timed(network(1))
    assert found.low <= found.ratio <= found.high
    assert "latency" in capsys.readouterr().err
