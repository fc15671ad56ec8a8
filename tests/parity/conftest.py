"""Small networks, exported once a session, and copies of their files with planted faults."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_networks import SIDE, Net, Two, alive, digit_images, trained
from torch import nn

from edgeacts.exporters import to_onnx


@dataclass(frozen=True)
class Pair:
    """A network and the file exported from it."""

    model: nn.Module
    path: Path
    inlined: Path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """exported(activation, seed) -> Pair; each is exported once."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def make(activation: str, seed: int) -> Pair:
        model = Two() if activation == "two outputs" else alive(Net(activation), seed)
        names = ["first", "second"] if activation == "two outputs" else ["logits"]
        return _export(model, folder / f"{activation} {seed}.onnx", names)

    return lambda activation="relu", seed=0: make(activation, seed)  # one entry however it is called


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """learned(activation) -> Pair of a network that tells tinted digits; each is trained once."""
    folder = tmp_path_factory.mktemp("learned")

    @cache
    def make(activation: str) -> Pair:
        torch.manual_seed(0)
        return _export(trained(Net(activation, classes=10)), folder / f"{activation}.onnx", ["logits"])

    return make


def _export(model: nn.Module, path: Path, names: list[str]) -> Pair:
    files = to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), path, input_names=["image"], output_names=names)
    return Pair(model, files.portable, files.inlined)


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """Tinted digits that the networks of `learned` were not trained on."""
    return digit_images(slice(1500, 1564))[0]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Path, Callable[[onnx.ModelProto], object]], Path]:
    """A copy of an ONNX file with a change made to it."""

    def make(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
        model = onnx.load(path)
        change(model)
        onnx.save(model, tmp_path / "changed.onnx")
        return tmp_path / "changed.onnx"

    return make
