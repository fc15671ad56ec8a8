"""The whole way: files, record, other people's models, dense networks, the command line."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from foreign_network import FOREIGN
from msgspec.structs import replace
from onnx import numpy_helper, parser
from quantizing import FAST, exported, images, kinds, with_weights

from edgeacts import QuantizeSettings, quantize
from edgeacts.cli import main
from edgeacts.parity import verify
from edgeacts.quantization import calibrate, layers_of, quantize_dynamic, quantize_static_units
from edgeacts.quantization.bias import measure_shifts
from edgeacts.quantization.choosing import choose_float
from edgeacts.quantization.measuring import Judge
from edgeacts.quantization.preparing import prepare
from edgeacts.quantization.sensitivity import measure_sensitivity
from edgeacts.quantization.workflow import input_range
from edgeacts.records import QuantizationRecord
from edgeacts.runtimes import open_runtime


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {model.graph.input[0].name: x})[0]
    return result


def test_files_record_and_verdict(networks: Path, tmp_path: Path) -> None:
    path = exported("mish", networks)
    result = quantize(path, images(), tmp_path, settings=QuantizeSettings(reduce_range="yes"))
    record = QuantizationRecord.read(tmp_path / "quantization.json")
    assert record == result.record
    assert {t.method for t in record.trials} == {
        "mse", "minmax", "percentile-99.999", "percentile-99.99", "percentile-99.9", "entropy"
    }  # fmt: skip
    best = max((t for t in record.trials if not t.bias_correction), key=lambda t: t.error.sqnr_db or -1e9)
    assert record.chosen == best.method
    assert record.exact.sqnr_db is not None
    assert record.exact.sqnr_db >= (best.error.sqnr_db or 0.0) - 1e-6
    assert record.activations == {"Mish": 2}
    assert (record.images, record.held_out) == (64, 16)
    twin = onnx.load(result.inlined)
    assert not twin.functions
    x = images(1200, 8)
    np.testing.assert_array_equal(run(twin, x), run(onnx.load(result.portable), x))
    verdict = verify(path, result.portable, images=images(1000), runtimes=("onnxruntime",), batches=(1, 7))
    assert verdict.passed, verdict.summary
    with open_runtime(result.portable) as session:
        assert session.executed()["precision"] == "int8"


def test_the_same_call_gives_the_same_files(networks: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantize(exported("mish", networks), images(), tmp_path / name, settings=FAST)
    for file in ("model.int8.onnx", "model.int8.inlined.onnx"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_command_line_prints_what_was_chosen(
    trained_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained_digits / "export" / "model.onnx"
    command = ["quantize", str(model), "--data", "digits", "--images", "40", "--out", str(tmp_path)]
    assert main([*command, "--ranges", "mse", "--no-sensitivity", "--json", str(tmp_path / "out.json")]) in (
        0,
        1,
    )
    told = capsys.readouterr().out
    assert "mse" in told
    assert "of the float file" in told
    assert [line for line in told.splitlines() if len(line) > 80 and str(tmp_path) not in line] == []
    record = QuantizationRecord.read(tmp_path / "quantization.json")
    assert record.size_ratio < 0.30
    assert record.settings["sensitivity"] is False


def test_the_inputs_range_is_that_of_black_and_white(trained_digits: Path) -> None:
    model = onnx.load(trained_digits / "export" / "model.onnx")
    ((name, (low, high)),) = input_range(model).items()
    assert name == "image"
    assert low < 0.0 < high


# ---- corrected biases, sensitivity


def test_shifts_are_the_mean_that_rounding_changes(networks: Path) -> None:
    model = onnx.load(exported("mish", networks))
    calibration = calibrate(model, images())
    settings = replace(FAST, bias_correction=True)
    shifts = measure_shifts(calibration, settings, images())
    first = layers_of(calibration.prepared)[0]
    corrected = quantize_static_units(model, calibration.with_shifts(shifts), settings)
    plain = quantize_static_units(model, calibration, settings)
    values = {}
    for label, made in (("float", calibration.prepared), ("plain", plain), ("corrected", corrected)):
        watched = onnx.ModelProto()
        watched.CopyFrom(made)
        name = next(n for n in made.graph.node if n.name == first.name).output[0]
        watched.graph.output.insert(0, onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        options = ort.SessionOptions()
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = ort.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        values[label] = session.run([name], {"image": images()})[0].mean(axis=(0, 2, 3))
    np.testing.assert_allclose(values["float"] - values["plain"], shifts[first.name], atol=1e-4)
    assert np.abs(values["float"] - values["corrected"]).max() < 0.2 * np.abs(shifts[first.name]).max()


def test_the_spoilt_layer_is_the_noisiest_and_goes_back_to_float(networks: Path) -> None:
    """One channel of the second kernel is blown up and shrunk again behind it: too much for one scale an activation."""
    model = onnx.load(exported("mish", networks))
    calibration = calibrate(model, images())
    second = layers_of(calibration.prepared)[1]
    low, high = calibration.ranges("mse")[second.output]
    calibration.ranges("mse")[second.output] = (20 * low, 20 * high)  # type: ignore[index]
    judge = Judge(calibration.prepared, images(500))
    rows = measure_sensitivity(calibration, FAST, judge)
    assert rows[0].layer.name == second.name
    assert rows[0].share > 0.8
    settings = replace(FAST, float_macs=1.0, enough_db=60.0)
    begun = quantize_static_units(model, calibration, settings)
    found = choose_float(model, calibration, settings, judge, (begun, judge.error(begun)), rows, lambda: None)
    assert set(second.nodes) <= found.nodes
    assert found.rows[0].kept_float
    assert "rises" in found.rows[0].why
    refused = choose_float(
        model,
        calibration,
        replace(settings, float_macs=0.0),
        judge,
        (begun, judge.error(begun)),
        rows,
        lambda: None,
    )
    assert not refused.nodes
    assert "too much of the network" in refused.rows[0].why
    enough = replace(settings, enough_db=0.0)
    assert not choose_float(
        model, calibration, enough, judge, (begun, judge.error(begun)), rows, lambda: None
    ).nodes


# ---- other people's models


def foreign(text: str = FOREIGN) -> onnx.ModelProto:
    model = parser.parse_model(text)
    weight = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32) / 6
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return model


def test_stock_activations_become_units() -> None:
    model = foreign()
    prepared = prepare(model)
    assert [n.op_type for n in prepared.graph.node if n.domain == "edgeacts"] == [
        "Silu",
        "HardSwish",
        "Mish",
        "Mish",
    ]
    assert {f.name for f in prepared.functions} == {"Silu", "HardSwish", "Mish"}
    x = np.random.default_rng(1).standard_normal((32, 8, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(run(prepared, x), run(model, x), atol=2e-5)
    made = quantize_static_units(model, calibrate(model, x), FAST)
    assert kinds(made).count("Sigmoid") == 1  # the gate, which is no activation
    error = Judge(model, x).error(made)
    assert error.sqnr_db is not None
    assert error.sqnr_db > 20.0


BATCH_NORM = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N, 2, 4, 4] x) => (float[N, 3, 4, 4] y)
<float[3, 2, 3, 3] w, float[3] b, float[3] s, float[3] t, float[3] m, float[3] v> {
    c = Conv<pads = [1, 1, 1, 1]>(x, w, b)
    n = BatchNormalization<epsilon = 0.1>(c, s, t, m, v)
    %s
}"""


@pytest.mark.parametrize(("rest", "folds"), [("y = Relu(n)", True), ("y = Add(n, c)", False)])
def test_batch_norm_is_folded_only_behind_a_convolution_of_its_own(rest: str, folds: bool) -> None:
    model = with_weights(BATCH_NORM % rest, positive=True)
    prepared = prepare(model)
    assert ("BatchNormalization" not in kinds(prepared)) is folds
    x = np.random.default_rng(1).standard_normal((4, 2, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(run(prepared, x), run(model, x), rtol=1e-5, atol=1e-5)


DENSE = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N, 16] x) => (float[N, 4] y) <float[16, 32] w, float[32] b, float[4, 32] v, float[4] c> {
    h = Gemm(x, w, b)
    a = Mish(h)
    y = Gemm<transB = 1>(a, v, c)
}"""


def test_dense_networks_need_no_images(tmp_path: Path) -> None:
    model = with_weights(DENSE, 0.25)
    onnx.save(model, tmp_path / "dense.onnx")
    x = np.random.default_rng(1).standard_normal((64, 16)).astype(np.float32)
    results = [quantize_dynamic(tmp_path / "dense.onnx", tmp_path / name, images=x) for name in ("a", "b")]
    made = onnx.load(results[0].portable)
    assert kinds(made).count("MatMulInteger") == 2
    assert kinds(made).count("Mish") == 1
    assert made.functions
    assert results[0].portable.read_bytes() == results[1].portable.read_bytes()
    wanted, found = run(model, x), run(made, x)
    assert np.square(wanted - found).mean() < 3e-3 * wanted.var()
    assert results[0].record.deployed.sqnr_db is not None
    assert results[0].record.deployed.sqnr_db > 25.0
