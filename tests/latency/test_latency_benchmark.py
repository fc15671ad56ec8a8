"""`benchmark` and its table: real sessions for what is recorded, fake ones on a fake clock for times."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

import edgeacts.latency.measure as measure
from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError
from edgeacts.files import sha256_file
from edgeacts.latency import benchmark, format_latency
from edgeacts.records import LatencyRecord
from edgeacts.runtimes import Executed, Session, TensorSpec

MODEL = """
<ir_version: 10, opset_import: ["" : 20, "edgeacts" : 1]>
net (float[batch, 4] x) => (float[batch, 4] y) { y = edgeacts.TanhExp(x) }
<domain: "edgeacts", opset_import: ["" : 20]>
TanhExp (x) => (y) { e = Exp(x)  t = Tanh(e)  y = Mul(x, t) }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("relu", "mish", "nish"):
        onnx.save(parser.parse_model(MODEL), tmp_path / f"{name}.onnx")
    return tmp_path


class FakeSession(Session):
    """Costs `cost_ns` a run on a clock of its own; checks and first run cost nothing."""

    clock_ns = 0
    order: list[str] = []  # noqa: RUF012
    open_sessions = 0

    def __init__(self, path: Path, runtime: str, cost_ns: int) -> None:
        super().__init__(str(path), (TensorSpec("x", "float32", (None, 4), ("batch", "")),), ())
        self.name, self.runtime, self.cost_ns = path.stem, runtime, cost_ns
        FakeSession.open_sessions += 1

    native = None

    def executed(self) -> Executed:
        return {"runtime": self.runtime, "precision": "f32"}

    def _run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return []

    def _bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        def run() -> None:
            FakeSession.order.append(f"{self.name} {self.runtime}")
            FakeSession.clock_ns += self.cost_ns

        return run

    def _close(self) -> None:
        FakeSession.open_sessions -= 1


COSTS = {
    ("relu", "onnxruntime"): 1000, ("mish", "onnxruntime"): 15_000, ("nish", "onnxruntime"): 7000,
    ("relu", "openvino"): 2000, ("mish", "openvino"): 3000, ("nish", "openvino"): 13_000,
}  # fmt: skip


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Fake sessions on a fake clock; gives the list of what they were opened with."""
    opened: list[dict[str, Any]] = []

    def opens(path: Path, runtime: str, **options: Any) -> Session:
        opened.append({"model": path.stem, "runtime": runtime, **options})
        return FakeSession(path, runtime, COSTS[path.stem, runtime])

    FakeSession.clock_ns, FakeSession.order, FakeSession.open_sessions = 0, [], 0
    monkeypatch.setattr(measure, "open_runtime", opens)
    monkeypatch.setattr(measure, "_clock", lambda: FakeSession.clock_ns)
    return opened


def models(folder: Path, *names: str) -> list[Path]:
    return [folder / f"{name}.onnx" for name in names]


BOTH = ("onnxruntime", "openvino")


def test_ratios_are_to_the_first_of_its_runtime(folder: Path, fake: list[dict[str, Any]]) -> None:
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH, rounds=8)
    assert [(s.label, s.runtime, s.median_ns, s.ratio) for s in record.series] == [
        ("relu", "onnxruntime", 1000, 1), ("mish", "onnxruntime", 15_000, 15),
        ("nish", "onnxruntime", 7000, 7),
        ("relu", "openvino", 2000, 1), ("mish", "openvino", 3000, 1.5), ("nish", "openvino", 13_000, 6.5),
    ]  # fmt: skip
    assert all(s.samples_ns == (COSTS[s.label, s.runtime],) * 8 for s in record.series)
    assert all(s.p95_ns == s.median_ns for s in record.series)
    assert (record.rounds, record.warmup_rounds, record.skipped) == (8, 10, {})


def test_models_and_runtimes_take_turns(folder: Path, fake: list[dict[str, Any]]) -> None:
    benchmark(models(folder, "relu", "mish"), runtimes=BOTH, rounds=50)
    rounds = [tuple(FakeSession.order[start : start + 4]) for start in range(0, len(FakeSession.order), 4)]
    assert len(rounds) == 10 + 50
    assert all(len(set(one)) == 4 for one in rounds)
    assert len(set(rounds)) > 15


def test_everything_is_open_before_the_first_run_and_closed_after_the_last(
    folder: Path, fake: list[dict[str, Any]]
) -> None:
    benchmark(models(folder, "relu", "mish"), rounds=5, threads=2, provider="cuda", precision="f16")
    common = {"runtime": "onnxruntime", "threads": 2, "level": None, "provider": "cuda", "precision": "f16"}
    assert fake == [{"model": "relu", **common}, {"model": "mish", **common}]
    assert FakeSession.open_sessions == 0


def test_baseline_is_measured_first(folder: Path, fake: list[dict[str, Any]]) -> None:
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH, rounds=5, baseline="nish")
    assert [(s.label, s.ratio) for s in record.series if s.runtime == "onnxruntime"] == [
        ("nish", 1), ("relu", 1 / 7), ("mish", 15 / 7),
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"unknown baseline 'gelu': it must be .*: relu, mish"):
        benchmark(models(folder, "relu", "mish"), baseline="gelu")


def test_budget_ends_the_rounds(folder: Path, fake: list[dict[str, Any]]) -> None:
    record = benchmark(models(folder, "relu", "mish"), rounds=1000, budget_s=1600e-6)
    assert record.warmup_rounds == 10
    assert record.rounds == 90
    assert {len(s.samples_ns) for s in record.series} == {90}


def test_level_goes_where_it_exists(folder: Path, fake: list[dict[str, Any]]) -> None:
    benchmark(models(folder, "relu"), runtimes=BOTH, rounds=5, level="extended")
    assert [(one["runtime"], one["level"]) for one in fake] == [
        ("onnxruntime", "extended"),
        ("openvino", None),
    ]
    with pytest.raises(UsageError, match="unknown level 'extendet': did you mean extended"):
        benchmark(models(folder, "relu"), runtimes=BOTH, level="extendet")


def test_call_too_short_for_the_clock(
    folder: Path, fake: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COSTS, ("relu", "onnxruntime"), 0)
    with pytest.raises(EdgeactsError, match=r"relu takes less than the clock can tell: give a larger batch"):
        benchmark(models(folder, "relu"), rounds=5)


def test_real_runs_are_recorded_whole(folder: Path) -> None:
    (path,) = models(folder, "mish")
    record = benchmark([str(path)], runtimes=BOTH, rounds=6, batch=3, seed=5, progress=True)
    assert LatencyRecord.from_json(record.to_json()) == record
    assert [series.runtime for series in record.series] == list(BOTH)
    for series in record.series:
        assert len(series.samples_ns) == 6
        assert min(series.samples_ns) > 0
        assert min(series.samples_ns) <= series.median_ns <= series.p95_ns <= max(series.samples_ns)
        assert (series.label, series.model, series.ratio) == ("mish", str(path), 1.0)
        assert (series.model_sha256, series.size_bytes) == (sha256_file(path), path.stat().st_size)
        assert series.executed["inputs"] == "x float32[3, 4]"
        assert series.executed["runtime"] == series.runtime
        assert series.executed["precision"] == "f32"
    assert (record.threads, record.batch, record.seed) == (1, 3, 5)
    assert record.circumstances.versions["onnxruntime"]


def test_given_inputs_are_used(folder: Path) -> None:
    record = benchmark(models(folder, "relu"), rounds=5, inputs={"x": np.ones((7, 4), np.float32)})
    assert record.batch == 7
    assert record.series[0].executed["inputs"] == "x float32[7, 4]"
    with pytest.raises(UsageError, match=r"expected float32 \[batch, 4\], got float64 \[7, 4\]"):
        benchmark(models(folder, "relu"), rounds=5, inputs={"x": np.ones((7, 4))})


def test_what_one_runtime_cannot_do_is_skipped_with_the_reason(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    record = benchmark(models(folder, "relu", "bad"), runtimes=BOTH, rounds=5, precision="bf16")
    assert [(series.label, series.runtime) for series in record.series] == [("relu", "openvino")]
    assert set(record.skipped) == {"relu on onnxruntime", "bad on onnxruntime", "bad on openvino"}
    assert "give it a bf16 model" in record.skipped["relu on onnxruntime"]
    assert "bad.onnx is not an ONNX model" in record.skipped["bad on openvino"]


def test_nothing_measured_is_an_error(folder: Path) -> None:
    (bad,) = models(folder, "bad")
    bad.write_bytes(b"no model")
    with pytest.raises(DamagedFile, match=r"^.*bad\.onnx is not a valid ONNX model"):
        benchmark([bad])
    with pytest.raises(
        DamagedFile, match=r"nothing could be measured: bad on onnxruntime: .*; bad on openvino: "
    ):
        benchmark([bad], runtimes=BOTH)
    with pytest.raises(NotAvailable, match=r"^this onnxruntime has no provider 'warp'") as caught:
        benchmark(models(folder, "relu", "mish"), provider="warp")
    assert str(caught.value).count("warp") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"rounds": 4}, "rounds must be an integer from 5 to 100000, got 4"),
        ({"rounds": 6.0}, "rounds must be an integer from 5 to 100000, got 6.0"),
        ({"batch": 0}, "batch must be an integer from 1 to 4096, got 0"),
        ({"batch": 4097}, "got 4097"),
        ({"threads": 10**6}, "threads must be an integer from 1 to "),
        ({"budget_s": 0.0}, "budget_s must be a positive number of seconds, got 0.0"),
        ({"budget_s": float("nan")}, "budget_s must be a positive number of seconds, got nan"),
        ({"sizes": {"height": 0}}, "size of 'height' must be an integer from 1 to"),
        ({"runtimes": ()}, "give at least one runtime"),
        ({"runtimes": ("tflite",)}, "unknown runtime 'tflite'"),
        ({"labels": ("a", "b")}, "2 labels for 1 models"),
        ({"labels": (" ",)}, "label ' ' is empty or given twice"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str, folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        benchmark(models(folder, "relu"), **arguments)
    assert text in str(caught.value)


def test_no_model_and_missing_model(folder: Path) -> None:
    with pytest.raises(UsageError, match="give at least one model"):
        benchmark([])
    with pytest.raises(UsageError, match=r"model .*none\.onnx does not exist"):
        benchmark(models(folder, "relu", "none"))
    with pytest.raises(UsageError, match="is a folder, a file is needed"):
        benchmark([folder])


def test_labels_are_different(folder: Path, fake: list[dict[str, Any]]) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "relu.onnx").write_bytes((folder / "relu.onnx").read_bytes())
    paths = [*models(folder, "relu", "mish", "mish"), folder / "other" / "relu.onnx"]
    labels = [series.label for series in benchmark(paths, rounds=5).series]
    name = folder.name
    assert labels == [f"{name}/relu", "mish", "mish#2", "other/relu"]
    given = benchmark(models(folder, "relu", "mish"), rounds=5, labels=["one", "two"])
    assert [series.label for series in given.series] == ["one", "two"]
    with pytest.raises(UsageError, match="label 'one' is empty or given twice"):
        benchmark(models(folder, "relu", "mish"), labels=["one", "one"])


def test_no_progress_bar_off_a_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark(models(folder, "relu"), rounds=5, progress=True)
    assert capsys.readouterr() == ("", "")


def test_table(folder: Path, fake: list[dict[str, Any]]) -> None:
    long = "mobilenet_v2_tanhexp_with_a_name_that_is_long_int8"
    record = benchmark(models(folder, "relu", "mish"), runtimes=BOTH, rounds=5, labels=["relu", long])
    text = format_latency(record)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["model", "runtime", "executed", "median", "ms", "p95", "ms", "ratio"]
    assert lines[2].split() == ["relu", "onnxruntime", "f32", "0.001", "0.001", "1.00"]
    assert lines[3].split()[1:] == ["onnxruntime", "f32", "0.015", "0.015", "15.00"]
    assert lines[3].startswith("mobilenet_v2")
    assert "…" in lines[3]
    assert "int8 " in lines[3]
    about = " ".join(lines[6:])
    assert "1 thread, batch 1, 5 interleaved rounds after 10 of warm-up" in about
    assert "Ratio 1 is relu." in about


def test_table_names_what_was_skipped_and_each_baseline(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    record = benchmark(models(folder, "bad", "relu"), rounds=5)
    text = format_latency(record)
    assert "skipped: bad on onnxruntime:" in text
    assert max(len(line) for line in text.splitlines() if str(folder) not in line) <= 80
    assert "Ratio 1 is relu." in " ".join(text.split())
