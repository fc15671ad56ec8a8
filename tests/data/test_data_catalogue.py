"""What holds for every data set name, and what importing the package costs."""

import subprocess
import sys

import pytest

from edgeacts.data import SOURCES, dataset_names, load_dataset
from edgeacts.errors import EdgeactsError, UsageError

EXPECTED = ("digits", "fashion-mnist", "mnist", "kmnist", "cifar10", "cifar100", "folder:PATH", "hub:NAME")


def test_names():
    assert dataset_names() == EXPECTED == tuple(SOURCES)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("size", [15, 513])
def test_every_loader_is_reached_and_errors_are_one_line(name, size, tmp_path):
    with pytest.raises(EdgeactsError) as caught:
        load_dataset(name, tmp_path, image_size=size)
    message = str(caught.value)
    assert "\n" not in message
    assert any(word in message for word in ("image size", "not found", "does not exist", "pip install"))


def test_unknown_name():
    with pytest.raises(UsageError, match="unknown data set 'cifar': did you mean cifar10 or cifar100"):
        load_dataset("cifar")


@pytest.mark.parametrize("name", ["folder", "folder:", "hub", "hub:"])
def test_name_without_its_argument(name):
    with pytest.raises(
        UsageError, match=f"data set '{name}' is not complete: write {name.rstrip(':')}:[A-Z]+"
    ):
        load_dataset(name)


@pytest.mark.parametrize("name", ["digits:8", "mnist:", ":x", ""])
def test_argument_where_none_is_taken(name):
    with pytest.raises(UsageError, match=f"unknown data set '{name}'"):
        load_dataset(name)


def test_negative_seed():
    with pytest.raises(UsageError, match="seed is -1, must be 0 or more"):
        load_dataset("digits", seed=-1)


def test_digits_without_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from edgeacts.data import load_dataset\n"
        "from edgeacts.errors import NotAvailable\n"
        "try: load_dataset('digits')\n"
        "except NotAvailable as error: print(error)\n"
        "print([m for m in ('torch', 'sympy', 'PIL', 'datasets') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install edgeacts[train]" in done.stdout
    assert done.stdout.endswith("[]\n")
