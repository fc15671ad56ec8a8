"""Run folders, whole and edited."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from run_records import TWO, Maker


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def int8_folder(maker: Maker, tmp_path: Path) -> Path:
    """Two activations in float and in 8 bits, quantized for both runtimes, timed in turn on ONNX Runtime."""
    maker.write_run(tmp_path / "run", TWO)
    return Path(maker.write_int8(tmp_path / "run", TWO))


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Maker().write_run(tmp_path_factory.mktemp("run") / "demo")


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a record of every kind."""
    folder = Maker().write_run(tmp_path_factory.mktemp("all") / "everything")
    return Maker(seed=8).write_measurements(folder)


@pytest.fixture
def run_folder(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "demo"))


@pytest.fixture
def edited(run_folder: Path) -> Callable[[str, str, str], Path]:
    """Replaces text in one file of the run folder: edited("bench/latency.json", old, new)."""

    def edit(name: str, old: str, new: str) -> Path:
        path = run_folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old}"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return edit
