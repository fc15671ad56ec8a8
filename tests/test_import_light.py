"""`import edgeacts` is cheap, every public name resolves, and the two mapped packages have one name only."""

import subprocess
import sys
from pathlib import Path

import pytest

import edgeacts
from edgeacts.errors import NotAvailable

ROOT = Path(edgeacts.__file__).parent.parent
HEAVY = ("torch", "sympy", "onnxruntime", "openvino", "plotly", "numpy", "onnx", "pytorch_lightning")

# What a device runs: neither torch nor SymPy may come with it.
ON_A_DEVICE = (
    "edgeacts.runtimes",
    "edgeacts.latency",
    "edgeacts.parity",
    "edgeacts.records",
    "edgeacts.preprocessing",
    "edgeacts.testing",
)


def loaded_after(statement: str, cwd: Path = ROOT) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_edgeacts_loads_nothing_heavy() -> None:
    assert not loaded_after("import edgeacts, edgeacts.cli, edgeacts.errors, edgeacts.files").intersection(
        HEAVY
    )


def test_what_runs_on_a_device_loads_neither_torch_nor_sympy() -> None:
    loaded = loaded_after(f"import {', '.join(ON_A_DEVICE)}")
    assert "onnxruntime" in loaded or "numpy" in loaded  # it did load something
    assert not loaded & {"torch", "sympy", "pytorch_lightning", "sklearn", "plotly"}


@pytest.mark.parametrize("name", edgeacts.__all__)
def test_every_public_name_resolves_to_its_own(name: str) -> None:
    value = getattr(edgeacts, name)
    assert value is not None
    assert getattr(value, "__name__", name) == name
    assert name in dir(edgeacts)


def test_the_list_of_names_and_their_homes_agree() -> None:
    assert set(edgeacts._HOME) | {"__version__"} == set(edgeacts.__all__)
    assert list(edgeacts.__all__) == sorted(edgeacts.__all__)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'edgeacts' has no attribute 'verfy'"):
        _ = edgeacts.verfy


def test_a_missing_package_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)  # `import plotly` then raises ModuleNotFoundError
    for name in [n for n in sys.modules if n.startswith(("edgeacts.report", "plotly."))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(NotAvailable, match=r"plotly is not installed: pip install 'edgeacts\[train\]'"):
        _ = edgeacts.build_report


@pytest.mark.parametrize("package", ["models", "exporters"])
def test_the_mapped_packages_refuse_their_plain_name(package: str) -> None:
    code = f"import {package}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: this package is edgeacts.{package}, not {package}: "
    )
