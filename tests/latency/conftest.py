"""Fake processes on a fake clock (the real worker's code with sessions that cost what they are told); small networks as files."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import onnx
import pytest
from foreign_network import FOREIGN
from onnx import numpy_helper, parser

from edgeacts.latency import blocks, machine, measure
from edgeacts.runtimes import Executed, Session, TensorSpec

MODEL = """
<ir_version: 10, opset_import: ["" : 20, "edgeacts" : 1]>
net (float[batch, 4] x) => (float[batch, 4] y) { y = edgeacts.TanhExp(x) }
<domain: "edgeacts", opset_import: ["" : 20]>
TanhExp (x) => (y) { e = Exp(x)  t = Tanh(e)  y = Mul(x, t) }
"""
MS = 10**6
START_MS = 400


class Fake:
    """What was opened and run where, and the clock; `costs_ms` by (model, runtime), a function of the clock or a number."""

    def __init__(self) -> None:
        self.now_ns = 5 * 10**15
        self.costs_ms: dict[tuple[str, str], float | Callable[[float], float]] = {
            ("relu", "onnxruntime"): 10, ("mish", "onnxruntime"): 150, ("nish", "onnxruntime"): 70,
            ("relu", "openvino"): 20, ("mish", "openvino"): 30, ("nish", "openvino"): 130,
        }  # fmt: skip
        self.begin_ns = self.now_ns
        self.opened: list[list[dict[str, Any]]] = []
        self.order: list[list[str]] = []
        self.jobs: list[dict[str, Any]] = []
        self.open_sessions = 0
        self.running = 0
        self.dies_at = 10**9

    def seconds(self) -> float:
        return (self.now_ns - self.begin_ns) / 1e9


class FakeSession(Session):
    """Checks and the first run cost nothing."""

    native = None

    def __init__(self, fake: Fake, path: Path, runtime: str) -> None:
        super().__init__(str(path), (TensorSpec("x", "float32", (None, 4), ("batch", "")),), ())
        self.fake, self.key = fake, (path.stem, runtime)
        fake.open_sessions += 1

    def executed(self) -> Executed:
        return {"runtime": self.key[1], "precision": "f32", "of": self.key[0]}

    def _run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return []

    def _bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        def run() -> None:
            cost = self.fake.costs_ms[self.key]
            self.fake.order[-1].append(" ".join(self.key))
            self.fake.now_ns += int(MS * (cost(self.fake.seconds()) if callable(cost) else cost))

        return run

    def _close(self) -> None:
        self.fake.open_sessions -= 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Benchmarks of this test use fake processes."""
    fake = Fake()

    class Process:
        def __init__(self, task: str, job: Mapping[str, Any]) -> None:
            assert task == "edgeacts.latency.blocks:measure_blocks"
            self.job = json.loads(json.dumps(job))
            fake.jobs.append(self.job)
            fake.now_ns += START_MS * MS

        def __enter__(self) -> Self:
            fake.running += 1
            fake.opened.append([])
            fake.order.append([])
            self.messages = blocks.measure_blocks(self.job)
            return self

        def __iter__(self) -> Iterator[dict[str, Any]]:
            for number, message in enumerate(self.messages):
                if len(fake.opened) > fake.dies_at and number == 3:
                    raise KeyboardInterrupt
                yield json.loads(json.dumps(message))

        def __exit__(self, *error: object) -> None:
            fake.running -= 1
            self.messages.close()

    def opens(path: Path, runtime: str, **options: Any) -> Session:
        fake.opened[-1].append({"model": path.stem, "runtime": runtime, **options})
        return FakeSession(fake, path, runtime)

    monkeypatch.setattr(measure._Run, "start", Process)
    monkeypatch.setattr(measure, "_clock", lambda: fake.now_ns)
    monkeypatch.setattr(blocks, "time", SimpleNamespace(perf_counter_ns=lambda: fake.now_ns))
    monkeypatch.setattr(blocks, "open_runtime", opens)
    monkeypatch.setattr(machine, "pin", lambda cores: cores is not None)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """relu.onnx, mish.onnx, nish.onnx: the same small model, since here only names matter."""
    for name in ("relu", "mish", "nish"):
        onnx.save(parser.parse_model(MODEL), tmp_path / f"{name}.onnx")
    return tmp_path


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`FOREIGN` with weights."""
    model = parser.parse_model(FOREIGN)
    weight = (0.2 * np.random.default_rng(0).standard_normal((8, 8, 3, 3))).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    path = tmp_path_factory.mktemp("foreign") / "foreign.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Activation -> a network of two convolutions with it, as edgeacts exports it; inner layers are wide enough to be blocked."""
    import torch
    from small_networks import Net, alive

    from edgeacts.exporters.to_onnx import to_onnx

    folder = tmp_path_factory.mktemp("networks")
    paths = {}
    for name in ("mish", "relu", "hardswish", "nish"):
        paths[name] = folder / f"{name}.onnx"
        to_onnx(alive(Net(name)), torch.randn(1, 3, 12, 12), paths[name])
    return paths
