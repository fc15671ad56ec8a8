"""`edgeacts tune`: what it measures, what it writes, and what it refuses. Nothing here is timed: latencies are made up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from edgeacts.activations import activation
from edgeacts.circumstances import circumstances
from edgeacts.cli import main
from edgeacts.errors import UsageError
from edgeacts.forms import Choice, choose_for
from edgeacts.forms.tuned import user_file
from edgeacts.oracles import float64
from edgeacts.records import LatencyRecord, LatencySeries, TuningRecord
from edgeacts.tuning import TuneSettings, measuring, networks, tune, with_form, write_entry

SIZE = 32
QUICK = TuneSettings(model="squeezenet1_1", size=SIZE, tolerances=(1e-4, 1e-5))


@pytest.fixture(autouse=True)
def _no_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEACTS_TUNING", raising=False)


@pytest.fixture(scope="module")
def small() -> onnx.ModelProto:
    return networks.network_with_relu("squeezenet1_1", SIZE)


class Bench:
    """Stands for `benchmark`: records what it is asked, and takes the latencies from a function of the label."""

    def __init__(self, ratio: Callable[[str], float]) -> None:
        self.ratio = ratio
        self.asked: list[dict[str, Any]] = []
        self.outputs: dict[str, np.ndarray] = {}

    def __call__(self, paths: list[Path], **asked: Any) -> LatencyRecord:
        self.asked.append(asked)
        image = np.random.default_rng(0).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
        for label, path in zip(asked["labels"], paths, strict=True):
            session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            assert not onnx.load(path).functions
            self.outputs[label] = session.run(None, {"image": image})[0]
        return LatencyRecord(
            series=tuple(self.series(label, place) for place, label in enumerate(asked["labels"])),
            blocks=(), noise_floors=(), processes=3, warmup_rounds=1, threads=1, batch=1, seed=0, confidence=0.95,
            precision_asked=0.01, precision_reached=0.01, budget_s=1.0, stopped="precision", seconds=1.0, skipped={},
            circumstances=circumstances(),
        )  # fmt: skip

    def series(self, label: str, place: int) -> LatencySeries:
        ratio = self.ratio(label) if place else 1.0
        return LatencySeries(
            label=label, model="m.onnx", model_sha256="0" * 64, runtime="openvino", size_bytes=1, samples_ns=(1, 1, 1),
            starts_ns=(1, 2, 3), block_of=(0, 0, 0), median_ns=1e6 * ratio, quantiles_ns={"p50": 1e6 * ratio}, ratio=ratio,
            ratio_low=0.99 * ratio, ratio_high=1.01 * ratio, comparison="slower" if place else "baseline",
            executed={"runtime_version": "7.8"},
        )  # fmt: skip


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, small: onnx.ModelProto) -> Bench:
    """`exact` is the fastest here, which it is not by its operations."""
    made = Bench(lambda label: {"exact": 1.1, "native": 1.2}.get(label, 1.5 + 0.01 * len(label)))
    monkeypatch.setattr(measuring, "benchmark", made)
    monkeypatch.setattr(measuring, "network_with_relu", lambda model, size: small)
    return made


def test_every_form_is_measured_in_the_network(bench: Bench) -> None:
    entry = tune([activation("gelu")], QUICK)
    labels = bench.asked[0]["labels"]
    assert labels[0] == "relu (baseline)"
    assert {"exact", "native"} < set(labels[1:])
    assert any("@1e-4" in label for label in labels)
    assert any("@1e-5" in label for label in labels)
    assert (bench.asked[0]["runtimes"], bench.asked[0]["precision"]) == (("openvino",), "f32")
    # The networks differ by their activation: forms agree, ReLU does not.
    wanted = bench.outputs["exact"]
    movement = float(np.abs(wanted - bench.outputs[labels[0]]).max())
    assert movement > 0.01
    for label in labels[1:]:
        assert np.abs(bench.outputs[label] - wanted).max() < 0.05 * movement, label
    (one,) = entry.activations
    assert (one.activation, one.formula) == ("gelu", str(activation("gelu").formula))
    assert [form.ratio for form in one.forms] == sorted(form.ratio for form in one.forms)
    assert one.forms[0].name == "exact"
    assert (entry.runtime_version, entry.baseline_ms, entry.input_shape) == ("7.8", 1.0, (1, 3, SIZE, SIZE))


def test_what_was_measured_is_what_is_chosen(bench: Bench) -> None:
    silu = activation("silu")
    before = choose_for(silu, runtime="openvino")
    assert before.form.program is not None
    write_entry(user_file(), tune([silu], QUICK))
    after = choose_for(silu, runtime="openvino")
    assert after.form.name == "exact"
    assert "measured 1.10 times ReLU" in after.reason
    assert ", from edgeacts for CPUs with " in choose_for(silu, runtime="onnxruntime").reason


def test_new_measurement_replaces_what_it_measured_anew(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "t.json"
    both = tune([activation("sau"), activation("relu")], QUICK)
    write_entry(path, both)
    bench.ratio = lambda _: 3.0
    record = write_entry(path, tune([activation("sau")], QUICK))
    assert [[a.activation for a in e.activations] for e in record.entries] == [["sau"], ["relu"]]
    assert TuningRecord.read(path) == record
    other = write_entry(
        path,
        tune([activation("relu")], TuneSettings(runtime="onnxruntime", model="squeezenet1_1", size=SIZE)),
    )
    assert [e.runtime for e in other.entries] == ["onnxruntime", "openvino", "openvino"]


def test_network_with_a_form_computes_it() -> None:
    """A Relu network's nodes take the other activation with its attributes."""
    x = torch.linspace(-4, 4, 48).reshape(1, 48)
    graph = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20, "edgeacts" : 1]> g (float[1, 48] x) => (float[1, 48] y) '
        "{ y = edgeacts.Relu (x) } "
        '<domain: "edgeacts", opset_import: ["" : 20]> Relu (x) => (y) { y = Relu (x) }'
    )
    sau = activation("sau")
    values = sau.values({"alpha": 0.4})
    for form in ("leaky", "exact"):
        model = with_form(graph, Choice(sau, sau.form(form), 0.0, {}), values)
        y = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x.numpy()})[0]
        np.testing.assert_allclose(y, float64(sau, x.numpy(), alpha=0.4), atol=1e-5)
    assert graph.graph.node[0].op_type == "Relu"


def test_an_interruption_loses_one_activation_and_resume_leaves_out_what_is_known(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "t.json"
    command = ["tune", "--model", "squeezenet1_1", "--size", str(SIZE), "--activation", "sau,relu,silu"]
    command += ["--out", str(path)]

    def ratio(label: str) -> float:
        if len(bench.asked) == 3:
            raise KeyboardInterrupt
        return 1.5

    bench.ratio = ratio
    assert main(command) == 130
    assert f"{path} has what was measured; --resume goes on from there" in capsys.readouterr().err
    (entry,) = TuningRecord.read(path).entries
    assert [one.activation for one in entry.activations] == ["sau", "relu"]
    bench.ratio = lambda label: 1.5
    assert main([*command, "--resume"]) == 0
    assert "f32: measured before: sau, relu" in capsys.readouterr().out
    assert len(bench.asked) == 4
    known = [one.activation for entry in TuningRecord.read(path).entries for one in entry.activations]
    assert sorted(known) == ["relu", "sau", "silu"]
    assert main([*command, "--resume", "--threads", "2"]) == 0
    assert len(bench.asked) == 7  # two threads are another measurement


def test_weights_are_the_same_each_time(small: onnx.ModelProto) -> None:
    again = networks.network_with_relu("squeezenet1_1", SIZE)
    assert again.SerializeToString() == small.SerializeToString()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"runtime": "tensorrt"}, "unknown runtime to tune 'tensorrt'"),
        ({"precision": "int4"}, "unknown precision to tune 'int4'"),
        ({"model": "resnet"}, "'resnet'"),
        ({"size": 16}, "size 16 must be a whole number from 32 to 512"),
        ({"tolerances": ()}, "give numbers of at least 0"),
        ({"tolerances": (-1.0,)}, "give numbers of at least 0"),
    ],
)
def test_wrong_settings(change: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        tune([activation("relu")], TuneSettings(**{"model": "squeezenet1_1", "size": SIZE, **change}))
    with pytest.raises(UsageError, match="nothing to tune"):
        tune([], QUICK)


def test_command(bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = [
        "--model",
        "squeezenet1_1",
        "--size",
        str(SIZE),
        "--activation",
        "sau,relu",
        "--tolerance",
        "1e-5,1e-9",
    ]
    assert main(["tune", *options, "--json", str(tmp_path / "j.json")]) == 0
    out = capsys.readouterr().out
    assert "relu:" in out
    assert "sau:" in out
    assert "leaky" in out
    assert "exact                 1.100 [1.089, 1.111]  error 0.0e+00  <- within 1e-09, 1e-05" in out
    assert out.splitlines()[-1] == f"written: {user_file()}"
    assert TuningRecord.read(tmp_path / "j.json") == TuningRecord.read(user_file())
    assert max(map(len, out.splitlines())) <= 80 + len(str(user_file()))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--activation", "mihs"], "unknown activation 'mihs': did you mean mish"),
        (["--tolerance", "small"], "'small': write errors such as 1e-5"),
        (["--precision", "int4", "--activation", "relu"], "unknown precision to tune 'int4'"),
        (["--budget", "soon"], "'soon' is no time"),
    ],
)
def test_command_refuses(options: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--size", str(SIZE), *options]) == 2
    assert text in capsys.readouterr().err


def test_explain_says_which_form_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "nish", "--tolerance", "1e-4"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    choice = choose_for(activation("nish"), tolerance=1e-4)
    assert f"chosen: {choice.form.name}: fastest of" in out
    assert "mobilenet_v2 on" in out
    assert "within 1.0e-04" not in out
    for runtime in ("openvino", "onnxruntime"):
        assert f"forms on {runtime}, latency of a network over that with ReLU" in out
