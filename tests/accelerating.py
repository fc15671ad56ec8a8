"""Graphs as ONNX text with edgeacts' activations, every way to run them accelerated, and the comparison with the model as it is."""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper, parser
from own_activations import OWN
from torch import nn

from edgeacts.acceleration.compiling import kernel_options
from edgeacts.acceleration.finding import find_all_sites
from edgeacts.acceleration.markers import Markers, optimize
from edgeacts.acceleration.means import pool_means
from edgeacts.acceleration.placed import Placed
from edgeacts.acceleration.rewriting import rewrite
from edgeacts.acceleration.sites import Site
from edgeacts.definition import Activation, Parameter, X
from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.modules import ActivationModule

CPU = ["CPUExecutionProvider"]
WAYS = ("none", "activated", "all", "all+products")
K = Parameter("k", 1.5, samples=(0.5,))
MINE = Activation("mine_all_mine", X / (1 + 2 ** (-K.symbol * X)), "this test", (K,))


@functools.cache
def kit() -> onnx.ModelProto:
    """A model whose functions and tables are those of the activations that the graphs here use."""
    act = ActivationModule
    modules = [act("mish"), act("nish"), act("tanhexp"), act("relu"), act("relu6"), act("silu", beta=2.0)]
    modules += [act("sau", alpha=a, n=2.0) for a in (0.1, 0.2, 0.3)]
    modules += [act(MINE, k=2.0), act(OWN["snake"].activation, k=1.5)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kit.onnx"
        to_onnx(nn.Sequential(*modules).eval(), torch.randn(2, 3), path)
        return onnx.load(path)


def build(text: str, *, seed: int = 0, **weights: tuple[int, ...] | np.ndarray) -> onnx.ModelProto:
    """The model of a graph `(inputs) => (outputs) { nodes }`; a weight is given as its shape (He's normal numbers) or value."""
    model = parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20, "edgeacts" : 1, "com.microsoft" : 1, "user" : 1]> g ' + text
    )
    model.functions.extend(kit().functions)
    model.metadata_props.extend(kit().metadata_props)
    generator = np.random.default_rng(seed)
    for name, value in weights.items():
        if isinstance(value, tuple):
            fan = np.prod(value[1:]) if len(value) > 1 else 1
            value = generator.standard_normal(value) * np.sqrt(2 / fan)
        array = np.asarray(value)
        kept = array if array.dtype == np.int64 else array.astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(kept, name))
    return model


def stock_session(model: onnx.ModelProto | Path) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=CPU)


@dataclass
class Ways:
    """`placed[way]` says where the activations went, `models[way]` is the rewritten model."""

    stock: Any
    sessions: dict[str, Any]
    placed: dict[str, list[Placed]]
    models: dict[str, onnx.ModelProto]
    sites: list[Site]

    @property
    def tolerance(self) -> float:
        """Each error may grow on its way; another order of additions comes to it."""
        return 2e-5 + 8 * sum(site.bound for site in self.sites if site.table is not None)

    def check(self, *feeds: Mapping[str, np.ndarray]) -> None:
        """Every way gives what the model as it is gives, for each feed, twice (buffers are used again)."""
        for feed in feeds:
            wanted = self.stock.run(None, dict(feed))
            assert all(np.ptp(w) > 1e-2 for w in wanted if w.size > 1), "this output is blind"
            for way, session in self.sessions.items():
                for _ in range(2):
                    for w, got in zip(wanted, session.run(None, dict(feed)), strict=True):
                        assert got.shape == w.shape
                        assert got.dtype == w.dtype
                        scale = max(1.0, float(np.abs(w).max(initial=0)))
                        np.testing.assert_allclose(got, w, rtol=0, atol=self.tolerance * scale, err_msg=way)

    def check_exactly(self, *feeds: Mapping[str, np.ndarray]) -> None:
        """As `check`, to the last bit."""
        for feed in feeds:
            wanted = self.stock.run(None, dict(feed))
            assert all(len(np.unique(w)) > 8 for w in wanted), "this output is blind"
            for way, session in self.sessions.items():
                for _ in range(2):
                    for w, got in zip(wanted, session.run(None, dict(feed)), strict=True):
                        assert got.dtype == w.dtype
                        np.testing.assert_array_equal(got, w, err_msg=way)

    def kernels(self, way: str) -> dict[str, str]:
        """Site -> kernel."""
        return {p.site: p.kernel for p in self.placed[way]}

    def operators(self, way: str) -> list[str]:
        return [node.op_type for node in self.models[way].graph.node]


def ways(model: onnx.ModelProto | Path, threads: int = 1, which: tuple[str, ...] = WAYS) -> Ways:
    """Candidates, whatever they cost."""
    loaded = onnx.load(model) if isinstance(model, Path) else model
    marked, sites = find_all_sites(loaded, "test")
    markers = Markers(marked, sites)
    markers.place(marked)
    pool_means(marked)
    optimized = optimize(marked, threads=threads)
    result = Ways(stock_session(model), {}, {}, {}, sites)
    for way in which:
        depthwise, _, more = way.partition("+")
        result.models[way], result.placed[way] = rewrite(
            optimized, markers, depthwise=depthwise, products=more == "products", threads=threads
        )
        result.sessions[way] = ort.InferenceSession(
            result.models[way].SerializeToString(), kernel_options(threads), providers=CPU
        )
    return result


def normal(*shape: int, seed: int = 0, scale: float = 2.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
