"""A small network to compile, and what its cache holds."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from accelerating import build, normal, stock_session

FEED = {"x": normal(2, 3, 17, 12)}
# Of a millisecond's work no timing can say which is faster.
FAST = (
    "compiling.times_in_turn = lambda sessions, feed: {n: [1.0 if n == 'stock' else 0.5] for n in sessions}"
)


def network() -> onnx.ModelProto:
    return build(
        """(float[n, 3, h, k] x) => (float[n, 32, p, q] y) { a = Conv(x, w) b = edgeacts.Mish(a)
        c = Conv<pads=[1,1,1,1], group=32>(b, d) y = edgeacts.Nish(c) }""",
        w=(32, 3, 3, 3), d=(32, 1, 3, 3),
    )  # fmt: skip


def entries(folder: Path) -> list[Path]:
    """What is in the cache; nothing temporary is."""
    found = [p for p in folder.iterdir() if p.name[0] != "."]
    assert all(p.name.endswith(".lock") for p in folder.iterdir() if p.name[0] == "."), list(folder.iterdir())
    return found


def assert_runs(model: Path, session: Any, kernels: bool = True) -> None:
    assert isinstance(session, ort.InferenceSession)
    options = session.get_session_options()
    assert (options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL) == kernels
    (wanted,), (got,) = stock_session(model).run(None, FEED), session.run(None, FEED)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-5 * np.abs(wanted).max())
