"""The 8-bit graph: one unit an activation, ranges known without calibration, a small file, the same bytes each time."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from msgspec.structs import replace
from onnx import numpy_helper
from onnxruntime.quantization import registry
from quantizing import FAST, calibrated, exported, images, kinds, with_weights

from edgeacts.acceleration.graph import consumers, producers
from edgeacts.errors import UsageError
from edgeacts.quantization import calibrate, layers_of, quantize_static_units
from edgeacts.quantization.measuring import Judge
from edgeacts.quantization.preparing import prepare
from edgeacts.quantization.rounding import rounded_weights
from edgeacts.quantization.settings import QuantizeSettings

SMOOTH = ("tanhexp", "mish", "nish", "hardswish", "gelu", "silu", "sau", "leaky_relu")


def quantized(
    activation: str, networks: Path, settings: QuantizeSettings = FAST, **options: object
) -> onnx.ModelProto:
    model, calibration = calibrated(exported(activation, networks))
    return quantize_static_units(model, calibration, settings, **options)  # type: ignore[arg-type]


def scale_and_zero(model: onnx.ModelProto, node: onnx.NodeProto) -> tuple[float, int]:
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return float(values[node.input[1]]), int(values[node.input[2]])


@pytest.mark.parametrize("activation", SMOOTH)
def test_every_activation_is_one_unit_with_its_body(activation: str, networks: Path) -> None:
    model = quantized(activation, networks)
    calls = [node for node in model.graph.node if node.domain == "edgeacts"]
    assert len(calls) == 2
    makers, readers = producers(model.graph), consumers(model.graph)
    for call in calls:
        assert makers[call.input[0]].op_type == "DequantizeLinear"
        assert [r.op_type for r in readers[call.output[0]]] == ["QuantizeLinear"]
    assert {f.name for f in model.functions} == {call.op_type for call in calls}
    assert set(kinds(model)) == {
        "QuantizeLinear", "DequantizeLinear", "Conv", "Gemm", "AveragePool", "Reshape", calls[0].op_type
    } | ({"Mul"} & set(kinds(model)))  # fmt: skip


@pytest.mark.parametrize("activation_type", ["uint8", "int8"])
def test_the_range_behind_an_activation_is_what_it_can_give(activation_type: str, networks: Path) -> None:
    """TanhExp's lowest value is -0.353286 (solved from the formula, arXiv:2003.09855): with it in reach of the input, the zero
    point follows from that number and the highest input alone."""
    model = quantized("tanhexp", networks, replace(FAST, activation_type=activation_type))
    makers, readers = producers(model.graph), consumers(model.graph)
    call = next(node for node in model.graph.node if node.domain == "edgeacts")
    before, behind = makers[call.input[0]], readers[call.output[0]][0]
    in_scale, in_zero = scale_and_zero(model, before)
    lowest = -128 if activation_type == "int8" else 0
    top = (lowest + 255 - in_zero) * in_scale
    assert in_scale * (lowest - in_zero) < -1.1  # the minimum is at -1.0789
    scale, zero = scale_and_zero(model, behind)
    assert scale == pytest.approx((top * np.tanh(np.exp(top)) + 0.353286) / 255, rel=1e-3)
    assert zero == lowest + round(0.353286 / scale)


def test_relu_costs_nothing(networks: Path) -> None:
    model = quantized("relu", networks)
    assert "Relu" not in kinds(model)
    assert not model.functions
    assert kinds(model).count("QuantizeLinear") == 3 + 2  # input, two layers, pooling and its flattening


def test_the_8_bit_model_computes_what_the_float_model_computes(networks: Path) -> None:
    for activation in ("relu", *SMOOTH):
        path = exported(activation, networks)
        judge = Judge(onnx.load(path), images(1000))
        error = judge.error(quantized(activation, networks))
        assert error.sqnr_db is not None
        assert error.agreement is not None
        assert error.sqnr_db > 24.0, activation
        assert error.agreement > 0.9, activation


def test_a_scrambled_model_is_told_apart(networks: Path) -> None:
    """The measure itself: weights of one layer mirrored."""
    path = exported("mish", networks)
    model = quantized("mish", networks)
    kernel = next(
        t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    )
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel)[..., ::-1].copy(), kernel.name))
    error = Judge(onnx.load(path), images(1000)).error(model)
    assert error.sqnr_db is not None
    assert error.sqnr_db < 15.0


def test_outputs_stay_float_and_names_stay(networks: Path) -> None:
    model = quantized("mish", networks)
    assert [v.name for v in model.graph.output] == ["logits"]
    assert [v.name for v in model.graph.input] == ["image"]
    assert producers(model.graph)["logits"].op_type == "Gemm"


def test_nodes_left_in_float_have_float_neighbours(networks: Path) -> None:
    model, calibration = calibrated(exported("tanhexp", networks))
    first = layers_of(calibration.prepared)[0]
    assert len(first.nodes) == 2
    kept = quantize_static_units(model, calibration, FAST, keep_float=frozenset(first.nodes))
    makers = producers(kept.graph)
    conv = next(node for node in kept.graph.node if node.name == first.name)
    assert conv.input[0] == "image"
    assert conv.input[1] not in makers
    call = next(node for node in kept.graph.node if node.name == first.nodes[1])
    assert makers[call.input[0]] is conv or makers[call.input[0]].name == conv.name


def test_keep_float_of_what_is_not_there_is_an_error(networks: Path) -> None:
    with pytest.raises(UsageError, match="no node 'Conv_99'.*layers_of"):
        quantized("mish", networks, keep_float=frozenset({"Conv_99"}))


def test_nothing_global_is_changed_and_the_model_is_left_alone(networks: Path) -> None:
    model, calibration = calibrated(exported("mish", networks))
    before, known = model.SerializeToString(deterministic=True), dict(registry.QDQRegistry)
    first = quantize_static_units(model, calibration, FAST)
    assert quantize_static_units(model, calibration, FAST) == first
    assert model.SerializeToString(deterministic=True) == before
    assert known == registry.QDQRegistry


def test_prepared_or_not_the_bytes_are_the_same(networks: Path) -> None:
    model, calibration = calibrated(exported("mish", networks))
    prepared = prepare(model)
    assert prepare(prepared) == prepared
    twice = [quantize_static_units(m, calibration, FAST).graph for m in (model, prepared)]
    assert twice[0] == twice[1]


def test_metadata_say_what_was_done(networks: Path) -> None:
    model = quantized("mish", networks)
    said = {p.key: p.value for p in model.metadata_props}
    stated = json.loads(said["edgeacts.int8"])
    assert stated["ranges"] == "mse"
    assert stated["float_layers"] == []
    assert stated["versions"]["onnxruntime"] == ort.__version__
    assert "edgeacts.forms" in said
    assert "edgeacts.tables" not in said  # every activation is in 8 bits: no float table is needed


def test_a_float_activation_keeps_its_table(networks: Path) -> None:
    model, calibration = calibrated(exported("mish", networks))
    nodes = frozenset(layers_of(calibration.prepared)[0].nodes)
    kept = quantize_static_units(model, calibration, FAST, keep_float=nodes)
    assert "Mish" in json.loads({p.key: p.value for p in kept.metadata_props}["edgeacts.tables"])


def test_weights_are_rounded_as_onnxruntime_rounds_them(networks: Path) -> None:
    model, calibration = calibrated(exported("mish", networks))
    floats = {t.name: numpy_helper.to_array(t) for t in calibration.prepared.graph.initializer}
    for settings in (FAST, replace(FAST, reduce_range="yes")):
        made = quantize_static_units(model, calibration, settings)
        values = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
        makers = producers(made.graph)
        for layer in layers_of(calibration.prepared):
            node = next(n for n in made.graph.node if n.name == layer.name)
            dequantize = makers[node.input[1]]
            stored, scale = values[dequantize.input[0]], values[dequantize.input[1]]
            shape = [-1 if axis == layer.axis else 1 for axis in range(stored.ndim)]
            wanted = rounded_weights(floats[layer.kernel], layer.axis, settings)
            np.testing.assert_allclose(stored * scale.reshape(shape), wanted, rtol=1e-6, atol=0)
            assert np.abs(stored.astype(int)).max() == (64 if settings.seven_bits else 127)


CLIPPED = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y) <float[2, 2, 3, 3] w> {
    low = Constant<value_float = %s>()
    high = Constant<value_float = 6.0>()
    c = Conv<pads = [1, 1, 1, 1]>(x, w)
    r = Clip(c, low, high)
    y = Conv<pads = [1, 1, 1, 1]>(r, w)
}"""


@pytest.mark.parametrize(("low", "folds"), [("0.0", True), ("-1.0", True), ("0.5", False)])
def test_a_clip_is_folded_only_where_a_range_can_stand_for_it(low: str, folds: bool) -> None:
    model = with_weights(CLIPPED % low)
    x = np.random.default_rng(1).standard_normal((32, 2, 4, 4)).astype(np.float32)
    made = quantize_static_units(model, calibrate(model, x), FAST)
    assert ("Clip" not in kinds(made)) is folds
    error = Judge(model, x).error(made)
    assert error.sqnr_db is not None
    assert error.sqnr_db > 25.0


HASHES = """
import hashlib, sys
sys.path[:0] = {paths!r}
import onnx
from pathlib import Path
from quantizing import FAST, images
from edgeacts.quantization import calibrate, quantize_static_units
model = onnx.load({path!r})
made = quantize_static_units(model, calibrate(model, images()), FAST)
print(hashlib.sha256(made.SerializeToString(deterministic=True)).hexdigest())
"""


def test_other_processes_give_the_same_bytes(networks: Path) -> None:
    here = Path(__file__).parent
    code = HASHES.format(paths=[str(here), str(here.parent)], path=str(exported("mish", networks)))
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here.parent.parent,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(here.parent.parent), "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1
