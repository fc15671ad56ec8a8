"""Bad input: each is refused with a text that says what it is and what to do, before anything is computed."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from quantizing import with_weights

from edgeacts.cli import main
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.quantization import QuantizeSettings, quantize, quantize_dynamic
from edgeacts.quantization.checking import check_images, check_model

CONV = "Conv<pads = [1, 1, 1, 1]>"


def model(
    body: str = f"y = {CONV}(x, w)",
    inputs: str = "float[N, 2, 4, 4] x",
    output: str = "float[N, 3, 4, 4] y",
    weights: str = "float[3, 2, 3, 3] w",
    opset: int = 20,
) -> onnx.ModelProto:
    return with_weights(
        f'<ir_version: 9, opset_import: ["" : {opset}]> g ({inputs}) => ({output}) <{weights}> {{ {body} }}'
    )


def images(count: int = 16) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 2, 4, 4)).astype(np.float32)


QDQ = (
    "s = Constant<value_float = 0.1>() z = Constant<value = uint8 {0}>() "
    f"q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = {CONV}(d, w)"
)
HALF = {
    "inputs": "float16[N, 2, 4, 4] x",
    "output": "float16[N, 3, 4, 4] y",
    "weights": "float16[3, 2, 3, 3] w",
}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"body": QDQ}, "m.onnx is quantized already .it holds DequantizeLinear.: give the float model"),
        (HALF, "m.onnx is a float16 model: quantize the float32 model"),
        (
            {"body": "y = Relu(x)", "output": "float[N, 2, 4, 4] y"},
            "m.onnx has nothing to quantize: it holds no Conv, ConvTranspose, Gemm or MatMul with constant weights",
        ),
        (
            {"inputs": "float[N, 2, height, width] x", "output": "float[N, 3, height, width] y"},
            "input 'x' has an open size .height, width.: fix it first.*--dim_param height --dim_value N",
        ),
        (
            {"inputs": "float[N, 2, 4, 4] x, float[N, 3, 4, 4] b", "body": f"c = {CONV}(x, w) y = Add(c, b)"},
            "m.onnx has 2 inputs .x, b.: only models of one image input",
        ),
        (
            {"inputs": "uint8[N, 2, 4, 4] x", "body": f"f = Cast<to = 1>(x) y = {CONV}(f, w)"},
            "input 'x' is uint8: only float32 inputs",
        ),
    ],
)
def test_models_that_are_refused(options: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check_model(model(**options), "m.onnx")


def test_a_plain_model_is_accepted() -> None:
    check_model(model(), "m.onnx")
    assert check_images(model(), images().astype(np.float64)).dtype == np.float32


BAD = images()
BAD[3, 0, 1, 2] = np.nan


@pytest.mark.parametrize(
    ("given", "labels", "text"),
    [
        (images()[:, :, :3], None, r"have shape \[16, 2, 3, 4\], the model takes \[N, 2, 4, 4\]"),
        (images(0), None, "0 calibration images: at least 8 are needed"),
        (images(7), None, "7 calibration images: at least 8 are needed"),
        (BAD, None, "calibration image 3 holds NaN or infinity: leave it out"),
        (np.zeros((16, 2, 4, 4), np.uint8), None, "are a uint8 array: give a float32 array .*normalize"),
        ([1, 2], None, r"are a list: give a float32 array \[N, 2, 4, 4\]"),
        (images(), [0] * 15, "15 labels for 16 calibration images: give one label an image"),
    ],
)
def test_images_that_are_refused(given: object, labels: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check_images(model(), given, labels)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"activation_type": "uint4"}, "unknown activation type 'uint4': .*uint8, int8"),
        ({"ranges": "mean"}, "unknown ranges 'mean': .*auto, mse, minmax"),
        ({"reduce_range": "maybe"}, "unknown reduced range 'maybe'"),
        ({"held_out": 0.9}, "held_out 0.9: give a number from 0.05 to 0.5"),
        ({"float_macs": float("nan")}, "float_macs nan: give a number from 0 to 1"),
        ({"seed": -1}, "seed -1 .* must be 0 or more"),
    ],
)
def test_settings_that_do_not_exist(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        QuantizeSettings(**options)  # type: ignore[arg-type]


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none.onnx does not exist"):
        quantize(tmp_path / "none.onnx", images(), tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07broken")
    with pytest.raises(EdgeactsError, match="broken.onnx cannot be read"):
        quantize(tmp_path / "broken.onnx", images(), tmp_path)
    onnx.save(model(), tmp_path / "conv.onnx")
    with pytest.raises(UsageError, match="has convolutions .*leave --dynamic out"):
        quantize_dynamic(tmp_path / "conv.onnx", tmp_path)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "quantization needs images: give --data NAME"),
        (["--data", "digits"], "does not state its preprocessing"),
        (["--data", "digits", "--ranges", "mean"], "unknown ranges 'mean'"),
    ],
)
def test_the_command_line_says_what_is_missing(
    options: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(model(), tmp_path / "m.onnx")
    assert main(["quantize", str(tmp_path / "m.onnx"), "--out", str(tmp_path / "out"), *options]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
