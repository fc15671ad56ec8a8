"""OpenVINO: what was asked for is what is executed, or it is refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import numpy_helper, parser

from edgeacts.errors import CheckFailed, DamagedFile, EdgeactsError, NotAvailable, UsageError
from edgeacts.runtimes import open_runtime
from edgeacts.runtimes.openvino_compiling import Compiler, choose_device
from edgeacts.runtimes.openvino_precision import confirm_precision, layer_precisions, summary

CAPABILITIES = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
HAS_BF16 = pytest.mark.skipif("BF16" not in CAPABILITIES, reason="this CPU computes nothing in bf16")
CONV = """
<ir_version: 10, opset_import: ["" : 20, "edgeacts" : 1]>
net (float[batch, 16, 8, 8] image) => (float[batch, 16, 8, 8] y)
<float[16, 16, 3, 3] weight>
{ c = Conv<pads = [1, 1, 1, 1]>(image, weight)  y = edgeacts.Act(c) }
<domain: "edgeacts", opset_import: ["" : 20]>
Act (x) => (y) { e = Exp(x)  t = Tanh(e)  y = Mul(x, t) }
"""


@pytest.fixture
def proto() -> onnx.ModelProto:
    model = parser.parse_model(CONV)
    weight = np.random.default_rng(3).standard_normal((16, 16, 3, 3), dtype=np.float32) / 12
    model.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    return model


@pytest.fixture
def model(tmp_path: Path, proto: onnx.ModelProto) -> Path:
    onnx.save(proto, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def image() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((2, 16, 8, 8), dtype=np.float32)


def reference(path: Path) -> np.ndarray:
    with open_runtime(path, "onnxruntime") as session:
        return session.infer({"image": image()})["y"]


def test_f32_is_confirmed(model: Path) -> None:
    with open_runtime(model, "openvino", precision="f32") as session:
        executed = session.executed()
        np.testing.assert_allclose(session.infer({"image": image()})["y"], reference(model), atol=1e-5)
    assert executed["precision"] == executed["precision_asked"] == "f32"
    assert executed["streams"] == 1
    assert str(executed["layers"]).startswith("f32 ")
    assert "bf16" not in str(executed["layers"])


@HAS_BF16
def test_bf16_is_reported_and_differs(model: Path) -> None:
    with open_runtime(model, "openvino", precision="bf16") as session:
        executed = session.executed()
        error = np.abs(session.infer({"image": image()})["y"] - reference(model)).max()
    assert "bf16" in str(executed["precision"]).split("+")
    assert executed["precision_asked"] == "bf16"
    assert 1e-4 < error < 0.1


@HAS_BF16
def test_f32_that_would_run_in_bf16_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Compiler._config
    lower = {"INFERENCE_PRECISION_HINT": "bf16"}
    monkeypatch.setattr(Compiler, "_config", lambda self, device: real(self, device) | lower)
    with pytest.raises(
        CheckFailed, match=r"net\.onnx: f32 was asked for, but openvino would run 1 layers in bf16"
    ):
        open_runtime(model, "openvino", precision="f32")


def test_model_in_bf16_is_no_f32(tmp_path: Path) -> None:
    text = (
        '<ir_version: 10, opset_import: ["" : 20]> net (bfloat16[b, 4] x) => (bfloat16[b, 2] y) '
        "<bfloat16[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}> { y = MatMul(x, w) }"
    )
    onnx.save(parser.parse_model(text), tmp_path / "b.onnx")
    if "BF16" in CAPABILITIES:
        with pytest.raises(
            CheckFailed, match=r"1 layers in bf16: use an f32 model, or ask for precision bf16"
        ):
            open_runtime(tmp_path / "b.onnx", "openvino")
    else:
        assert open_runtime(tmp_path / "b.onnx", "openvino").executed()["precision"] == "f32"


def test_bf16_goes_in_and_comes_out(tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["" : 20]> net (bfloat16[n] x) => (bfloat16[n] y) { y = Relu(x) }'
    onnx.save(parser.parse_model(text), tmp_path / "b.onnx")
    bfloat16 = onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)
    x = np.array([-2.5, 0.0, 1.5, 3e38, np.inf], np.float32).astype(bfloat16)
    with open_runtime(tmp_path / "b.onnx", "openvino", precision="bf16") as session:
        y = session.infer({"x": x})["y"]
        timed = session.bind({"x": x})
    assert y.dtype == bfloat16
    np.testing.assert_array_equal(y.astype(np.float32), np.maximum(x.astype(np.float32), 0))
    timed()


LAYERS = [
    {"layerType": "Input", "runtimePrecision": "bf16", "primitiveType": "unknown_bf16"},
    {"layerType": "Reorder", "runtimePrecision": "bf16", "primitiveType": "reorder_bf16"},
    {"layerType": "Convolution", "runtimePrecision": "f32", "primitiveType": "brgconv_avx512_f32"},
    {"layerType": "Eltwise", "runtimePrecision": "FP32", "primitiveType": "unknown_FP32"},
    {"layerType": "FullyConnected", "runtimePrecision": "f32", "primitiveType": "undef_f32"},
    {"layerType": "Eltwise", "runtimePrecision": "i32", "primitiveType": "ref_any_i32"},
]


def test_layers_are_counted_by_what_computes() -> None:
    assert layer_precisions(LAYERS) == {"f32": 3, "i32": 1}
    confirm_precision("m", "f32", layer_precisions(LAYERS))


def test_kernel_is_believed_before_the_declared_type() -> None:
    convolution = {
        "layerType": "Convolution",
        "runtimePrecision": "i8",
        "primitiveType": "brgconv_avx512_f32",
    }
    assert layer_precisions([convolution]) == {"f32": 1}
    convolution["primitiveType"] = "brgconv_avx512_amx_i8"
    assert layer_precisions([convolution]) == {"int8": 1}


def test_truth_values_are_no_quantization() -> None:
    """A Select says that it computes in 8 bits, those of its condition; without an 8-bit product nothing is quantized."""
    select = {"layerType": "Eltwise", "runtimePrecision": "u8", "primitiveType": "jit_avx2_I8"}
    layers = [select | {"outputPrecisions": "f32"}, select | {"outputPrecisions": "u8"}]
    assert layer_precisions(layers) == {"f32": 1, "u8": 1}
    product = {"layerType": "Convolution", "runtimePrecision": "u8", "primitiveType": "brgconv_avx512_i8"}
    assert layer_precisions([*layers, product]) == {"int8": 3}


def test_a_subgraph_that_converts_computes_in_what_it_gives() -> None:
    subgraph = {"layerType": "Subgraph", "runtimePrecision": "bf16", "primitiveType": "jit_avx2_bf16"}
    assert layer_precisions([subgraph | {"outputPrecisions": "f32"}]) == {"f32": 1}
    assert layer_precisions([subgraph | {"outputPrecisions": "bf16"}]) == {"bf16": 1}


def test_nish_is_no_quantized_model(tmp_path: Path) -> None:
    """Its body selects by x <= bound: judged as an 8-bit model, an error as large as the movement would pass."""
    from edgeacts.activations import activation
    from edgeacts.forms import choose, function

    proto = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20, "edgeacts" : 1]> '
        "n (float[b, 4, 8, 8] x) => (float[b, 4, 8, 8] y) { y = edgeacts.Nish(x) }"
    )
    proto.functions.append(function(choose(activation("nish"), form="exact")))
    onnx.save(proto, tmp_path / "nish.onnx")
    with open_runtime(tmp_path / "nish.onnx", "openvino") as session:
        assert session.executed()["precision"] == "f32"


@pytest.mark.parametrize(
    ("asked", "counts", "refused"),
    [
        ("f32", {"f32": 3, "i32": 9, "int8": 4}, False),
        ("f32", {"f32": 30, "bf16": 1}, True),
        ("f32", {"f32": 30, "f16": 1}, True),
        ("bf16", {"f32": 3, "bf16": 30}, False),
        ("bf16", {"f16": 1}, True),
        ("f16", {"f32": 3, "f16": 30}, False),
        ("f16", {"bf16": 1}, True),
    ],
)
def test_confirmation(asked: str, counts: dict[str, int], refused: bool) -> None:
    if not refused:
        confirm_precision("m.onnx", asked, counts)
        return
    with pytest.raises(
        CheckFailed, match=rf"m\.onnx: {asked} was asked for, but openvino would run 1 layers in b?f16"
    ):
        confirm_precision("m.onnx", asked, counts)


def test_summary_ranks_and_leaves_shape_arithmetic_out() -> None:
    assert summary({"i32": 50, "f32": 2, "int8": 30}) == "int8+f32"
    assert summary({"i64": 5}) == "unknown"


def test_ir_gives_the_same_as_onnx(model: Path, tmp_path: Path) -> None:
    from onnx.inliner import inline_local_functions

    plain = inline_local_functions(onnx.load(model)).SerializeToString()
    openvino.save_model(openvino.Core().read_model(plain), tmp_path / "net.xml", compress_to_fp16=False)
    with open_runtime(tmp_path / "net.xml", "openvino") as session:
        assert [str(spec) for spec in (*session.inputs, *session.outputs)] == ["float32 [?, 16, 8, 8]"] * 2
        assert [spec.name for spec in (*session.inputs, *session.outputs)] == ["image", "y"]
        np.testing.assert_allclose(session.infer({"image": image()})["y"], reference(model), atol=1e-5)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(UsageError, match=r"needs its weights beside it: net\.bin does not exist"):
        open_runtime(tmp_path / "net.xml", "openvino")


@pytest.mark.parametrize(
    "text", ["", "no xml", "<?xml version='1.0'?><net", "<net name='x' version='11'></net>"]
)
def test_damaged_ir(text: str, tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_text(text)
    (tmp_path / "net.bin").write_bytes(b"")
    with pytest.raises(DamagedFile) as caught:
        open_runtime(tmp_path / "net.xml", "openvino")
    assert "net.xml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"openvino reads \.onnx and \.xml files, not .*net\.tflite"):
        open_runtime(tmp_path / "net.tflite", "openvino")


def test_functions_with_external_weights(tmp_path: Path, model: Path, proto: onnx.ModelProto) -> None:
    outside = tmp_path / "external"
    outside.mkdir()
    onnx.save(proto, outside / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    assert (outside / "net.data").stat().st_size >= 16 * 16 * 9 * 4
    with open_runtime(outside / "net.onnx", "openvino") as session:
        np.testing.assert_allclose(session.infer({"image": image()})["y"], reference(model), atol=1e-5)
    (outside / "net.data").unlink()
    with pytest.raises(EdgeactsError) as caught:
        open_runtime(outside / "net.onnx", "openvino")
    assert "net.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_outside_the_folder_are_refused(tmp_path: Path, model: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_bytes(bytes(16 * 16 * 9 * 4))
    proto = onnx.load(model)
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret")
    (inner / "net.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(DamagedFile, match=r"net\.onnx has weights outside its folder: .*secret"):
        open_runtime(inner / "net.onnx", "openvino")


def test_not_installed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(NotAvailable, match=r"openvino is not installed: pip install edgeacts\[openvino\]"):
        open_runtime(model, "openvino")


@pytest.mark.parametrize(
    ("asked", "available", "device"),
    [
        ("cpu", ["CPU"], "CPU"),
        ("gpu", ["CPU", "GPU.0", "GPU.1"], "GPU.0"),
        ("GPU.1", ["GPU.0", "GPU.1"], "GPU.1"),
    ],
)
def test_choice_of_device(asked: str, available: list[str], device: str) -> None:
    assert choose_device(asked, available) == device


def test_absent_device(model: Path) -> None:
    with pytest.raises(NotAvailable, match="openvino has no device 'cuda' here: available: CPU"):
        open_runtime(model, "openvino", provider="cuda")


def test_unknown_rank_is_refused_in_one_line(tmp_path: Path) -> None:
    proto: Any = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> n (float x) => (float y) { y = Tanh(x) }'
    )
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, tmp_path / "r.onnx")
    with pytest.raises(EdgeactsError, match=r"openvino cannot compile .*r\.onnx: .*dynamic rank"):
        open_runtime(tmp_path / "r.onnx", "openvino")
    with open_runtime(tmp_path / "r.onnx") as session:  # ONNX Runtime takes it, whatever the shape
        assert str(session.inputs[0]) == "float32 of any shape"
        assert session.infer({"x": np.zeros((2, 1), np.float32)})["y"].shape == (2, 1)
