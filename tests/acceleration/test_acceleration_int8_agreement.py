"""What explain says of 8-bit values: equal, equal up to a layer in float, ONNX Runtime's own; never less than was measured."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from accelerating import build, normal, ways
from int8_graphs import Graph

from edgeacts import native
from edgeacts.acceleration.int8_agreement import ARISES, BEHIND_FLOAT, FROM_A_TIE, agreement
from edgeacts.acceleration.manifest import Manifest
from edgeacts.cli import main

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not native.available(), reason=str(native.missing())),
]
MEASURED = Path(__file__).parents[2] / "benchmarks" / "int8_steps.json"


def manifest(chosen: str, allowed: float) -> Manifest:
    return Manifest(
        chosen=chosen, reason="", model_sha256="", file_sha256="", onnxruntime="", kernels="", isa="", cpu="", threads=1,
        allowed=allowed, candidates={}, sites=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "allowed", "text"),
    [
        ("depthwise", 0.0, "bit-exact: what ONNX Runtime gives at its default level."),
        ("tables", 1e-3, "bit-exact up to the first layer in float."),
        ("stock", 0.0, "those of ONNX Runtime at its default level, which runs the model as it is."),
    ],
)
def test_each_kind_of_session_has_its_statement(chosen: str, allowed: float, text: str) -> None:
    told = agreement(manifest(chosen, allowed))
    assert told.startswith(text)
    assert (
        "0.0001 of a step from the middle between two may come out one step apart, at most 4 in a million"
        in told
    )
    assert ("at most 50 in a million there" in told) == (allowed > 0)


def test_limits_hold_what_was_measured() -> None:
    bounds = json.loads(MEASURED.read_text())["bounds"]
    assert bounds["values"] > 1e8
    assert bounds["accelerated_differing"] == bounds["accelerated_logits"] == 0
    assert bounds["arisen_largest_steps"] == 1
    assert bounds["arisen_share_upper"] < ARISES < 2 * bounds["arisen_share_upper"]
    assert bounds["from_a_tie"] < FROM_A_TIE
    assert bounds["mixed_first_tensor"] < BEHIND_FLOAT


def explained(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["explain", str(path)]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_explain_says_it_of_8_bit_models_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEACTS_CACHE", str(tmp_path / "cache"))
    g = Graph(side=48).conv(32, 3)
    for _ in range(3):
        g.act("Nish").conv(32, 3, groups=32).act("Mish").conv(32)
    onnx.save(g.conv(8).model(), tmp_path / "int8.onnx")
    assert "8-bit values: bit-exact: what ONNX Runtime" in explained(tmp_path / "int8.onnx", capsys)
    onnx.save(build("(float[n,4] x) => (float[n,4] y) { y = edgeacts.Mish (x) }"), tmp_path / "float.onnx")
    assert "8-bit values" not in explained(tmp_path / "float.onnx", capsys)


def test_rounding_from_float32_parts_only_at_ties() -> None:
    """The reason, tried: of a layer computed both ways on the same bytes, what differs lies near the middle between two steps."""
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (4000, 64))
    w = random.integers(-127, 128, (64, 96))
    x_scale, w_scale, y_scale = np.float32(0.0123), np.float32(0.0071), np.float32(0.173)
    sums = (x @ w).astype(np.float32)
    fused = np.rint(sums * (x_scale * w_scale / y_scale))
    floats = (x.astype(np.float32) * x_scale) @ (w.astype(np.float32) * w_scale) / y_scale
    exact = (x @ w) * (float(x_scale) * float(w_scale) / float(y_scale))
    apart = np.rint(floats) != fused
    assert np.abs(np.rint(floats) - fused).max() <= 1
    tie = np.abs(exact - np.floor(exact) - 0.5)
    assert tie[apart].max(initial=0.0) < FROM_A_TIE
    assert apart.mean() < 10 * ARISES


def test_a_layer_in_float_leaves_what_stands_before_it_exact() -> None:
    g = Graph().conv(16, 3).act("Nish")
    before = g.value
    g.value = g.add("Conv", g.value, g.constant(g.random.standard_normal((8, 16, 1, 1)) / 4))
    g.channels = 8
    model = g.float_nodes("b = edgeacts.Mish (a)").quantize(0.04).conv(8).model(before)
    done = ways(model, which=("none",))
    feed = {"x": normal(2, 8, 9, 9)}
    wanted, got = done.stock.run(None, feed), done.sessions["none"].run(None, feed)
    np.testing.assert_array_equal(got[0], wanted[0])
    assert np.abs(got[1] - wanted[1]).max() <= 1.01 * 0.05
