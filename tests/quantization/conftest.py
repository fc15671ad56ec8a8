"""One folder and one trained network for all tests of quantization."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode puts nothing there


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exported networks go."""
    return tmp_path_factory.mktemp("networks")
