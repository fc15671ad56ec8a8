"""Compiled files that are written for programs of one's own, and load without edgeacts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from accelerating import stock_session
from compiled_models import FEED, network

import edgeacts
from edgeacts import native
from edgeacts.acceleration import compiling, writing
from edgeacts.acceleration.manifest import Manifest
from edgeacts.errors import UsageError
from edgeacts.runtimes import open_session

pytestmark = pytest.mark.usefixtures("folder")

_PLAIN = """
import importlib.util, sys
sys.path[:0] = sys.argv[5:]
assert importlib.util.find_spec("edgeacts") is None
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.register_custom_ops_library(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
numpy.save(sys.argv[4], session.run(None, dict(numpy.load(sys.argv[3])))[0])
assert "edgeacts" not in sys.modules
"""


def test_files_load_without_edgeacts(model: Path, tmp_path: Path) -> None:
    written = edgeacts.accelerate(model, tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["LOADING.md", "libedgeacts_kernels.so", "manifest.json", "model.onnx"]
    assert written.library == tmp_path / "out" / "libedgeacts_kernels.so"
    assert Manifest.read(tmp_path / "out" / "manifest.json") == written.manifest
    guide = (tmp_path / "out" / "LOADING.md").read_text()
    assert all(word in guide for word in ("Java", "C#", "C++", ort.__version__, "libedgeacts_kernels.so"))
    np.savez(tmp_path / "feed.npz", **FEED)
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    arguments = [
        moved / "model.onnx",
        moved / "libedgeacts_kernels.so",
        tmp_path / "feed.npz",
        tmp_path / "y.npy",
    ]
    packages = Path(ort.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", _PLAIN, *arguments, packages]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (here,) = open_session(model, accelerate=True).run(None, FEED)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), here)


def test_nothing_compiled_writes_no_library(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "times_in_turn", lambda sessions, feed: {n: [1.0] for n in sessions})
    written = edgeacts.accelerate(model, tmp_path / "out")
    assert written.library is None
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "LOADING.md",
        "manifest.json",
        "model.onnx",
    ]
    assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()
    assert (
        "Nothing was compiled: nothing is surely faster here" in (tmp_path / "out" / "LOADING.md").read_text()
    )


def test_library_of_an_earlier_run_does_not_stay(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edgeacts.accelerate(model, tmp_path / "out")
    monkeypatch.setattr(native, "missing", lambda: "not built")
    assert edgeacts.accelerate(model, tmp_path / "out").library is None
    assert not (tmp_path / "out" / writing._LIBRARY.get(sys.platform, "libedgeacts_kernels.so")).exists()


def test_external_weights_stay_with_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is best as it is can be loaded from the folder that was written."""
    onnx.save(
        network(), tmp_path / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0
    )
    monkeypatch.setattr(native, "missing", lambda: "not built")
    written = edgeacts.accelerate(tmp_path / "m.onnx", tmp_path / "out")
    (got,) = stock_session(written.model).run(None, FEED)
    np.testing.assert_array_equal(got, stock_session(tmp_path / "m.onnx").run(None, FEED)[0])


def test_accelerate_names_what_is_wrong(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        edgeacts.accelerate(tmp_path / "none.onnx", tmp_path / "out")
    with pytest.raises(UsageError, match="is a file, --out needs a folder"):
        edgeacts.accelerate(model, model)
    with pytest.raises(UsageError, match="would be written over"):
        edgeacts.accelerate(model, model.parent)
