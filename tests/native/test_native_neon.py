"""The NEON kernels under emulation: the same numbers as the plain ones, whose own error is tested elsewhere."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeacts.activations import activation, names
from edgeacts.tables import compile_table

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
NATIVE = Path(__file__).parents[2] / "edgeacts" / "native"
missing = [program for program in (COMPILER, EMULATOR) if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(
    bool(missing),
    reason=f"needs {', '.join(missing)} (Debian: g++-aarch64-linux-gnu, qemu-user-static) to run ARM code here",
)


def test_neon_gives_what_plain_cpp_gives(tmp_path: Path) -> None:
    sources = [Path(__file__).parent / "neon_check.cc"]
    sources += [
        NATIVE / name
        for name in (
            *(f"{part}_{isa}.cc" for part in ("kernels", "int8") for isa in ("neon", "plain")),
            "table.cc",
            "dispatch.cc",
        )
    ]
    program = tmp_path / "check"
    command = [
        COMPILER,
        "-std=c++17",
        "-O2",
        "-static",
        f"-I{NATIVE}",
        *map(str, sources),
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True, timeout=200)
    files = []
    for name in names():
        files.append(tmp_path / f"{name}.bin")
        compile_table(activation(name)).numbers.astype("<f4").tofile(files[-1])
    run = subprocess.run(
        [EMULATOR, str(program), *map(str, files)], capture_output=True, text=True, timeout=250
    )
    assert run.returncode == 0, run.stderr
    rows = [line.split() for line in run.stdout.splitlines()]
    assert len(rows) == len(files)
    for name, (_, table, convolution) in zip(names(), rows, strict=True):
        assert float(table) <= 2e-6, name  # two tables, each within 1e-6
        assert float(convolution) <= 2e-5, name  # of up to 25 activated pixels
