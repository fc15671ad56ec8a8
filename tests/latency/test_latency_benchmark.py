"""`benchmark` and its table: the design on fake processes, and real processes for what is recorded and refused."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import parser

import edgeacts.latency.blocks as blocks
from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError
from edgeacts.files import sha256_file
from edgeacts.latency import benchmark, format_latency
from edgeacts.latency.judging import ratio_of
from edgeacts.records import LatencyRecord

if TYPE_CHECKING:
    from conftest import Fake

BOTH = ("onnxruntime", "openvino")


def models(folder: Path, *names: str) -> list[Path]:
    return [folder / f"{name}.onnx" for name in names]


def test_ratios_are_to_the_first_of_its_runtime(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH)
    assert [(s.label, s.runtime, s.median_ns, s.ratio, s.comparison) for s in record.series] == [
        ("relu", "onnxruntime", 10e6, 1, "baseline"), ("mish", "onnxruntime", 150e6, pytest.approx(15), "slower"),
        ("nish", "onnxruntime", 70e6, pytest.approx(7), "slower"), ("relu", "openvino", 20e6, 1, "baseline"),
        ("mish", "openvino", 30e6, pytest.approx(1.5), "slower"), ("nish", "openvino", 130e6, pytest.approx(6.5), "slower"),
    ]  # fmt: skip
    assert all(s.ratio_low <= s.ratio <= s.ratio_high for s in record.series)
    assert all(s.executed["of"] == s.label for s in record.series)
    assert (record.stopped, record.precision_asked, record.skipped) == ("precision", 0.02, {})
    assert record.precision_reached is not None
    assert record.precision_reached <= 0.02


def test_a_model_that_is_not_slower_is_not_called_so(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("mish", "onnxruntime"): 10, ("nish", "onnxruntime"): 7}
    record = benchmark(models(folder, "relu", "mish", "nish"))
    assert [s.comparison for s in record.series] == ["baseline", "cannot tell", "faster"]


def test_each_process_opens_all_anew_in_its_own_order_with_a_hidden_copy_of_each_baseline(
    folder: Path, fake: "Fake"
) -> None:
    record = benchmark(
        models(folder, "relu", "mish"), runtimes=BOTH, threads=2, provider="cuda", precision="f16"
    )
    assert len(fake.opened) == record.processes >= 5
    opened = [[(one["model"], one["runtime"]) for one in process] for process in fake.opened]
    places = sorted([("relu", "onnxruntime"), ("mish", "onnxruntime"), ("relu", "openvino"), ("mish", "openvino"),
                     ("relu", "onnxruntime"), ("relu", "openvino")])  # fmt: skip
    assert all(sorted(process) == places for process in opened)
    assert len({tuple(process) for process in opened}) > 2
    assert (
        fake.opened[0][0].items()
        >= {"threads": 2, "level": None, "provider": "cuda", "precision": "f16"}.items()
    )
    assert fake.open_sessions == fake.running == 0
    assert [job["process"] for job in fake.jobs] == list(range(record.processes))
    assert [job["describe"] for job in fake.jobs] == [True] + [False] * (record.processes - 1)
    assert [(floor.runtime, floor.ratio) for floor in record.noise_floors] == [(one, 1) for one in BOTH]


def test_models_take_turns_in_a_new_order_each_round(folder: Path, fake: "Fake") -> None:
    benchmark(models(folder, "relu", "mish"), runtimes=BOTH)
    for called in fake.order:
        rounds = [tuple(called[start : start + 6]) for start in range(0, len(called), 6)]
        assert {len(one) for one in rounds} == {6}
        assert all(len(set(one)) == 4 for one in rounds)
        assert len(set(rounds)) > 5


def test_raw_samples_are_kept_with_starts_and_blocks(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {
        ("relu", "onnxruntime"): lambda s: 3 + s % 1,
        ("mish", "onnxruntime"): lambda s: 5 + s % 2,
    }
    record = benchmark(models(folder, "relu", "mish"), budget_s=12)
    taken = [*record.series, *record.noise_floors]
    count = len(record.series[0].samples_ns)
    assert count > 100
    runs = sum(len(called) for called in fake.order)
    assert len(taken) * (count + record.warmup_rounds) == runs  # not one is left out
    for one in taken:
        assert len(one.samples_ns) == len(one.starts_ns) == len(one.block_of) == count
        assert list(one.starts_ns) == sorted(one.starts_ns)
        assert list(one.block_of) == sorted(one.block_of)
        assert set(one.block_of) == set(range(len(record.blocks)))
        for start, number, sample in zip(one.starts_ns, one.block_of, one.samples_ns, strict=True):
            block = record.blocks[number]
            assert block.start_ns <= start <= start + sample <= block.start_ns + block.seconds * 1e9 + 1
    spans = sorted((s, s + t) for one in taken for s, t in zip(one.starts_ns, one.samples_ns, strict=True))
    assert all(end <= following for (_, end), (following, _) in pairwise(spans))
    assert [block.process for block in record.blocks] == sorted(block.process for block in record.blocks)
    assert {block.process for block in record.blocks} == set(range(record.processes))
    assert all(0.05 <= block.seconds <= 0.25 for block in record.blocks)
    assert LatencyRecord.from_json(record.to_json()) == record


def test_the_ratio_can_be_had_again_from_the_record(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {
        ("relu", "onnxruntime"): lambda s: 3 + s % 1,
        ("mish", "onnxruntime"): lambda s: 5 + s % 2,
    }
    record = benchmark(models(folder, "relu", "mish"), seed=8, budget_s=12)
    relu, mish = record.series

    def logs(one: Any) -> list[np.ndarray]:
        numbers = np.array(one.block_of)
        return [np.log(np.array(one.samples_ns)[numbers == k]) for k in range(len(record.blocks))]

    again = ratio_of(
        logs(mish), [logs(relu), logs(record.noise_floors[0])], [b.process for b in record.blocks], seed=8
    )
    assert (mish.ratio, mish.ratio_low, mish.ratio_high) == (again.ratio, again.low, again.high)


def test_a_load_from_half_way_on_changes_no_ratio(folder: Path, fake: "Fake") -> None:
    for name, cost in (("relu", 10), ("mish", 11), ("nish", 10)):
        fake.costs_ms[name, "onnxruntime"] = lambda s, cost=cost: cost * (2.5 if s > 3 else 1)
    relu, mish, nish = benchmark(models(folder, "relu", "mish", "nish")).series
    assert max(relu.samples_ns) > 2 * min(relu.samples_ns)
    assert (mish.ratio, nish.ratio) == (pytest.approx(1.1, rel=1e-3), pytest.approx(1, rel=1e-3))
    assert (mish.comparison, nish.comparison) == ("slower", "cannot tell")


def test_sessions_that_differ_from_process_to_process_widen_the_interval(folder: Path, fake: "Fake") -> None:
    def lucky(seconds: float) -> float:
        return 10 + 2 * (len(fake.opened) % 2)

    fake.costs_ms |= {("mish", "onnxruntime"): lucky}
    record = benchmark(models(folder, "relu", "mish"), budget_s=12)
    assert record.series[1].ratio == pytest.approx(1.1, abs=0.04)
    assert record.series[1].ratio_high - record.series[1].ratio_low > 0.1
    assert record.stopped == "time"


def test_time_ends_it(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish"), within=0.0005, budget_s=20)
    assert record.stopped == "time"
    assert 15 < record.seconds < 22
    assert fake.seconds() == pytest.approx(record.seconds, abs=0.01)
    assert record.precision_reached is not None
    assert record.precision_reached > 0.0005


def test_a_budget_shorter_than_a_process_still_measures_once(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish"), budget_s=0.001)
    assert (record.processes, record.stopped, len(record.series[0].samples_ns)) == (1, "time", 5)
    assert record.seconds < 3


def test_a_process_measures_as_long_as_it_prepared(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish"), runtimes=BOTH)
    warm_s = 10 * (2 * 10 + 150 + 2 * 20 + 30) / 1000
    for process in range(record.processes):
        seconds = sum(block.seconds for block in record.blocks if block.process == process)
        assert seconds == pytest.approx(START_S + warm_s, abs=0.3)


START_S = 0.4


def test_rounds_end_it(folder: Path, fake: "Fake") -> None:
    for rounds, processes in ((5, 1), (20, 1), (60, 3)):
        record = benchmark(models(folder, "relu", "mish"), rounds=rounds)
        assert (record.stopped, record.processes) == ("rounds", processes)
        assert {len(one.samples_ns) for one in (*record.series, *record.noise_floors)} == {rounds}
        assert len(record.blocks) >= 3 * processes


def test_one_process_gives_a_wide_interval(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("mish", "onnxruntime"): 10.3}
    record = benchmark(models(folder, "relu", "mish"), rounds=20)
    assert record.series[1].comparison == "cannot tell"
    assert record.precision_reached is not None
    assert record.precision_reached > 0.04


def test_baseline_is_measured_first(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH, rounds=5, baseline="nish")
    assert [(s.label, s.comparison) for s in record.series if s.runtime == "onnxruntime"] == [
        ("nish", "baseline"), ("relu", "faster"), ("mish", "slower"),
    ]  # fmt: skip
    assert record.series[1].ratio == pytest.approx(1 / 7)
    assert record.noise_floors[0].samples_ns[0] == 70e6
    with pytest.raises(UsageError, match=r"unknown baseline 'gelu': it must be .*: relu, mish"):
        benchmark(models(folder, "relu", "mish"), baseline="gelu")


def test_one_model_is_measured_against_its_copy(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu"))
    assert [one.comparison for one in record.series] == ["baseline"]
    floor = record.noise_floors[0]
    assert record.precision_reached == pytest.approx(math.sqrt(floor.ratio_high / floor.ratio_low) - 1)
    assert record.stopped == "precision"


def test_level_goes_where_it_exists(folder: Path, fake: "Fake") -> None:
    benchmark(models(folder, "relu"), runtimes=BOTH, rounds=5, level="extended")
    assert {(one["runtime"], one["level"]) for one in fake.opened[0]} == {
        ("onnxruntime", "extended"), ("openvino", None),
    }  # fmt: skip
    with pytest.raises(UsageError, match="unknown level 'extendet': did you mean extended"):
        benchmark(models(folder, "relu"), runtimes=BOTH, level="extendet")


def test_call_too_short_for_the_clock(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("relu", "onnxruntime"): lambda s: 0 if len(fake.order[-1]) % 7 else 20}
    with pytest.raises(EdgeactsError, match=r"relu takes less than the clock can tell: give a larger batch"):
        benchmark(models(folder, "relu"), rounds=5)


def test_interrupted_it_leaves_no_process(folder: Path, fake: "Fake") -> None:
    fake.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        benchmark(models(folder, "relu", "mish"))
    assert len(fake.opened) == 3
    assert fake.running == fake.open_sessions == 0


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


LONG = "mobilenet_v2_tanhexp_with_a_name_that_is_long_int8"


def test_table(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("nish", "onnxruntime"): 10}
    record = benchmark(models(folder, "relu", "mish", "nish"), runtimes=BOTH, labels=["relu", LONG, "nish"])
    text = format_latency(record)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["onnxruntime", "executed", "p50", "ms", "ratio,", "interval"]
    assert lines[2].split() == ["relu", "f32", "10.00", "1", "baseline"]
    assert re.fullmatch(r"mobilenet\S*…\S*int8 +f32 +150\.0 +15\.0 \[14\.\d, 15\.\d\] +slower", lines[3])
    assert re.fullmatch(r"nish +f32 +10\.00 +1\.00 \[0\.9\d, 1\.0\d\] +cannot tell", lines[4])
    assert lines[6].split()[0] == "openvino"
    about = " ".join(text.split())
    assert re.search(r"A/A on openvino: relu over its own copy 1\.00 \[0\.9\d, 1\.0\d\]\.", about)
    assert re.search(
        r"1 thread, batch 1, 95% intervals over 5 fresh processes, \d+ blocks, \d+ interleaved rounds after 50 of warm-up; "
        r"ratios known within [\d.]+ % \(2 % asked for\), \d+\.\d s\.",
        about,
    )


def test_table_shows_p90_where_it_is_known_and_says_why_it_ended(folder: Path, fake: "Fake") -> None:
    record = benchmark(models(folder, "relu"), within=0.0005, budget_s=9)
    text = format_latency(record)
    assert text.splitlines()[0].split()[-4:] == ["p90", "ms", "ratio,", "interval"]
    assert text.splitlines()[2].split() == ["relu", "f32", "10.00", "10.00", "1", "baseline"]
    assert re.search(
        r"the time of 9 s was used up: ratios known within [\d.]+ % \(0\.05 % asked for\)",
        " ".join(text.split()),
    )
    assert "the rounds were used up: ratios known" in " ".join(
        format_latency(benchmark(models(folder, "relu"), rounds=5)).split()
    )


def test_table_says_what_disturbed_it(folder: Path, fake: "Fake", monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeacts.latency import machine

    monkeypatch.setattr(machine, "between", lambda *_: {"steal_share": 0.02, "other_share": 0.31})
    about = " ".join(format_latency(benchmark(models(folder, "relu"), rounds=5)).split())
    assert "The hypervisor took 2% of the machine's time, 2% in the worst block." in about
    assert "Other processes used 31% of the machine, 31% in the worst block." in about
    monkeypatch.setattr(machine, "between", lambda *_: {"steal_share": None, "other_share": 0.01})
    quiet = format_latency(benchmark(models(folder, "relu"), rounds=5))
    assert "hypervisor" not in quiet
    assert "Other processes" not in quiet


def test_table_names_what_was_skipped(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    text = format_latency(benchmark(models(folder, "bad", "relu"), rounds=5))
    assert "skipped: bad on onnxruntime:" in text
    assert max(len(line) for line in text.splitlines() if str(folder) not in line) <= 80


def test_a_process_that_prepares_for_long_measures_three_seconds(folder: Path, fake: "Fake") -> None:
    fake.costs_ms |= {("relu", "onnxruntime"): 500}
    record = benchmark(models(folder, "relu"), budget_s=200)
    for process in range(record.processes):
        seconds = sum(block.seconds for block in record.blocks if block.process == process)
        assert 5 <= seconds <= 6  # five rounds of a model and its copy, though its warm-up took ten


def test_what_the_threads_do_between_runs_is_recorded(folder: Path) -> None:
    for threads, expected in ((1, None), (2, "stops with the run")):
        record = benchmark(models(folder, "relu"), threads=threads, rounds=5)
        assert record.series[0].executed["spinning"] == expected
