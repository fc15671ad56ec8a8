"""The INT8 kernels, one process for each instruction set this CPU has: what numpy gives, byte for byte, and nothing beside the range."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeacts import native
from edgeacts.errors import NotAvailable
from edgeacts.native import int8

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "edgeacts" / "native"
# The kernels' instruction set -> the one that is asked for.
ASKED = {"vbmi": "avx512", "avx2": "avx2", "neon": "neon", "plain": "plain"}
built = pytest.mark.skipif(not native.available(), reason=str(native.missing()))


def _skip(name: str) -> pytest.MarkDecorator:
    has = native.available() and native.has(name)
    return pytest.mark.skipif(not has, reason=native.missing() or f"this CPU has no {name}")


ISAS = [pytest.param(name, marks=_skip(name)) for name in ASKED]

# Runs in a process of its own, as the instruction set is chosen once. What is wrong is printed.
PROGRAM = r"""
import ctypes, itertools, json, mmap
import numpy as np
from edgeacts.native import int8

wrong = []
random = np.random.default_rng(0)
bytes_ = np.arange(256, dtype=np.uint8)


def expect(right, *what):
    if not right:
        wrong.append(" ".join(map(str, what)))


def any_bytes(*shape):
    return random.integers(0, 256, shape, dtype=np.uint8)


tables = [bytes_, bytes_[::-1].copy(), np.zeros(256, np.uint8), *(any_bytes(256) for _ in range(5))]
for number, table in enumerate(tables):
    expect(np.array_equal(int8.lookup(table, bytes_), table), "every byte", number)
    for n in [*range(140), 255, 256, 257, 511, 513, 4097]:
        for offset in (0, 1, 31) if n < 140 else (5,):
            whole = any_bytes(n + 128)
            before = whole.copy()
            x = whole[64 + offset : 64 + offset + n]
            out = np.full(n + 128, 0xA5, np.uint8)
            y = out[32 : 32 + n]
            int8.lookup_at(table, x.ctypes.data, y.ctypes.data, n)
            expect(np.array_equal(y, table[x]), number, n, offset, "out of place")
            expect((out[:32] == 0xA5).all() and (out[32 + n :] == 0xA5).all(), number, n, offset, "beside")
            expect(np.array_equal(whole, before), number, n, offset, "x was written")
            int8.lookup_at(table, x.ctypes.data, x.ctypes.data, n)
            before[64 + offset : 64 + offset + n] = y
            expect(np.array_equal(whole, before), number, n, offset, "in place")
table, x = tables[-1], any_bytes(1_000_003)
for threads in (1, 2, 7):
    expect(np.array_equal(int8.lookup(table, x, threads), table[x]), threads, "threads")

# The last byte of a page, the next page not readable: a read beside the range would end the process.
page = mmap.PAGESIZE
pages = mmap.mmap(-1, 3 * page)
memory = np.frombuffer(pages, np.uint8)
libc = ctypes.CDLL(None, use_errno=True)
for edge in (0, 2 * page):
    expect(libc.mprotect(ctypes.c_void_p(memory.ctypes.data + edge), ctypes.c_size_t(page), 0) == 0, "mprotect")
for n in range(140):
    for first in (page, 2 * page - n):
        part = memory[first : first + n]
        part[:] = x[:n]
        int8.lookup_at(table, part.ctypes.data, part.ctypes.data, n)
        expect(np.array_equal(part, table[x[:n]]), "page", n)


def numpy_depthwise(x, w, bias, scale, stride, pads, zero_point, padding, before, after):
    x = x if before is None else before[x]
    sides = ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0))
    x = np.pad(x, sides, constant_values=padding).astype(np.int64)
    size = len(w)
    high, wide = ((x.shape[i] - size) // stride + 1 for i in (1, 2))
    total = np.zeros((x.shape[0], high, wide, x.shape[3]), np.int64) + bias
    for i, j in itertools.product(range(size), repeat=2):
        total += x[:, i : i + stride * (high - 1) + 1 : stride, j : j + stride * (wide - 1) + 1 : stride] * w[i, j]
    y = np.clip(np.rint(total.astype(np.float32) * scale) + np.float32(zero_point), 0, 255).astype(np.uint8)
    return y if after is None else after[y]


cases = itertools.product((3, 5), (1, 2), (1, 3, 8, 16, 21, 40), ((5, 5), (6, 11), (12, 7)), (0, 1))
for number, (size, stride, channels, (high, wide), uneven) in enumerate(cases):
    w = random.integers(-255, 256, (size, size, channels))  # an int8 less an int8 zero point
    args = (any_bytes(2, high, wide, channels), w, random.integers(-9000, 9000, channels).astype(np.int32))
    scale = random.uniform(1e-3, 2e-2, channels).astype(np.float32)
    scale[0] = np.float32(2.0**-4)  # products that end in one half, for rounding to even
    scale[1:2] = 600  # products just below 2^30, the largest that compiled models have
    half = size // 2
    before, after = (table if number & bit else None for bit in (1, 2))
    more = dict(stride=stride, pads=(half - uneven, half - uneven, half, half), before=before, after=after)
    more |= dict(zero_point=number % 256, padding=(7 * number) % 256)
    got, true = int8.depthwise(*args, scale, **more), numpy_depthwise(*args, scale, **more)
    expect(got.shape == true.shape and np.array_equal(got, true), "depthwise", size, stride, channels, high, wide, uneven)
print(json.dumps({"isa": int8.isa(), "wrong": wrong[:20], "count": len(wrong)}))
"""


@pytest.mark.parametrize("isa", ISAS)
def test_bytes_are_numpys(isa: str) -> None:
    """Every entry of tables; any length, address and place; convolutions of any size and padding, rounded to even."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, native.ISA_VARIABLE: ASKED[isa]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    assert json.loads(done.stdout) == {"isa": isa, "wrong": [], "count": 0}


@pytest.mark.skipif(
    not (native.available() and native.has("avx512") and not native.has("vbmi")),
    reason="this CPU has no AVX-512, or VBMI with it",
)
def test_avx512_without_vbmi_takes_avx2s_way() -> None:
    program = "from edgeacts.native import int8; print(int8.isa())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, native.ISA_VARIABLE: "avx512"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "avx2"


@built
def test_the_speed_is_a_number_and_a_table_has_256_entries() -> None:
    assert int8.measure_lookup(1024, 3) > 0.05  # gigabytes a second
    with pytest.raises(ValueError, match=r"256 entries, not shape \(255,\)"):
        int8.lookup(np.zeros(255, np.uint8), np.zeros(3, np.uint8))


def test_rows_of_weights_are_paired_from_the_first_and_from_the_second_on() -> None:
    weights = np.arange(1, 10).reshape(3, 3, 1)
    pairs = int8.paired(weights)[..., 0, :]
    assert pairs.shape == (2, 2, 3, 2)
    assert pairs[0].tolist() == [[[1, 4], [2, 5], [3, 6]], [[7, 0], [8, 0], [9, 0]]]
    assert pairs[1].tolist() == [[[1, 0], [2, 0], [3, 0]], [[4, 7], [5, 8], [6, 9]]]


def test_without_the_library_the_reason_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "none.so"
    monkeypatch.setattr(native, "library_path", lambda: empty)
    native.missing.cache_clear()
    int8._library.cache_clear()
    try:
        with pytest.raises(NotAvailable, match="kernels cannot be loaded"):
            int8.isa()
    finally:
        monkeypatch.undo()
        native.missing.cache_clear()
        int8._library.cache_clear()


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ to compile x86-64 code here")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="not an x86-64 machine")
def test_vbmi_compiles_to_its_permutations(tmp_path: Path) -> None:
    """Also where no CPU could run them: two permutations for 64 bytes, no multiply of bytes with saturation."""
    target = tmp_path / "vbmi.s"
    options = [
        "-std=c++17",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-uninitialized",
        "-Wno-maybe-uninitialized",
        "-S",
    ]
    command = ["g++", *options, str(SOURCES / "int8_vbmi.cc"), "-o", str(target)]
    subprocess.run(command, check=True, timeout=200)
    text = target.read_text()
    assert "vpermi2b" in text or "vpermt2b" in text
    assert "vpmaddubsw" not in text
