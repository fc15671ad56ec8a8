"""Small networks as ONNX files, exported once, and one of somebody else's making."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

# Activations as other people write them, every kind of neighbour; the Sigmoid behind the pooling is a gate.
FOREIGN = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N, 8, 16, 16] x) => (float[N, 8, 16, 16] y) {
    a = Conv<pads = [1, 1, 1, 1]>(x, w)
    s = Sigmoid(a)
    b = Mul(a, s)
    c = Conv<pads = [1, 1, 1, 1]>(b, w)
    three = Constant<value_float = 3.0>()
    zero = Constant<value_float = 0.0>()
    six = Constant<value_float = 6.0>()
    d1 = Add(c, three)
    d2 = Clip(d1, zero, six)
    d3 = Mul(c, d2)
    d = Div(d3, six)
    e = Conv<pads = [1, 1, 1, 1]>(d, w)
    f = Softplus(e)
    h = Tanh(f)
    i = Mul(e, h)
    j = Conv<pads = [1, 1, 1, 1]>(i, w)
    k = Relu(j)
    l = Conv<pads = [1, 1, 1, 1]>(k, w)
    o = LeakyRelu<alpha = 0.2>(l)
    p = Add(o, k)
    q = Relu(p)
    r = GlobalAveragePool(q)
    t = Sigmoid(r)
    u = Mul(q, t)
    y = Mish(u)
}"""
FOREIGN_ACTIVATIONS = {
    "b": "Silu", "d": "HardSwish", "i": "Mish", "k": "Relu", "o": "LeakyRelu", "q": "Relu", "y": "Mish"
}  # fmt: skip


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
