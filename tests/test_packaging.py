"""What pyproject.toml says about the package is what the tree holds; nothing large or of one machine is tracked."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import edgeacts

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
MAX_TRACKED_BYTES = 2**20

# Absolute paths that only one machine has. Put together here, so that this file does not hold them itself.
MACHINE_PATHS = re.compile("|".join(("/" + "tmp/", "/" + "work/", "/" + "home/", "/" + "root/")))


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is not a git checkout: there is no list of tracked files")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def packages_in_tree() -> set[str]:
    """Every folder of edgeacts with an __init__.py, links to the mapped packages followed."""
    found = set()
    for top in (ROOT / "edgeacts", *(ROOT / folder for folder in SETUPTOOLS["package-dir"].values())):
        name = "edgeacts" if top.name == "edgeacts" else f"edgeacts.{top.name}"
        for file in top.rglob("__init__.py"):
            found.add(".".join([name, *file.parent.relative_to(top).parts]))
    return found


def test_the_listed_packages_are_those_of_the_tree() -> None:
    assert set(SETUPTOOLS["packages"]) == packages_in_tree()
    assert len(SETUPTOOLS["packages"]) == len(set(SETUPTOOLS["packages"]))


def test_the_mapped_packages_are_where_the_project_says() -> None:
    assert SETUPTOOLS["package-dir"] == {"edgeacts.models": "models", "edgeacts.exporters": "exporters"}
    for name, folder in SETUPTOOLS["package-dir"].items():
        link = ROOT / name.replace(".", "/")
        assert link.is_symlink()
        assert link.resolve() == (ROOT / folder).resolve()


@pytest.mark.parametrize(("package", "patterns"), SETUPTOOLS["package-data"].items())
def test_package_data_exist(package: str, patterns: list[str]) -> None:
    folder = ROOT / package.replace(".", "/")
    for pattern in patterns:
        assert list(folder.glob(pattern)), f"{package}: nothing matches {pattern}"


def test_no_file_of_the_package_is_left_out_of_the_wheel() -> None:
    patterns = {ROOT / p.replace(".", "/"): globs for p, globs in SETUPTOOLS["package-data"].items()}
    for file in tracked():
        if file.is_relative_to(ROOT / "edgeacts") and file.suffix != ".py":
            assert any(
                file in folder.glob(pattern) for folder, globs in patterns.items() for pattern in globs
            ), file


def test_versions_agree() -> None:
    assert PROJECT["project"]["version"] == edgeacts.__version__


def test_the_command_is_there() -> None:
    module, _, function = PROJECT["project"]["scripts"]["edgeacts"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_nothing_large_is_tracked() -> None:
    large = {
        str(f.relative_to(ROOT)): f.stat().st_size for f in tracked() if f.stat().st_size > MAX_TRACKED_BYTES
    }
    assert not large


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    found = []
    for file in tracked():
        if "tests" in file.relative_to(ROOT).parts:
            continue
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
            if MACHINE_PATHS.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found
