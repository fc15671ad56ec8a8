"""INT8 models opened accelerated: chosen by what was measured, exact or refused with the reason, found in the cache."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from accelerating import normal
from int8_graphs import Graph

from edgeacts import native
from edgeacts.acceleration import compiling
from edgeacts.acceleration.int8_tables import byte_tables
from edgeacts.runtimes import open_runtime

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not native.available(), reason=str(native.missing())),
]


def saved(folder: Path) -> Path:
    g = Graph(side=48).conv(32, 3)
    for _ in range(3):
        g.act("Nish").conv(32, 3, groups=32).act("Mish").conv(32)
    path = folder / "int8.onnx"
    onnx.save(g.conv(8).model(), path)
    return path


def test_a_session_says_what_runs_each_activation_and_gives_the_same_bits(tmp_path: Path) -> None:
    path = saved(tmp_path)
    feed = {"x": normal(1, 8, 48, 48)}
    with open_runtime(path, threads=1) as stock, open_runtime(path, threads=1, accelerate=True) as session:
        manifest = session.manifest
        assert manifest.chosen != "stock", manifest.reason
        assert manifest.allowed == 0.0
        assert all(
            s.exact and s.kernel.startswith("int8 ") and s.layout == "channels last" for s in manifest.sites
        )
        assert sorted(s.operator for s in manifest.sites) == ["Mish"] * 3 + ["Nish"] * 3
        np.testing.assert_array_equal(stock.native.run(None, feed)[0], session.native.run(None, feed)[0])
    with open_runtime(path, threads=1, accelerate=True) as again:
        assert again.manifest == manifest
        assert again.compiled == session.compiled


def test_one_wrong_byte_in_a_table_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEACTS_CACHE", str(tmp_path / "cache"))

    def wrong(model: onnx.ModelProto, regions: list) -> list:
        return [table ^ np.uint8(1) for table in byte_tables(model, regions)]

    monkeypatch.setattr("edgeacts.acceleration.int8_sites.byte_tables", wrong)
    monkeypatch.setattr(compiling, "_NOISE", 1e9)  # what floats are allowed says nothing here
    with open_runtime(saved(tmp_path), threads=1, accelerate=True) as session:
        assert session.manifest.chosen == "stock"
        assert "differ by" in session.manifest.reason
        assert not any(s.kernel or s.exact for s in session.manifest.sites)
