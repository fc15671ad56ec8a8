"""`benchmark` in real processes: what is recorded, how it ends, and what is refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from latency_files import BOTH, models
from onnx import parser

import edgeacts.latency.blocks as blocks
from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError
from edgeacts.files import sha256_file
from edgeacts.latency import benchmark
from edgeacts.records import LatencyRecord

if TYPE_CHECKING:
    from conftest import Fake


def test_ctrl_c_ends_the_measuring_process_too(folder: Path) -> None:
    program = (
        f"import edgeacts; edgeacts.benchmark([{str(folder / 'relu.onnx')!r}], within=None, budget_s=50)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    try:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        if not children.exists():
            pytest.skip("this system does not list a process's children")
        deadline = time.monotonic() + 60
        while not (child := children.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert child, "no process was started"
        parent.send_signal(
            signal.SIGINT
        )  # to the parent alone: what it starts must not depend on the terminal
        _, printed = parent.communicate(timeout=60)
    finally:
        parent.kill()
    assert b"KeyboardInterrupt" in printed
    # Interrupted while it was being started, it is not known yet and ends by itself, when it finds nobody to tell.
    while Path(f"/proc/{child[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child[0]}").exists()


def test_real_runs_are_recorded_whole(folder: Path) -> None:
    (path,) = models(folder, "mish")
    record = benchmark([str(path)], runtimes=BOTH, rounds=6, batch=3, seed=5, progress=True)
    assert LatencyRecord.from_json(record.to_json()) == record
    assert [series.runtime for series in record.series] == list(BOTH)
    for series in record.series:
        assert len(series.samples_ns) == len(series.starts_ns) == 6
        assert min(series.samples_ns) > 0
        assert 0 < series.starts_ns[0] < series.starts_ns[-1] < record.seconds * 1e9
        assert min(series.samples_ns) <= series.median_ns <= max(series.samples_ns)
        assert set(series.quantiles_ns) == {"p50"}
        assert (series.label, series.model, series.ratio) == ("mish", str(path), 1.0)
        assert (series.model_sha256, series.size_bytes) == (sha256_file(path), path.stat().st_size)
        assert series.executed["inputs"] == "x float32[3, 4]"
        assert series.executed["runtime"] == series.runtime
        assert series.executed["precision"] == "f32"
    assert [floor.runtime for floor in record.noise_floors] == list(BOTH)
    assert (record.threads, record.batch, record.seed, record.processes) == (1, 3, 5, 1)
    assert record.circumstances.versions["onnxruntime"]
    if Path("/proc/stat").exists() and len(os.sched_getaffinity(0)) > 1:
        assert record.series[0].executed["pinned_cores"] == 1
    assert all(block.load_average_1min is not None for block in record.blocks)


def test_measuring_does_not_pin_this_process(folder: Path) -> None:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    benchmark(models(folder, "relu"), rounds=5)
    assert before is None or os.sched_getaffinity(0) == before


STRANGE = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[batch, 4] file, int64[1] index) => (float[batch, 1] y) { y = Gather <axis = 1> (file, index) }
"""


def test_given_inputs_are_used(folder: Path) -> None:
    record = benchmark(models(folder, "relu"), rounds=5, inputs={"x": np.ones((7, 4), np.float32)})
    assert record.batch == 7
    assert record.series[0].executed["inputs"] == "x float32[7, 4]"
    onnx.save(parser.parse_model(STRANGE), folder / "gather.onnx")
    arrays = {"file": np.ones((2, 4), np.float32), "index": np.array([3])}
    record = benchmark(models(folder, "gather"), rounds=5, inputs=arrays)
    assert record.series[0].executed["inputs"] == "file float32[2, 4], index int64[1]"
    arrays["index"] = np.array([4])
    with pytest.raises(EdgeactsError, match="gather.onnx failed to run: .*out of data bounds"):
        benchmark(models(folder, "gather"), rounds=5, inputs=arrays)
    with pytest.raises(UsageError, match=r"expected float32 \[batch, 4\], got float64 \[7, 4\]"):
        benchmark(models(folder, "relu"), rounds=5, inputs={"x": np.ones((7, 4))})
    for wrong in ([1.0, 2.0], np.array([{}], object)):
        with pytest.raises(UsageError, match="input 'x' must be a numpy array of numbers, got"):
            # what mypy would refuse is what is refused here
            benchmark(models(folder, "relu"), rounds=5, inputs={"x": wrong})  # type: ignore[dict-item]


def test_what_one_runtime_cannot_do_is_skipped_with_the_reason(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    record = benchmark(models(folder, "bad", "relu"), runtimes=BOTH, rounds=5, precision="bf16")
    assert [(s.label, s.runtime, s.comparison) for s in record.series] == [("relu", "openvino", "baseline")]
    assert [floor.runtime for floor in record.noise_floors] == ["openvino"]
    assert list(record.skipped) == ["bad on onnxruntime", "relu on onnxruntime", "bad on openvino"]
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


def test_a_model_that_breaks_later_is_an_error(
    folder: Path, fake: "Fake", monkeypatch: pytest.MonkeyPatch
) -> None:
    before = blocks.open_runtime

    def breaks(path: Path, runtime: str, **options: Any) -> Any:
        if len(fake.opened) == 3 and path.stem == "mish":
            raise DamagedFile(f"{path.name} was altered")
        return before(path, runtime, **options)

    monkeypatch.setattr(blocks, "open_runtime", breaks)
    with pytest.raises(DamagedFile, match=r"mish.onnx was altered"):
        benchmark(models(folder, "relu", "mish"))


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
        ({"budget_s": None}, "give budget_s or rounds"),
        ({"within": 0.0}, "within must be a share from 0.0005 to 0.5 (0.02 for 2 %), got 0.0"),
        ({"within": 2}, "(0.02 for 2 %), got 2"),
        ({"within": float("nan")}, "got nan"),
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


def test_labels_are_different(folder: Path, fake: "Fake") -> None:
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


def test_what_the_threads_do_between_runs_is_recorded(folder: Path) -> None:
    for threads, expected in ((1, None), (2, "stops with the run")):
        record = benchmark(models(folder, "relu"), threads=threads, rounds=5)
        assert record.series[0].executed["spinning"] == expected
