"""One folder and one trained network for all tests of quantization."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeacts.quantization import sessions

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode puts nothing there


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exported networks go."""
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="session", autouse=True)
def one_runtime_thread() -> Iterator[None]:
    """On a busy machine two threads wait longer for each other than these networks take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "cores", lambda: 1)
        yield
