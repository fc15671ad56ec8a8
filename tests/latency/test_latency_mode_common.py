"""What every mode refuses, and how; no process outlives an interrupted measurement."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

import edgeacts.latency as latency
from edgeacts.errors import NotAvailable, UsageError
from edgeacts.latency.modes import MODES, mode
from edgeacts.latency.modes.process import frequency_mhz

FUNCTIONS = {
    "cold": "cold_start", "paced": "paced", "sustained": "sustained", "throughput": "throughput", "memory": "memory",
    "profile": "profile",
}  # fmt: skip


def test_each_mode_has_its_function_and_table() -> None:
    assert set(MODES) == set(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        module: Any = mode(name)
        assert module.measure is getattr(latency, function)
        assert module.table is getattr(latency, f"format_{name}")
        assert isinstance(module.OPTIONS, tuple)


def test_an_unknown_mode_lists_the_others() -> None:
    with pytest.raises(UsageError, match="unknown mode 'pace': did you mean paced"):
        mode("pace")
    with pytest.raises(AttributeError, match=r"module 'edgeacts.latency' has no attribute 'warm'"):
        _ = latency.warm  # type: ignore[attr-defined]


@pytest.fixture(params=sorted(FUNCTIONS))
def measure(request: pytest.FixtureRequest) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(latency, FUNCTIONS[request.param])
    return function


def test_arguments_are_checked_before_anything_runs(
    measure: Callable[..., Any], networks: dict[str, Path]
) -> None:
    model = networks["relu"]
    for arguments, text in [
        (([],), "nothing to measure: give at least one model"),
        (([model.parent],), "is a folder, a file is needed"),
        ((["missing.onnx"],), "model missing.onnx does not exist"),
    ]:
        with pytest.raises(UsageError) as caught:
            measure(*arguments)
        assert text in str(caught.value)
    for options, text in [
        ({"runtimes": ["tflite"]}, "unknown runtime 'tflite'"),
        ({"runtimes": []}, "give at least one runtime"),
        ({"batch": 0}, "batch must be an integer from 1 to 4096, got 0"),
        ({"sizes": {"h": -1}}, "size of 'h' must be an integer from 1 to"),
        ({"threads": -1}, "threads must be an integer from 1"),
        ({"level": "most"}, "unknown level 'most'"),
        ({"labels": ["a", "b"]}, "2 labels for 1 models"),
    ]:
        with pytest.raises(UsageError) as caught:
            measure([model], **options)
        assert text in str(caught.value)


@pytest.mark.parametrize("name", ["cold_start", "paced", "throughput", "memory"])
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(networks: dict[str, Path], name: str) -> None:
    absent = "cuda" if "CUDAExecutionProvider" not in ort.get_available_providers() else "rocm"
    with pytest.raises(NotAvailable, match=f"this onnxruntime has no provider '{absent}': available: .*CPU"):
        getattr(latency, name)([networks["relu"]], provider=absent)


def test_frequency_is_that_of_a_cpu() -> None:
    mhz = frequency_mhz()
    assert mhz is None or 100 < mhz < 10_000


def test_an_interrupted_measurement_leaves_no_process(networks: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "edgeacts", "bench", str(networks["relu"]), "--runtime", "onnxruntime"]
    parent = subprocess.Popen(
        [*command, "--mode", "sustained", "--duration", "1h"],
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        child = _wait_for_child(parent.pid)
        parent.send_signal(
            signal.SIGINT
        )  # to it alone: the child would not hear a Ctrl-C of another terminal
        _, printed = parent.communicate(timeout=60)
        assert parent.returncode == 130
        assert printed.strip().endswith("edgeacts: interrupted")
        gone = time.monotonic() + 10  # its parent is gone: the system clears it away when it comes to it
        while Path(f"/proc/{child}").exists() and time.monotonic() < gone:
            time.sleep(0.02)
        assert not Path(f"/proc/{child}").exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def _wait_for_child(pid: int) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                    return int(stat.parent.name)
        time.sleep(0.05)
    raise AssertionError("no process was started")
