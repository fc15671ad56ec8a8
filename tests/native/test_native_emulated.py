"""Kernels of CPUs that this machine is not, under emulation: what plain C++, the formulas and a table's own bytes give."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from emulators import HERE, NATIVE, Bochs, Qemu, compile_program
from numpy.typing import NDArray

from edgeacts.activations import activation
from edgeacts.native import ISA_VARIABLE
from edgeacts.oracles import float64
from edgeacts.tables import compile_table

# Every shape of table and tail: segments, parabolas, lines at both ends, a constant at the right.
NAMES = ("silu", "hardswish", "relu6", "tanhexp", "sau")
ARM, ICE_LAKE, SKYLAKE_X, HASWELL = (
    Qemu(),
    Bochs("corei7_icelake_u"),
    Bochs("corei7_skylake_x"),
    Bochs("corei7_haswell_4770"),
)
SOURCES = {"aarch64-linux-gnu-g++": ("neon", "plain"), "g++": ("avx512", "vbmi", "avx2", "plain")}
# What is asked for, then what is chosen for float32 and INT8.
CHOICES = [
    (ARM, "", "neon", "neon"),
    (ARM, "plain", "plain", "plain"),
    (ICE_LAKE, "", "avx512", "vbmi"),
    (ICE_LAKE, "avx2", "avx2", "avx2"),
    (ICE_LAKE, "plain", "plain", "plain"),
    (SKYLAKE_X, "", "avx512", "avx2"),
    (HASWELL, "avx512", "avx2", "avx2"),
]


def _case(emulator: Qemu | Bochs, *names: str) -> object:
    missing = emulator.missing()
    reason = (
        f"needs {', '.join(missing)} (Debian: {emulator.packages}) to run another CPU's instructions here"
    )
    marks = [pytest.mark.skipif(bool(missing), reason=reason)]
    if isinstance(emulator, Bochs):
        marks.append(pytest.mark.long)
    label = emulator.cpu if isinstance(emulator, Bochs) else "arm64"
    return pytest.param(emulator, *names, marks=marks, id=f"{label}-{names[0] or 'best'}")


def _program(emulator: Qemu | Bochs, folder: Path) -> Path:
    isas = SOURCES[emulator.compiler]
    files = [NATIVE / f"{part}_{isa}.cc" for part in ("kernels", "int8") for isa in isas]
    sources = [HERE / "kernel_check.cc", HERE / "int8_check.cc", NATIVE / "table.cc", NATIVE / "dispatch.cc"]
    return compile_program(emulator.compiler, [*sources, *(f for f in files if f.exists())], folder / "check")


def _points() -> NDArray[np.float32]:
    special = [0.0, 1e-42, 1e19, 3e38, np.inf]
    x = np.concatenate([np.linspace(-20, 20, 801), special, np.negative(special), [np.nan]])
    return x.astype(np.float32)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("emulator", "asked", "isa", "int8_isa"), [_case(*choice) for choice in CHOICES])
def test_emulated_kernels(
    emulator: Qemu | Bochs, asked: str, isa: str, int8_isa: str, tmp_path: Path
) -> None:
    """Any length and address; within the table's bound of the formula; INT8 equal byte for byte; the right path chosen."""
    x, tables = _points(), [compile_table(activation(name)) for name in NAMES]
    parts = [
        table.numbers.astype("<f4").tobytes() + struct.pack("<I", len(x)) + x.tobytes() for table in tables
    ]
    done = emulator.run(
        _program(emulator, tmp_path),
        struct.pack("<I", len(tables)) + b"".join(parts),
        {ISA_VARIABLE: asked},
        timeout=500,
    )
    assert done.code == 0, done.output[:500]
    line, _, results = done.output.partition(b"\n")
    found = re.fullmatch(
        r"(\w+) (\w+) wrong 0 depthwise (\S+) (\S+) pointwise (\S+) (\S+) stem (\S+) (\S+) dense (\S+) lookups 0/3010 depthwise8 0/120 convolutions8 0/64",
        line.decode(),
    )
    assert found, line
    assert found.groups()[:2] == (isa, int8_isa)
    depthwise, pointwise, stem = ({8: float(found[k]), 16: float(found[k + 1])} for k in (3, 5, 7))
    assert max(depthwise.values()) <= 2e-5  # of up to 25 activated pixels
    assert max(pointwise.values()) <= 2e-5  # of up to 48 channels
    assert max(stem.values()) <= 2e-5  # of up to 75 numbers
    assert float(found[9]) <= 1e-5  # of up to 131 numbers
    # Kernels of their own round otherwise than plain C++, which AVX-512 takes for blocks of 8.
    own = {"plain": set(), "avx512": {16}, "avx2": {8, 16}, "neon": {8, 16}}[isa]
    for blocks in (depthwise, pointwise, stem):
        assert {block for block, error in blocks.items() if error > 0} == own
    for name, table, got in zip(
        NAMES, tables, np.frombuffer(results, "<f4").reshape(len(NAMES), -1), strict=True
    ):
        a = activation(name)
        with np.errstate(all="ignore"):
            true = float64(a, x.astype(float), 0, **a.values())
            special = ~np.isfinite(true.astype(np.float32))
            np.testing.assert_array_equal(got[special], true.astype(np.float32)[special], name)
            error = np.abs(got - true)[~special] / np.maximum(1.0, np.abs(x[~special]))
        assert error.max() <= table.bound <= 1e-6, name
