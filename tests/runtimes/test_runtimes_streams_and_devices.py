"""Streams share the threads; values bound on a GPU are synchronized in the right order."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

import edgeacts.runtimes as runtimes
import edgeacts.runtimes.onnxruntime as adapter
from edgeacts.errors import EdgeactsError, NotAvailable, UsageError
from edgeacts.runtimes import load_runtime, open_runtime
from edgeacts.runtimes.ort_device import bind_on_device

TEXT = """<ir_version: 10, opset_import: ["" : 20]>
net (float[n, 2] x) => (float[n, 2] y) { y = Tanh(x) }"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(parser.parse_model(TEXT), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(("threads", "streams", "each"), [(1, 1, 1), (2, 1, 2), (2, 2, 1), (5, 2, 4)])
def test_callers_and_pool_are_as_many_threads_as_asked_for(
    model: Path, threads: int, streams: int, each: int
) -> None:
    """A pool of n has n - 1 threads beside its first caller, and every other caller is one more."""
    with open_runtime(model, threads=threads, streams=streams) as session:
        assert session.executed()["threads"] == each
        assert session.executed()["streams"] == streams
        assert session.native.get_session_options().intra_op_num_threads == each


def test_openvino_compiles_for_throughput(model: Path) -> None:
    with open_runtime(model, "openvino", threads=2, streams=2) as session:
        assert (session.executed()["streams"], session.executed()["threads"]) == (2, 2)
        assert str(session.native.get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")
    with open_runtime(model, "openvino", threads=2) as session:
        assert session.executed()["streams"] == 1
        assert str(session.native.get_property("PERFORMANCE_HINT")).endswith("LATENCY")


@pytest.mark.parametrize("runtime", ["onnxruntime", "accelerated", "openvino"])
@pytest.mark.parametrize(
    ("streams", "text"),
    [
        (3, "3 streams need at least as many threads, 2 given: give fewer streams, or 3 threads"),
        (0, "streams must be an integer of at least 1, got 0"),
        (True, "streams must be an integer of at least 1, got True"),
    ],
)
def test_streams_are_checked(model: Path, runtime: str, streams: int, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_runtime(model, runtime, threads=2, streams=streams)


def test_every_runtime_has_a_library_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(runtimes._LIBRARIES) == set(runtimes.runtime_names())
    for name in runtimes.runtime_names():
        load_runtime(name)
    monkeypatch.setitem(runtimes._LIBRARIES, "openvino", "no_such_library")
    with pytest.raises(NotAvailable, match=r"openvino is not installed: pip install edgeacts\[openvino\]"):
        load_runtime("openvino")
    with pytest.raises(UsageError, match="unknown runtime 'tflite'"):
        load_runtime("tflite")


class FakeBinding:
    """Notes what is asked of it."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.log.append((name, *given))


class FakeNative:
    """A session of a GPU build, as far as binding goes."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def io_binding(self) -> FakeBinding:
        return FakeBinding(self.log)

    def run_with_iobinding(self, binding: FakeBinding) -> None:
        assert isinstance(binding, FakeBinding)
        self.log.append(("run",))


class FakeOrt:
    class OrtValue:
        @staticmethod
        def ortvalue_from_numpy(array: np.ndarray, device: str, device_id: int) -> str:
            if array.dtype.kind == "U":
                raise RuntimeError("only numbers go to the device")
            assert array.flags.c_contiguous
            return f"{array.shape} on {device}:{device_id}"


BOUND = [
    ("bind_ortvalue_input", "x", "(2, 3) on cuda:0"),
    ("bind_output", "y", "cuda", 0),
    ("bind_output", "z", "cuda", 0),
    ("synchronize_inputs",),
]


def test_values_are_on_the_gpu_before_the_first_run_and_a_run_ends_with_it() -> None:
    native = FakeNative()
    call = bind_on_device(native, {"x": np.zeros((3, 2), np.float32).T}, ["y", "z"], "cuda", FakeOrt)
    assert native.log == BOUND
    call()
    call()
    assert native.log[len(BOUND) :] == [("run",), ("synchronize_outputs",)] * 2


def test_what_the_device_does_not_take_is_told() -> None:
    with pytest.raises(
        EdgeactsError, match="the inputs cannot be put on cuda: only numbers go to the device"
    ):
        bind_on_device(FakeNative(), {"x": np.array(["text"])}, ["y"], "cuda", FakeOrt)


def test_a_session_on_cuda_is_timed_with_its_values_on_the_gpu(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session: Any = open_runtime(model)
    native = FakeNative()
    monkeypatch.setattr(session, "_native", native)
    monkeypatch.setattr(adapter, "ort", FakeOrt)
    session._bind({"x": np.zeros((2, 3), np.float32)})()
    assert [entry[0] for entry in native.log] == [
        "bind_ortvalue_input", "bind_output", "synchronize_inputs", "run", "synchronize_outputs"
    ]  # fmt: skip
