"""Scales that take sums out of an int32: a convolution with them stays with the runtime, with the reason; those below are exact."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from accelerating import normal, ways
from int8_graphs import Graph
from onnx import numpy_helper

from edgeacts import native
from edgeacts.acceleration.compiling import compile_model
from edgeacts.acceleration.int8_convolutions import Convolution
from edgeacts.cli import main
from edgeacts.errors import EdgeactsError
from edgeacts.runtimes import open_runtime

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not native.available(), reason=str(native.missing())),
]
X = {"x": normal(2, 8, 9, 9)}


def network(times: float, dtype: type = np.uint8) -> onnx.ModelProto:
    """A depthwise convolution between activations, its weights' scales so much larger: all of its output saturates."""
    g = Graph(dtype=dtype).conv(24).act("Mish")
    start = len(g.weights)
    g.conv(24, 3, groups=24).act("TanhExp").conv(8)
    for tensor in (g.weights[start + 1], g.weights[start + 4]):  # of the weights and of the bias
        tensor.CopyFrom(
            numpy_helper.from_array(np.float32(times) * numpy_helper.to_array(tensor), tensor.name)
        )
    return g.model()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_sums_that_just_fit_are_the_runtimes_bytes(dtype: type) -> None:
    done = ways(network(3e5, dtype))
    assert done.operators("activated").count("Depthwise8") == 1
    done.check_exactly(X)


def test_sums_that_do_not_fit_are_refused_with_the_reason() -> None:
    model = network(1e10)
    with pytest.raises(
        EdgeactsError,
        match=r"convolution \S+: its scales take sums up to \d\.\de\+12, beyond what an int32 holds",
    ):
        ways(model)
    done = ways(model, which=("none",))
    assert "Depthwise8" not in done.operators("none")
    done.check_exactly(X)


def test_the_reason_stands_in_the_manifest_and_in_explain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(network(1e10), path)
    with open_runtime(path, threads=1) as session:
        found = compile_model(onnx.load(path), session.native, threads=1, where="test")
    assert found.candidates["depthwise"].why.startswith("convolution ")
    assert found.candidates["tables"].milliseconds is not None
    monkeypatch.setenv("EDGEACTS_CACHE", str(tmp_path / "cache"))
    assert main(["explain", str(path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "depthwise not: convolution " in told
    assert "beyond what an int32 holds" in told


@pytest.mark.parametrize(
    ("bias", "scale", "text"),
    [
        (0, 1.0, ""),
        (2**30 - 255 * 9 - 1, 1.0, ""),
        (2**30, 1.0, "its scales take sums up to 1.1e+09, beyond what an int32 holds"),
        (2**31, 1e-9, "sums of up to 2.1e+09 do not fit an int32"),
        (-(2**31), 1e-9, "sums of up to 2.1e+09 do not fit an int32"),
        (0, np.inf, "its scales take sums up to inf, beyond what an int32 holds"),
        (0, np.nan, "its scales take sums up to nan, beyond what an int32 holds"),
    ],
)
def test_borders(bias: int, scale: float, text: str) -> None:
    one = Convolution(
        weights=np.ones((2, 1, 3, 3), np.int32), bias=np.array([0, bias]), scale=np.array([1e-3, scale], np.float32),
        groups=2, stride=1, pads=[1] * 4, signed_in=False, signed_out=False, zero_in=0, zero_out=0, symmetric=True,
    )  # fmt: skip
    assert one.refusal == text
