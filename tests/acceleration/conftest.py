"""An empty cache in which every compiled model counts as faster, and a small network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from compiled_models import network

from edgeacts.acceleration import compiling, opening


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache."""
    monkeypatch.setenv("EDGEACTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        compiling,
        "times_in_turn",
        lambda sessions, feed: {n: [1.0 if n == "stock" else 0.5] for n in sessions},
    )
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(network(), path)
    return path


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing can be compiled."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("it was compiled again")

    monkeypatch.setattr(opening, "compile_model", fail)
    yield
    monkeypatch.undo()
