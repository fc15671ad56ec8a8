"""`edgeacts tune --precision int8`: what is measured, and what `edgeacts quantize` does with it. No latency is measured here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from openvino_networks import ANSWERS, IMAGES, JUDGES, export, times

from edgeacts.activations import activation
from edgeacts.bodies import chosen_bodies
from edgeacts.circumstances import circumstances
from edgeacts.cli import main
from edgeacts.errors import UsageError
from edgeacts.forms import choose_for, tuned
from edgeacts.forms.tuned import fastest_setting, setting_name, user_file
from edgeacts.quantization import quantize
from edgeacts.quantization.openvino import quantize_openvino
from edgeacts.quantization.openvino_data import Data
from edgeacts.quantization.openvino_search import Search
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.openvino_tuned import Advice, advice
from edgeacts.quantization.openvino_variants import Variants
from edgeacts.quantization.tuned_bodies import with_bodies_for
from edgeacts.records import (
    LatencyRecord,
    LatencySeries,
    TunedActivation,
    TunedSetting,
    TuningEntry,
    TuningRecord,
)
from edgeacts.runtimes import open_runtime
from edgeacts.tuning import TuneSettings, measuring, tune, write_entry
from edgeacts.tuning.calibration import noise_images
from edgeacts.tuning.candidates import forms_to_try

pytestmark = pytest.mark.filterwarnings("ignore")  # nncf and what it imports
SIZE = 12
ON_OPENVINO = TuneSettings(precision="int8", size=SIZE)
ON_ORT = TuneSettings(runtime="onnxruntime", precision="int8", size=SIZE)
FEW = IMAGES[:16]
SETTINGS = OpenVinoSettings(reduce_range="yes", max_drop=3.0)


@pytest.fixture(autouse=True)
def _no_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEACTS_TUNING", raising=False)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("nets")
    return {name: export(name, folder / f"{name}.onnx") for name in ("relu", "tanhexp")}


def answer(path: Path, runtime: str, count: int) -> np.ndarray:
    with open_runtime(path, runtime) as session:
        return next(iter(session.infer({session.inputs[0].name: JUDGES[:count]}).values()))


class Bench:
    """Stands for `benchmark`: runs every file once, and takes latencies from a table by label."""

    def __init__(self) -> None:
        self.outputs: dict[str, np.ndarray] = {}
        self.asked: dict[str, Any] = {}
        self.ratios: Mapping[str, float] = {}

    def __call__(self, paths: list[Path], **asked: Any) -> LatencyRecord:
        self.asked, (runtime,) = asked, asked["runtimes"]
        self.outputs = {
            label: answer(path, runtime, 1) for label, path in zip(asked["labels"], paths, strict=True)
        }
        series = tuple(self.series(label, place) for place, label in enumerate(asked["labels"]))
        return LatencyRecord(
            series=series, blocks=(), noise_floors=(), processes=3, warmup_rounds=1, threads=1, batch=1, seed=0,
            confidence=0.95, precision_asked=0.01, precision_reached=0.01, budget_s=1.0, stopped="precision",
            seconds=1.0, skipped={}, circumstances=circumstances(),
        )  # fmt: skip

    def series(self, label: str, place: int) -> LatencySeries:
        ratio = self.ratios.get(label, 1.5) if place else 1.0
        return LatencySeries(
            label=label, model="m", model_sha256="0" * 64, runtime="r", size_bytes=1, samples_ns=(1, 1, 1),
            starts_ns=(1, 2, 3), block_of=(0, 0, 0), median_ns=1e6, quantiles_ns={"p50": 1e6}, ratio=ratio,
            ratio_low=ratio, ratio_high=ratio, comparison="slower", executed={"runtime_version": "7.8"},
        )  # fmt: skip


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, nets: dict[str, Path]) -> Bench:
    made, relu = Bench(), onnx.load(nets["relu"])
    relu.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    monkeypatch.setattr(measuring, "benchmark", made)
    monkeypatch.setattr(measuring, "network_with_relu", lambda model, size: relu)
    return made


# ---- what is measured


def test_openvino_every_way_to_quantize_is_measured(bench: Bench) -> None:
    bench.ratios = {"no-depthwise, 0.5 step": 1.1, "all, native": 1.105, "float": 1.0}
    entry = tune([activation("gelu")], ON_OPENVINO)
    labels = bench.asked["labels"]
    assert labels[:2] == ["relu (baseline)", "float"]
    ways = ("", ", native", ", 0.25 step", ", 0.5 step", ", fused, 3 step")
    assert {f"{placement}{way}" for placement in ("all", "no-depthwise") for way in ways} < set(labels)
    assert (bench.asked["precision"], entry.precision) == ("f32", "int8")
    exact = bench.outputs["float"]
    moved = float(np.abs(bench.outputs["relu (baseline)"] - exact).max())
    for label in labels[2:]:
        assert 0 < np.abs(bench.outputs[label] - exact).max() < moved, label
    assert not np.array_equal(bench.outputs["all"], bench.outputs["all, 0.5 step"])
    (one,) = entry.activations
    assert one.forms == ()
    assert [s.ratio for s in one.settings] == sorted(s.ratio for s in one.settings)
    best = fastest_setting(one.settings, 1.0)
    assert best is not None
    assert (best.placement, best.step_share, best.body) == (
        "all",
        None,
        "native",
    )  # as fast within 1 %, exact
    write_entry(user_file(), entry)
    assert TuningRecord.read(user_file()).entries == (entry,)


def test_openvino_cheap_activations_get_no_polynomial(bench: Bench) -> None:
    tune([activation("sau")], ON_OPENVINO)
    assert bench.asked["labels"] == ["relu (baseline)", "float", "all", "no-depthwise"]


def test_onnxruntime_every_form_stands_between_q_and_dq(bench: Bench) -> None:
    bench.ratios = {"exact": 1.2}
    entry = tune([activation("mish")], ON_ORT)
    labels = bench.asked["labels"]
    assert {"ratio", "native", "exact"} < set(labels)
    moved = float(np.abs(bench.outputs[labels[0]] - bench.outputs["exact"]).max())
    for label in labels[1:]:  # forms differ by 1e-5, which now and then is a step
        assert np.abs(bench.outputs[label] - bench.outputs["exact"]).max() < 0.1 * moved, label
    write_entry(user_file(), entry)
    asked: dict[str, Any] = {"runtime": "onnxruntime", "precision": "int8"}
    assert choose_for(activation("mish"), **asked).form.name == "exact"
    assert choose_for(activation("mish"), runtime="onnxruntime").form.name == "ratio"


# ---- which setting counts


def setting(ratio: float, share: float | None = None, placement: str = "all") -> TunedSetting:
    return TunedSetting(
        placement=placement, step_share=share, body="", ratio=ratio, ratio_low=ratio, ratio_high=ratio
    )


def test_the_fastest_setting_is_quantized_and_within_the_error_allowed() -> None:
    known = [setting(0.9, None, "float"), setting(1.1, 1.0), setting(1.2, 0.5), setting(1.205, 0.25)]
    best = fastest_setting(known, 1.0)
    assert best is not None
    assert setting_name(best) == "all, 1 step"
    assert fastest_setting(known, 0.5) == known[3]
    assert fastest_setting(known[:1], 1.0) is None


@pytest.fixture
def advised(tmp_path: Path) -> Path:
    """A tuning file of this machine that says 0.5 step, depthwise layers in float, for TanhExp."""
    path, definition = tmp_path / "tuning.json", activation("tanhexp")
    known = (setting(1.1, 0.5, "no-depthwise"), setting(1.3, None, "no-depthwise"))
    one = TunedActivation(
        activation="tanhexp", formula=str(definition.formula), parameters={}, forms=(), settings=known
    )
    entry = TuningEntry(
        runtime="openvino", runtime_version="7.8", precision="int8", model="mobilenet_v2", input_shape=(1, 3, 12, 12),
        threads=1, rounds=3, baseline_ms=1.0, activations=(one,), circumstances=circumstances(),
    )  # fmt: skip
    assert "openvino" in entry.circumstances.versions
    write_entry(path, entry)
    return path


def test_a_file_that_is_given_counts_and_the_machines_own_only_if_it_is_of_this_machine(
    advised: Path, nets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tuned, "DEFAULTS", advised.with_name("nothing")
    )  # which may have been measured on this CPU
    found = advice(nets["tanhexp"], SETTINGS, advised)
    assert found is not None
    assert found.name == "no-depthwise, 0.5 step"
    assert str(advised) in found.told
    assert advice(nets["relu"], SETTINGS, advised) is None
    exact = advice(nets["tanhexp"], OpenVinoSettings(max_step_share=0.0), advised)
    assert exact is not None
    assert exact.name != found.name
    with pytest.raises(UsageError, match="does not exist"):
        advice(nets["tanhexp"], SETTINGS, advised.with_name("no.json"))
    record = TuningRecord.read(advised)
    monkeypatch.setenv("EDGEACTS_TUNING", str(advised))
    assert advice(nets["tanhexp"], SETTINGS) is not None
    for change in ({"cpu": "another"}, {"cpu_features": ("sse4_2",)}, {"versions": {"openvino": "1.0"}}):
        (entry,) = record.entries
        elsewhere = replace(entry, circumstances=replace(entry.circumstances, **change))
        own = advised.with_name(f"{next(iter(change))}.json")
        replace(record, entries=(elsewhere,)).write(own)
        monkeypatch.setenv("EDGEACTS_TUNING", str(own))
        assert advice(nets["tanhexp"], SETTINGS) is None
        assert advice(nets["tanhexp"], SETTINGS, own) is not None


# ---- what quantize does with it


def quantized(path: Path, out: Path, advised: Path, **ratios: float) -> Any:
    return quantize_openvino(
        path, FEW, out, settings=SETTINGS, judge_images=JUDGES, judge_labels=ANSWERS, tuning=advised,
        timing=times(**ratios),
    ).record  # fmt: skip


def test_the_advised_variant_is_tried_first_and_alone(
    advised: Path, nets: dict[str, Path], tmp_path: Path
) -> None:
    record = quantized(nets["tanhexp"], tmp_path, advised, no_depthwise_0_5_step=0.9, others=0.1)
    assert [one.name for one in record.candidates] == ["no-depthwise", "no-depthwise, 0.5 step"]
    assert (record.chosen, record.faster) == ("no-depthwise, 0.5 step", True)
    assert record.tuned.startswith("no-depthwise, 0.5 step is the fastest for tanhexp in mobilenet_v2 on")
    assert record.tuned.endswith("it was tried first and holds, so that no other was")


@pytest.fixture(scope="module")
def variants(nets: dict[str, Path]) -> Variants:
    """NNCF runs once for all searches."""
    made = Variants(nets["tanhexp"], FEW, half_range=True)
    known = {placement: made.exported(placement) for placement in made.placements}
    # mypy knows a method there: what takes its place answers the same from what NNCF has made already
    made.exported = lambda placement, step=None: known[placement]  # type: ignore[method-assign, assignment]
    return made


def searched(
    variants: Variants, out: Path, settings: OpenVinoSettings, advised: TunedSetting, **ratios: float
) -> Any:
    data = Data(FEW, JUDGES, ANSWERS, 1)
    search = Search(variants.path, variants, data, settings, times(**ratios), out, False)
    return search.run(Advice(advised, "it is said")), search


def test_an_advised_variant_that_does_not_hold_lets_all_be_tried(variants: Variants, tmp_path: Path) -> None:
    half = setting(1.1, 0.5, "no-depthwise")
    kept, search = searched(variants, tmp_path, SETTINGS, half, no_depthwise_0_5_step=1.2, all=0.8)
    assert kept.name == "all"
    assert {f"{p}{way}" for p in ("all", "no-depthwise") for way in ("", ", 0.5 step")} < set(
        search.candidates
    )
    assert "does not hold (it takes 1.20 of the float model's time), so that all were tried" in search.told

    strict = replace(SETTINGS, max_drop=100.0, extra_noise_db=0.0, max_step_share=8.0)
    kept, search = searched(variants, tmp_path, strict, setting(1.1, 8.0, "no-depthwise"))
    assert "dB more noise than with exact activations, 0 are allowed), so that all were tried" in search.told
    refused = next(one for one in search.candidates.values() if not one.acceptable)
    assert "dB more noise than with all layers in INT8 and exact activations, 0 are allowed" in refused.why

    native = replace(setting(1.1), body="native")  # OpenVINO has no TanhExp
    kept, search = searched(variants, tmp_path, SETTINGS, native)
    assert "it cannot be made of this model, so that all were tried" in search.told
    kept, search = searched(variants, tmp_path, SETTINGS, setting(1.1, None, "of no model"))
    assert (kept.name, list(search.candidates)) == ("all", ["all"])


def test_quantize_writes_the_tuned_body_for_a_runtime_without_kernels(
    bench: Bench, nets: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "t.json"
    own = choose_for(activation("tanhexp"), runtime="onnxruntime", precision="int8").form.name
    other = next(f.name for f in forms_to_try(activation("tanhexp"), ON_ORT) if f.name != own)
    bench.ratios = {other: 1.1}
    write_entry(path, tune([activation("tanhexp")], ON_ORT))
    plain, tuned_file = (
        quantize(nets["tanhexp"], FEW, tmp_path / name, body_for=runtime, tuning=path)
        for name, runtime in (("plain", None), ("tuned", "onnxruntime"))
    )
    bodies = [onnx.load(done.portable).functions[0] for done in (plain, tuned_file)]
    assert list(bodies[0].node) == list(onnx.load(nets["tanhexp"]).functions[0].node)
    stated = {p.key: p.value for p in onnx.load(tuned_file.portable).metadata_props}["edgeacts.forms"]
    assert json.loads(stated)["TanhExp"]["form"] == other
    a, b = (answer(done.portable, "onnxruntime", 50) for done in (plain, tuned_file))
    assert np.mean(a.argmax(1) == b.argmax(1)) >= 0.95
    float_file = onnx.load(nets["tanhexp"])
    for other_runtimes in (float_file, with_bodies_for(float_file, "onnxruntime", path)):
        assert chosen_bodies(other_runtimes, "openvino", "f32", "file")  # they are not forgotten
    with pytest.raises(UsageError, match="unknown runtime without kernels 'tensorrt'"):
        quantize(nets["tanhexp"], FEW, tmp_path, body_for="tensorrt")


# ---- what is said


def test_command_and_explain(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.ratios = {"all, 0.5 step": 1.1}
    assert main(["tune", "--precision", "int8", "--activation", "nish", "--size", str(SIZE)]) == 0
    out = capsys.readouterr().out
    assert "  all, 0.5 step                 1.100 [1.100, 1.100]  <- the fastest" in out
    assert main(["explain", "nish"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "INT8 on openvino, latency of a network over that with ReLU in INT8:" in told
    assert "tried first: all, 0.5 step: the fastest in mobilenet_v2 on" in told
    assert "forms on onnxruntime between Q and DQ" in told


def test_explain_says_where_nothing_was_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "DEFAULTS", tmp_path / "none")
    assert main(["explain", "relu"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "not measured (edgeacts tune --precision int8): edgeacts quantize tries every way" in told


def test_explain_says_that_settings_of_another_cpu_are_not_tried_first(
    advised: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEACTS_TUNING", str(advised))
    assert main(["explain", "tanhexp"]) == 0
    assert "tried first: no-depthwise, 0.5 step" in " ".join(capsys.readouterr().out.split())
    record = TuningRecord.read(advised)
    (entry,) = record.entries
    elsewhere = replace(entry, circumstances=replace(entry.circumstances, cpu="another"))
    replace(record, entries=(elsewhere,)).write(advised)
    assert main(["explain", "tanhexp"]) == 0
    assert "tried first: none, every way is tried" in " ".join(capsys.readouterr().out.split())


def test_calibration_images_are_standard_normal_and_follow_the_seed() -> None:
    images = noise_images(16, 3)
    assert images.shape == (8, 3, 16, 16)
    assert images.dtype == np.float32
    assert abs(float(images.mean())) < 0.05
    assert abs(float(images.std()) - 1) < 0.05
    assert np.array_equal(images, noise_images(16, 3))
    assert not np.array_equal(images, noise_images(16, 4))
