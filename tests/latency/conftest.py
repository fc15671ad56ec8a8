"""Small networks as ONNX files, exported once, and one of somebody else's making."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign_network import FOREIGN
from onnx import numpy_helper, parser


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
