"""INT8 for OpenVINO: the activation stays one unit, the fastest acceptable variant is kept, a slower one is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from openvino_networks import ANSWERS, IMAGES, JUDGES, LABELS, export, times

import edgeacts
from edgeacts.errors import CheckFailed, EdgeactsError, UsageError
from edgeacts.files import sha256_file
from edgeacts.quantization.openvino import quantize_openvino
from edgeacts.quantization.openvino_nncf import depthwise_names, load_nncf
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_units import check_whole, find_units
from edgeacts.quantization.openvino_variants import Variants
from edgeacts.records import OpenVinoQuantizationRecord
from edgeacts.runtimes.openvino_reading import read_file

pytestmark = pytest.mark.filterwarnings("ignore")  # nncf and what it imports
FEW = IMAGES[:16]
SETTINGS = OpenVinoSettings(reduce_range="yes", max_drop=3.0)


@pytest.fixture(scope="module")
def portable(tmp_path_factory):
    """TanhExp: OpenVINO has no operator of it, so its activation is several operations."""
    return export("tanhexp", tmp_path_factory.mktemp("portable") / "model.onnx")


@pytest.fixture(scope="module")
def variants(portable):
    made = Variants(portable, IMAGES, half_range=True)
    plain, sparse = (made.exported(placement) for placement in made.placements)
    return SimpleNamespace(
        variants=made, all=plain, sparse=sparse, fitted=made.polynomials(sparse, 0.5), units=made.units
    )


@pytest.fixture(scope="module")
def done(portable, tmp_path_factory):
    out = tmp_path_factory.mktemp("int8")
    result = quantize_openvino(
        portable, IMAGES, out, settings=SETTINGS, judge_images=JUDGES, judge_labels=ANSWERS,
        try_all=True, timing=times(no_depthwise=0.8, no_depthwise_0_5_step=0.6, no_depthwise_1_step=0.65),
    )  # fmt: skip
    return SimpleNamespace(out=out, **vars(result))


def quantizers_before(model, kind):
    """For each layer of a type, whether its values come out of a quantizer."""
    return [
        op.input(0).get_source_output().get_node().get_type_name() == "FakeQuantize"
        for op in model.get_ordered_ops()
        if op.get_type_name() == kind
    ]


# ---- the unit


def test_each_activation_is_one_unit_and_every_layer_is_quantized(variants):
    for model in (variants.all.model, variants.fitted.model):
        check_whole(model, variants.units)
    assert len(variants.units) == 3
    assert {unit.operator for unit in variants.units} == {"TanhExp"}
    for kind in ("Convolution", "GroupConvolution"):
        assert all(quantizers_before(variants.all.model, kind)), kind


def test_quantizers_stand_before_layers_only(variants):
    readers = set()
    for op in variants.all.model.get_ordered_ops():
        if op.get_type_name() == "FakeQuantize":
            readers |= {t.get_node().get_type_name() for t in op.output(0).get_target_inputs()}
    assert readers <= {"Convolution", "GroupConvolution", "MatMul", "ReduceMean", "Reshape", "AvgPool"}


def test_a_quantizer_inside_an_activation_is_found(portable):
    read = read_file(portable)
    units = find_units(read.model, read.activations)
    nncf = load_nncf()
    images = [image[None] for image in IMAGES[:4]]
    cut = nncf.quantize(read.model, nncf.Dataset(images), subset_size=4)  # as it is without us
    with pytest.raises(CheckFailed, match="a quantizer stands inside activation .* it is no unit"):
        check_whole(cut, units)


def test_depthwise_convolutions_are_left_in_float_where_asked(variants):
    assert depthwise_names(variants.sparse.model) == depthwise_names(variants.all.model) != set()
    assert quantizers_before(variants.sparse.model, "GroupConvolution") == [False]
    assert all(quantizers_before(variants.sparse.model, "Convolution"))
    for op in variants.sparse.model.get_ordered_ops():
        if op.get_type_name() == "GroupConvolution":
            assert op.input(1).get_element_type().get_type_name() == "f32"
            assert op.input(1).get_source_output().get_node().get_type_name() in ("Constant", "Reshape")


def test_polynomials_take_the_activations_place(variants):
    assert set(variants.fitted.gates) == {unit.name for unit in variants.units}
    kinds = [op.get_type_name() for op in variants.fitted.model.get_ordered_ops()]
    assert "Exp" not in kinds
    assert "Divide" not in kinds
    assert "Divide" in [op.get_type_name() for op in variants.all.model.get_ordered_ops()]


def test_what_the_plugin_fuses_cheaply_is_left_alone(tmp_path):
    made = Variants(export("relu", tmp_path / "relu.onnx"), FEW, half_range=True)
    assert [unit.cheap for unit in made.units] == [True] * 3
    variant = made.exported("all")
    assert made.polynomials(variant, 1.0).gates == {}


# ---- what is kept


def test_the_fastest_acceptable_variant_is_written(done):
    record = OpenVinoQuantizationRecord.read(done.out / "quantization.json")
    assert record == done.record
    assert (record.chosen, record.faster) == ("no-depthwise, 0.5 step", True)
    assert record.reason.startswith("model.onnx: INT8 (no-depthwise, 0.5 step) takes 0.60")
    assert [one.name for one in record.candidates][:2] == ["all", "no-depthwise"]
    assert record.weights_sha256 == sha256_file(done.weights)
    assert "int8" in record.kept.layers
    assert "TanhExp" in record.kept.activations
    assert record.kept.polynomials == 3
    assert 0 < record.kept.form_error < 0.1


def test_accuracy_and_outputs_are_close_to_the_float_models(done):
    assert done.record.float_accuracy > 0.8
    for one in done.record.candidates[:2]:
        assert one.accuracy > done.record.float_accuracy - 0.03
        assert one.error.sqnr_db > 15
        assert one.error.agreement > 0.93


def test_a_session_opens_it_and_agrees_with_the_float_model(done, portable):
    int8, exact = (edgeacts.open_session(path, runtime="openvino") for path in (done.xml, portable))
    a, b = int8([JUDGES[:50]])[0], exact([JUDGES[:50]])[0]
    assert np.mean(a.argmax(1) == b.argmax(1)) >= 0.95
    assert not np.array_equal(a, b)


def test_what_it_is_travels_in_the_file(done):
    read = read_file(done.xml)
    stated = json.loads(read.metadata["edgeacts.int8"])
    assert stated["placement"] == "no-depthwise"
    assert stated["half_range"] is True
    assert read.metadata["edgeacts.classes"] == '["0"]'
    assert read.forms["TanhExp"][0] == "polynomial off by 0.5 of an 8-bit step"
    assert read.forms["TanhExp"][1] >= done.record.kept.form_error


def test_the_same_inputs_give_the_same_bytes(done, portable, tmp_path):
    again = quantize_openvino(
        portable, IMAGES, tmp_path, settings=SETTINGS, judge_images=JUDGES, judge_labels=ANSWERS,
        try_all=True, timing=times(no_depthwise=0.8, no_depthwise_0_5_step=0.6, no_depthwise_1_step=0.65),
    )  # fmt: skip
    assert again.xml.read_bytes() == done.xml.read_bytes()
    assert again.weights.read_bytes() == done.weights.read_bytes()


def test_a_model_that_is_not_faster_is_not_handed_over_unless_asked_for(portable, tmp_path):
    settings = OpenVinoSettings(max_step_share=0.0, batch=1)
    with pytest.raises(
        CheckFailed, match="takes 1.20.*it is not faster; layers run in .*quantization.json has every variant"
    ):
        quantize_openvino(portable, FEW, tmp_path, settings=settings, try_all=True, timing=times(others=1.2))
    record = OpenVinoQuantizationRecord.read(tmp_path / "quantization.json")
    assert (record.faster, record.xml, record.kept.time.comparison) == (False, "", "slower")
    assert [path.name for path in tmp_path.iterdir()] == ["quantization.json"]

    result = quantize_openvino(
        portable,
        FEW,
        tmp_path,
        settings=settings,
        labels=LABELS[: len(FEW)],
        keep_slower=True,
        try_all=True,
        timing=times(others=1.0),
    )
    assert (result.record.faster, result.record.kept.time.comparison) == (False, "cannot tell")
    assert list(read_file(result.xml).model.inputs[0].get_shape()) == [1, 3, 12, 12]


# ---- what cannot be quantized


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (IMAGES[:0], "0 calibration images"),
        (np.full_like(IMAGES, np.nan), "NaN or infinity"),
        (IMAGES[:, :2], r"have shape \[64, 2, 12, 12\]"),
        (IMAGES.astype(np.int32), "float32 array"),
        ([1, 2], "a list"),
    ],
)
def test_images_that_do_not_fit(portable, tmp_path, images, match):
    with pytest.raises(UsageError, match=match):
        quantize_openvino(portable, images, tmp_path, timing=times())


def test_models_that_do_not_fit(portable, tmp_path, done):
    with pytest.raises(UsageError, match="is no ONNX file: give the float portable"):
        quantize_openvino(done.xml, IMAGES, tmp_path, timing=times())
    with pytest.raises(UsageError, match="does not exist"):
        quantize_openvino(tmp_path / "no.onnx", IMAGES, tmp_path, timing=times())
    with pytest.raises(UsageError, match="judge_labels without judge_images"):
        quantize_openvino(portable, IMAGES, tmp_path, judge_labels=[1], timing=times())


def test_nan_inside_the_float_model_is_said(variants, portable):
    from edgeacts.quantization.openvino_ranges import inputs_seen

    model = read_file(portable).model
    with pytest.raises(EdgeactsError, match="gets NaN or infinity on the calibration images"):
        inputs_seen(model, variants.units, np.full((1, 3, 12, 12), 3e38, np.float32))
