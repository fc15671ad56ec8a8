"""From an 8-bit model to one whose accuracy is allowed: 7-bit weights, fine-tuning, layers in float; and the command."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import onnx
import pytest
import quantized_records
from coarse import coarsened
from quantizing import exported
from tinted import tinted_digits

from edgeacts import data
from edgeacts.circumstances import circumstances
from edgeacts.cli import main
from edgeacts.cli.quantize import summary
from edgeacts.errors import UsageError
from edgeacts.files import sha256_file
from edgeacts.quantization import Quantized, QuantizeSettings, layers_of, post_training, product_nodes
from edgeacts.quantization.checking import load_model
from edgeacts.quantization.gate import GateSettings
from edgeacts.quantization.judged import JudgeSettings, elements_of, judge
from edgeacts.quantization.qat import QatSettings
from edgeacts.quantization.saturation import probe
from edgeacts.records import GateRecord, QatRecord, SaturationRecord

pytestmark = pytest.mark.usefixtures("one_thread")
DATASET = tinted_digits()
# 597 images cannot prove half a point; what is seen must be within the limit.
LIMIT = GateSettings(max_drop=1.0)
TUNING = QatSettings(epochs=2, learning_rate=3e-3, threads=1)


def quantized(folder: Path, reduce_range: str = "auto") -> Quantized:
    images = DATASET.preprocessing(DATASET.train.images[:96])
    settings = QuantizeSettings(ranges="minmax", reduce_range=reduce_range, sensitivity=False)
    return post_training(load_model(exported("mish", folder)), images, settings=settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    return quantized(tmp_path_factory.mktemp("done"))


@pytest.fixture(scope="module")
def spoilt(done: Quantized) -> Quantized:
    """Its weights have three levels; what is built of it anew has 8 bits again."""
    return replace(
        done,
        model=coarsened(done.model, done.calibration.prepared, 1),
        settings=QuantizeSettings(ranges="minmax", reduce_range="yes", sensitivity=False),
    )


def test_a_good_model_passes_as_it_is(done: Quantized, tmp_path: Path) -> None:
    judged = judge(done, DATASET, JudgeSettings(LIMIT), out=tmp_path)
    assert judged.gate.passed
    assert len(judged.gate.tries) == 1
    assert judged.gate.tries[0].drop.total == 597
    assert judged.reduce is not None
    assert judged.done.settings.reduce_range == ("yes" if judged.reduce.reduce else "no")
    assert judged.reduce.full.total == 300  # the validation images
    assert judged.saturation is not None
    assert judged.saturation.total == 597
    assert judged.saturation.saturates_here == probe().saturates
    assert judged.saturation.differing_outputs == 0
    assert judged.qat is None
    assert judged.done.keep_float == frozenset()


def test_a_range_that_was_given_is_not_decided_again(spoilt: Quantized, tmp_path: Path) -> None:
    judged = judge(spoilt, DATASET, JudgeSettings(LIMIT), out=tmp_path)
    assert judged.reduce is None
    assert judged.saturation is not None
    assert judged.saturation.layers == ()


def test_layers_go_back_to_float_until_it_is_allowed(spoilt: Quantized, tmp_path: Path) -> None:
    judged = judge(spoilt, DATASET, JudgeSettings(LIMIT, test_images=400), out=tmp_path)
    assert judged.gate.tries[0].drop.drop > 2.0
    assert judged.gate.passed
    assert len(judged.gate.tries) == 2
    assert judged.gate.tries[0].drop.total == 400
    assert judged.done.keep_float
    assert all(cost > 0 for cost in judged.gate.costs.values())
    assert max(judged.gate.sensitivities.values()) > 0
    assert judged.done.model.ByteSize() == judged.gate.tries[1].size_bytes


def test_fine_tuning_comes_before_float_and_only_if_needed(
    done: Quantized, spoilt: Quantized, tmp_path: Path
) -> None:
    settings = JudgeSettings(GateSettings(max_drop=3.0), qat=TUNING)
    judged = judge(spoilt, DATASET, settings, out=tmp_path)
    assert judged.qat is not None
    assert judged.qat.kept
    assert judged.gate.tries[0].drop == judged.qat.after
    assert judged.gate.tries[0].drop.drop < judged.qat.before.drop - 2.0
    (said,) = (p.value for p in judged.done.model.metadata_props if p.key == "edgeacts.int8")
    assert json.loads(said)["fine_tuned"]["epochs"] == 2
    assert judge(done, DATASET, settings, out=tmp_path).qat is None
    always = judge(done, DATASET, replace(settings, qat_when="always"), out=tmp_path)
    assert always.qat is not None


def test_what_cannot_be_emulated_is_said_and_quantized_all_the_same(
    done: Quantized, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product_nodes, "PRODUCTS", ("QGemm",))
    monkeypatch.setattr(product_nodes, "OTHERS", ("QLinearConv",))
    judged = judge(done, DATASET, JudgeSettings(LIMIT), out=tmp_path)
    assert judged.gate.passed
    assert (judged.saturation, judged.reduce) == (None, None)
    assert "is a QLinearConv, whose arithmetic on other CPUs is not emulated" in judged.why_not
    assert judged.done.settings.reduce_range == "no"


def test_costs_know_what_enters_and_leaves(done: Quantized) -> None:
    found = elements_of(done.calibration.prepared)
    first, second, head = (layer.name for layer in layers_of(done.calibration.prepared))
    assert found[first] == 3 * 12 * 12 + 8 * 6 * 6
    assert found[head] == 32 + 10
    assert found[second] >= 8 * 6 * 6


def test_one_image_judges_nothing(done: Quantized, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--test-images 1: give at least 2"):
        judge(done, DATASET, JudgeSettings(test_images=1), out=tmp_path)


# ---- the command


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["quantize", *[str(a) for a in arguments]])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file states its preprocessing, and the data set can be asked for by name."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setitem(data.SOURCES, "tinted", lambda request: DATASET)
    proto = onnx.load(exported("mish", tmp_path_factory.getbasetemp()))
    proto.metadata_props.add(key="edgeacts.preprocessing", value=DATASET.preprocessing.to_json())
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(proto, path)
    return path


def test_the_command_judges_and_says_so(
    model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    common = (model, "--data", "tinted", "--images", 64, "--ranges", "minmax", "--no-bias-correction")
    code, out, err = ran(capsys, *common, "--out", tmp_path, "--max-drop", 5)
    assert (code, err) == (0, "")
    gate, saturation = (
        GateRecord.read(tmp_path / "gate.json"),
        SaturationRecord.read(tmp_path / "saturation.json"),
    )
    assert gate.passed
    assert not (tmp_path / "qat.json").exists()
    text = " ".join(out.split())
    assert gate.model_sha256 == saturation.model_sha256 == sha256_file(tmp_path / "model.int8.onnx")
    assert gate.timed_on.endswith("one thread, one image")
    assert all(tried.latency is not None for tried in gate.tries)
    assert f"latency: over the float model's on {gate.timed_on}, with 95 % intervals" in text
    assert f"HELD: {gate.summary}" in text
    assert gate.verdict == "held"
    assert saturation.summary in text
    assert "in float accuracy drop, points" in text
    assert max(map(len, out.splitlines())) <= 80 + len(str(tmp_path))
    few = ("--max-drop", 0.1, "--test-images", 100, "--no-latency", "--reduce-range", "yes")
    code, out, _ = ran(capsys, *common, "--out", tmp_path / "few", *few)
    assert code == 0
    assert "CANNOT TELL: 100 images cannot tell whether the drop is at most 0.1 points, about " in " ".join(
        out.split()
    )
    code, out, _ = ran(capsys, *common, "--out", tmp_path / "strict", "--strict", *few)
    assert code == 1
    assert (
        "FAILED: 100 images cannot prove a drop of at most 0.1 points, at least 3,838 are needed"
        in " ".join(out.split())
    )
    refused = GateRecord.read(tmp_path / "strict" / "gate.json")
    assert not refused.passed
    assert ([tried.latency for tried in refused.tries], refused.timed_on) == ([None], "")
    assert "latency" not in out
    assert (tmp_path / "strict" / "model.int8.onnx").exists()
    tuning = ("--qat", "always", "--train-threads", 1, "--max-drop", 20, "--reduce-range", "yes")
    code, out, _ = ran(capsys, *common, "--out", tmp_path / "tuned", *tuning)
    assert code == 0
    assert f"fine-tuning: {QatRecord.read(tmp_path / 'tuned' / 'qat.json').summary}" in " ".join(out.split())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--lr", 0.1), "--lr is about fine-tuning: give --qat too"),
        (("--batch-size", 8), "--batch-size is about fine-tuning: give --qat too"),
        (("--qat", "--epochs", 0), "epochs=0: give a whole number from 1"),
        (("--qat", "often"), "'often'"),
        (("--max-drop", 0), "max_drop 0.0: give points of accuracy, more than 0 and below 100"),
        (("--no-gate", "--strict"), "--no-gate and --strict do not go together"),
        (("--no-gate", "--no-latency"), "--no-gate and --no-latency do not go together"),
        (("--no-gate", "--qat"), "--no-gate and --qat do not go together"),
    ],
)
def test_options_that_do_not_go_together(
    model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple, text: str
) -> None:
    code, _, err = ran(capsys, model, "--data", "tinted", "--out", tmp_path, *options)
    assert code == 2
    assert text in err


def test_the_summary_names_layers_that_the_gate_put_back() -> None:
    record = quantized_records.quantization("f" * 64, "e" * 64, circumstances(), {"Mish": 35})
    assert "in float: node_stem\n" in summary(record)
    put_back = msgspec.structs.replace(record, float_layers=("node_stem", "node_head"))
    assert "in float: node_stem, node_head\n" in summary(put_back)
    unmeasured = msgspec.structs.replace(record, layers=(), float_layers=("node_head",))
    assert "in float: node_head\n" in summary(unmeasured)
    none = msgspec.structs.replace(record, layers=(), float_layers=())
    assert "in float: no layer (the error is small enough" in summary(none)


def test_doctor_says_whether_this_machine_saturates(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    text = " ".join(capsys.readouterr().out.split())
    assert ("INT8: saturates: " in text) == probe().saturates
    assert ("INT8: does not saturate" in text) == (not probe().saturates)
