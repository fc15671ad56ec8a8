"""Memory: what a model with known weights adds; files with weights beside them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import edgeacts.latency.modes.memory as module
from edgeacts.errors import NotAvailable
from edgeacts.latency import format_memory, memory
from edgeacts.latency.modes.tasks import resident
from edgeacts.latency.sizes import file_bytes
from edgeacts.records import MemoryRecord

MIB = 2**20
SIDE = 2048  # a weight of 16 MiB


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 20]>
        g (float[N, 2048] x) => (float[N, 2048] y) { a = MatMul(x, first) b = Relu(a) y = MatMul(b, second) }"""
    )
    for seed, name in enumerate(("first", "second")):
        weight = np.random.default_rng(seed).standard_normal((SIDE, SIDE)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
    path = tmp_path_factory.mktemp("heavy") / "heavy.onnx"
    onnx.save(model, path)
    return path


def test_weights_are_in_memory_once_open(heavy: Path, networks: dict[str, Path]) -> None:
    record = memory([networks["relu"], heavy], runtimes=("onnxruntime", "openvino"), batch=1)
    small, large, small_openvino, large_openvino = record.series
    assert [s.label for s in record.series] == ["relu", "heavy"] * 2
    for one in record.series:
        assert one.runtime_resident_bytes > 20 * MIB
        assert one.runtime_resident_bytes < one.open_resident_bytes <= one.opening_peak_bytes
        assert one.peak_resident_bytes >= one.open_resident_bytes
        assert one.executed["peak_of"] in {
            "the runs",
            "the whole process: the system does not let its peak be reset",
        }
    for light, full in ((small, large), (small_openvino, large_openvino)):
        added = full.open_resident_bytes - full.runtime_resident_bytes
        assert added > 2 * SIDE * SIDE * 4
        assert added > 25 * MIB + light.open_resident_bytes - light.runtime_resident_bytes
    assert small_openvino.arena_bytes is None
    assert small.arena_bytes is not None
    assert large.arena_bytes is not None
    assert large.arena_bytes > 2 * SIDE * SIDE * 4 > small.arena_bytes
    assert MemoryRecord.from_json(record.to_json()) == record
    lines = format_memory(record).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[3].split()[:3] == ["heavy", "onnxruntime", f"{heavy.stat().st_size / MIB:.2f}"]
    assert lines[4].split()[-1] == "-"


def test_the_peak_of_the_runs_grows_with_the_batch(heavy: Path) -> None:
    one, many = (memory([heavy], batch=batch).series[0] for batch in (1, 1024))
    # Three values of 8 MiB, two of which may share their memory; some of it was there before.
    assert many.peak_resident_bytes - one.peak_resident_bytes > 12 * MIB
    assert abs(many.opening_peak_bytes - one.opening_peak_bytes) < 8 * MIB


def test_weights_in_files_of_their_own_count(heavy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    onnx.save(onnx.load(heavy), outside, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert outside.stat().st_size < MIB
    assert (
        file_bytes(outside) == outside.stat().st_size + (tmp_path / "weights.bin").stat().st_size > 32 * MIB
    )
    assert file_bytes(heavy) == heavy.stat().st_size
    ir = tmp_path / "net.xml"
    ir.write_bytes(b"12345")
    assert file_bytes(ir) == 5
    ir.with_suffix(".bin").write_bytes(b"123")
    assert file_bytes(ir) == 8


def test_a_system_without_proc_is_refused(monkeypatch: pytest.MonkeyPatch, networks: dict[str, Path]) -> None:
    monkeypatch.setattr(module, "STATUS", Path("/no/such/status"))
    with pytest.raises(
        NotAvailable, match="memory is read from /no/such/status, which this system does not have"
    ):
        memory([networks["relu"]])


def test_a_peak_that_cannot_be_reset_says_so(
    monkeypatch: pytest.MonkeyPatch, networks: dict[str, Path], tmp_path: Path
) -> None:
    monkeypatch.setattr("edgeacts.latency.modes.tasks._CLEAR", tmp_path / "missing" / "clear_refs")
    job = {
        "model": str(networks["relu"]), "runtime": "onnxruntime", "threads": 1, "level": None, "provider": "cpu",
        "precision": "f32", "batch": 1, "sizes": {}, "seed": 0,
    }  # fmt: skip
    told = next(resident(job))
    assert told["peak_of"] == "the whole process: the system does not let its peak be reset"
