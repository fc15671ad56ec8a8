"""Compiled models on disk: found again, rebuilt, refused, and replaced by the model as it is."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from compiled_models import FEED, assert_runs, entries, network
from onnx import external_data_helper

from edgeacts import native
from edgeacts.acceleration import cache, compiling, ends, opening, rewriting
from edgeacts.acceleration.manifest import Manifest
from edgeacts.acceleration.rewriting import DOMAIN
from edgeacts.errors import UsageError
from edgeacts.piecewise import NUMBERS
from edgeacts.runtimes import open_runtime, open_session

pytestmark = pytest.mark.usefixtures("folder")


def test_second_open_finds_the_first(model: Path, folder: Path, request: pytest.FixtureRequest) -> None:
    assert_runs(model, open_session(model, accelerate=True))
    (entry,) = entries(folder)
    assert sorted(p.name for p in entry.iterdir()) == ["manifest.json", "model.onnx"]
    kernels = [n.op_type for n in onnx.load(entry / "model.onnx").graph.node if n.domain == DOMAIN]
    assert kernels, "nothing was accelerated"
    request.getfixturevalue("broken")
    assert_runs(model, open_session(model, accelerate=True))


def test_what_is_best_as_it_is_is_remembered(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(
        compiling, "times_in_turn", lambda sessions, feed: {n: [1.0 + (n != "stock")] for n in sessions}
    )
    with open_runtime(model, accelerate=True) as first:
        said = first.executed()["accelerated"]
    assert said.startswith(
        "stock: nothing is surely faster here than the model as it is (of its time: tables 2.00"
    )
    (entry,) = entries(folder)
    assert [p.name for p in entry.iterdir()] == ["manifest.json"]
    request.getfixturevalue("broken")
    with open_runtime(model, accelerate=True) as second:
        assert second.executed()["accelerated"] == said
        assert_runs(model, second.native, kernels=False)


def _edit(change: dict[str, Any]) -> Any:
    def edit(entry: Path) -> None:
        path = entry / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return edit


def _flip(entry: Path) -> None:
    data = bytearray((entry / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (entry / "model.onnx").write_bytes(data)


def _folder_for_file(entry: Path) -> None:
    (entry / "manifest.json").unlink()
    (entry / "manifest.json").mkdir()


def _file_for_entry(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_text("not a folder")


DAMAGES = {
    "one bit of the model": _flip,
    "model cut": lambda e: os.truncate(e / "model.onnx", 1000),
    "model empty": lambda e: os.truncate(e / "model.onnx", 0),
    "model gone": lambda e: (e / "model.onnx").unlink(),
    "manifest cut": lambda e: os.truncate(e / "manifest.json", 200),
    "manifest empty": lambda e: os.truncate(e / "manifest.json", 0),
    "manifest gone": lambda e: (e / "manifest.json").unlink(),
    "manifest is a list": lambda e: (e / "manifest.json").write_text("[]"),
    "manifest is binary": lambda e: (e / "manifest.json").write_bytes(b"\xff\xfe\0"),
    "manifest of another version": _edit({"version": 99}),
    "manifest of another kind": _edit({"kind": "training"}),
    "manifest with another hash": _edit({"file_sha256": "0" * 64}),
    "manifest is a folder": _folder_for_file,
    "everything gone": shutil.rmtree,
    "entry is a file": _file_for_entry,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entry_is_rebuilt(model: Path, folder: Path, damage: str) -> None:
    open_session(model, accelerate=True)
    (entry,) = entries(folder)
    whole = (entry / "model.onnx").read_bytes()
    DAMAGES[damage](entry)
    assert_runs(model, open_session(model, accelerate=True))
    assert entries(folder) == [entry]
    assert (entry / "model.onnx").read_bytes() == whole
    assert cache.read_entry(entry.name) is not None


def test_key_is_of_all_that_the_result_depends_on(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_session(model, accelerate=True)
    known = 1
    open_session(model, accelerate=True, threads=2)
    changes = [
        ("kernels", lambda m: m.setattr(native, "version", lambda: "another")),
        ("isa", lambda m: m.setattr(native, "isa", lambda: "another")),
        ("onnxruntime", lambda m: m.setattr(ort, "__version__", "9.9")),
        ("cpu", lambda m: m.setattr(opening, "_cpu", lambda: "another")),
        ("compilation", lambda m: m.setattr(opening, "_VERSION", 99)),
    ]
    known += 1
    assert len(entries(folder)) == known
    for what, change in changes:
        with monkeypatch.context() as patch:
            change(patch)
            open_session(model, accelerate=True)
        known += 1
        assert len(entries(folder)) == known, what
    changed = onnx.load(model)
    changed.doc_string = "other bytes"
    onnx.save(changed, model)
    open_session(model, accelerate=True)
    assert len(entries(folder)) == known + 1


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_external_weights_are_in_the_key(tmp_path: Path, folder: Path, place: str) -> None:
    path = tmp_path / "external.onnx"
    proto = network()
    if place == "constant":
        tensor = proto.graph.initializer.pop(0)
        proto.graph.node.insert(0, onnx.helper.make_node("Constant", [], [tensor.name], value=tensor))
    onnx.save(
        proto, path, save_as_external_data=True, location="weights", size_threshold=0, convert_attribute=True
    )
    assert (tmp_path / "weights").is_file()
    first = open_session(path, accelerate=True).run(None, FEED)[0]
    weights = np.fromfile(tmp_path / "weights", np.float32)
    (weights * 2).tofile(tmp_path / "weights")
    second = open_session(path, accelerate=True)
    assert np.abs(second.run(None, FEED)[0] - first).max() > 0.1
    assert_runs(path, second)
    assert len(entries(folder)) == 2
    assert not any(
        external_data_helper.uses_external_data(t)
        for t in onnx.load(entries(folder)[0] / "model.onnx", load_external_data=False).graph.initializer
    )


def warned(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = [r for r in caplog.records if r.name == "edgeacts" and r.levelno == logging.WARNING]
    return record.getMessage()


def test_folder_that_cannot_be_written(model: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.write_text("a file where the cache should be")
    with open_runtime(model, accelerate=True) as session:
        assert session.executed()["accelerated"].startswith(f"stock: cannot write to the cache {folder}: ")
        assert_runs(model, session.native, kernels=False)
    assert "runs as it is: cannot write to the cache" in warned(caplog)


def test_disk_without_locks(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("edgeacts.acceleration.cache.fcntl.flock", refuse)
    assert_runs(model, open_session(model, accelerate=True))


def test_wrong_table_is_refused(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told apart by timing: a fast candidate with a wrong number in a table does not run."""
    right = rewriting._attach

    def wrong(node: onnx.NodeProto, name: str, table: Any) -> None:
        right(node, name, table)
        attribute = next(a for a in node.attribute if a.name == name)
        attribute.floats[2] += 0.5 if attribute.floats[5] else 0.0
        for index in (*range(16, 200), *range(NUMBERS - 22, NUMBERS - 12)):  # of the grids, of the quotient
            attribute.floats[index] *= 1.01

    monkeypatch.setattr(rewriting, "_attach", wrong)
    monkeypatch.setattr(
        ends.End, "attributes", lambda self, which: [onnx.helper.make_attribute(which, 2),
        onnx.helper.make_attribute(f"{which}_clip", [0.0, 1e30])],
    )  # fmt: skip
    with open_runtime(model, accelerate=True) as session:
        said = session.executed()["accelerated"]
        assert_runs(model, session.native, kernels=False)
    assert said.startswith("stock: tables: its outputs differ by ")
    assert "of their movement, more than " in said
    (entry,) = entries(folder)
    refused = Manifest.read(entry / "manifest.json").candidates
    assert refused["tables"].error > 1e-3
    assert refused["depthwise"].error > 1e-2


def test_candidate_that_does_not_open_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "_attach", lambda *_: None)  # tables without their numbers
    with open_runtime(model, accelerate=True) as session:
        assert session.executed()["accelerated"].startswith("depthwise: 0.50")
        assert "attribute table is missing" in session._accelerated.manifest.candidates["tables"].why
        assert_runs(model, session.native)


def test_without_kernels(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "missing", lambda: "edgeacts' kernels were not built: do this")
    with open_runtime(model, accelerate=True) as session:
        assert session.executed()["accelerated"] == "stock: edgeacts' kernels were not built: do this"
        assert_runs(model, session.native, kernels=False)
    assert not folder.exists()


@pytest.mark.parametrize("where", ["find_all_sites", "optimize", "outputs_of", "sample_feeds"])
def test_whatever_fails_the_model_runs(model: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a graph that nobody expected")

    monkeypatch.setattr(compiling, where, fail)
    with open_runtime(model, accelerate=True) as session:
        said = session.executed()["accelerated"]
        assert said.startswith("stock: ")
        assert "a graph that nobody expected" in said
        assert_runs(model, session.native, kernels=False)


def test_compiled_file_that_does_not_open(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_session(model, accelerate=True)
    monkeypatch.setattr(opening, "kernel_options", lambda threads: ort.SessionOptions())  # no kernels
    with open_runtime(model, accelerate=True) as session:
        assert session.executed()["accelerated"].startswith("stock: the compiled file does not open: ")
    assert "the compiled file does not open" in warned(caplog)


def test_executed_says_what_was_chosen(model: Path) -> None:
    with open_runtime(model, accelerate=True) as session:
        executed = session.executed()
    assert executed["accelerated"] == "tables: 0.50 of the time of the model as it is"
    assert executed["precision_from"] == "compiled file"
    assert "edgeacts.kernels:Table" in executed["operators"]
    with open_runtime(model) as session:
        assert session.executed()["accelerated"] is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"level": "basic"}, "an accelerated model is optimized at level all: leave level 'basic' out"),
        ({"runtime": "openvino"}, "accelerate"),
        ({"precision": "bf16"}, "onnxruntime runs a model in the precision of its file"),
    ],
)
def test_what_does_not_go_together(model: Path, given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_session(model, accelerate=True, **given)


def test_only_the_cpu(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = "CUDAExecutionProvider"
    monkeypatch.setattr(ort, "get_available_providers", lambda: [cuda, "CPUExecutionProvider"])
    with pytest.raises(UsageError, match=f"only provider cpu runs models accelerated, not {cuda}"):
        open_session(model, accelerate=True, provider="cuda")


def test_file_in_the_runtimes_own_format(model: Path) -> None:
    with pytest.raises(UsageError, match="is in ORT's own format"):
        open_session(model.rename(model.with_suffix(".ort")), accelerate=True)
