"""The C++ kernels, one process for each instruction set this CPU has: the numpy reading's results and nothing beside the range."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from kernel_cases import SAME, built, cases, points
from numpy.typing import NDArray

from edgeacts import native, piecewise
from edgeacts.oracles import float64
from edgeacts.piecewise import Table, Which

HERE = [name for name in native.ISAS if native.available() and native.has(name)]
ISAS = [
    pytest.param(
        name, marks=pytest.mark.skipif(name not in HERE, reason=native.missing() or f"this CPU has no {name}")
    )
    for name in native.ISAS
]
WHICH: dict[str, Which] = {"avx512": "wide", "plain": "wide", "avx2": "quotient", "neon": "narrow"}


def reading(isa: str, table: Table) -> Which:
    """What of a table an instruction set evaluates: AVX-512 quotients of one short polynomial in a power of two, else segments."""
    quotient = table.quotient
    power = (
        quotient is not None
        and quotient.power is not None
        and len(quotient.denominator) <= (3 if quotient.common else 2)
    )
    return "quotient" if isa == "avx512" and power else WHICH[isa]


# Runs in a process of its own, as the instruction set is chosen once. Results go to a file; what is wrong in itself is printed.
PROGRAM = r"""
import ctypes, json, mmap, sys
from pathlib import Path
import numpy as np
from edgeacts import native
from edgeacts.piecewise import Table

folder = Path(sys.argv[1])
tables = {name: Table.from_record(r, name) for name, r in json.loads((folder / "tables.json").read_text()).items()}
inputs = np.load(folder / "inputs.npz")
wrong, results = [], {}
GUARD = np.uint32(0xDEADBEEF)
random = np.random.default_rng(1)


def same(a, b):
    return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b))))


def buffer(n, offset):
    whole = np.full(n + 64, GUARD, np.uint32)
    return whole, whole[16 + offset : 16 + offset + n].view(np.float32)


def intact(whole, n, offset):
    return bool(np.all(whole[: 16 + offset] == GUARD) and np.all(whole[16 + offset + n :] == GUARD))


def at(a):
    return a.ctypes.data


def expect(right, *what):
    if not right:
        wrong.append(" ".join(map(str, what)))


for name, table in tables.items():
    x = inputs[name]
    y = results[name] = native.apply(table, x)
    expect(y.dtype == np.float32 and y.shape == x.shape, name, "shape")
    n = len(x)
    with np.errstate(all="ignore"):
        factor = random.normal(size=n).astype(np.float32)
        whole, out = buffer(n, 3)
        native.apply_at(table, at(x), at(factor), at(out), n, 1)
        expect(same(out, factor * y) and intact(whole, n, 3), name, "factor")
        native.apply_at(table, at(x), None, at(out), n, 1, mirrored=True)
        expect(same(out, native.apply(table, -x)) and intact(whole, n, 3), name, "mirrored")

for name in ("silu", "power 3 5", "relu", "sau", "tails gelu 2 2", "gompertz"):
    table, x, y = tables[name], inputs[name], results[name]
    for n in [*range(71), 127, 128, 129, 2047, 2049]:
        start = int(random.integers(0, len(x) - n)) if n < len(x) else 0
        u, v = x[start : start + n], y[start : start + n]
        for offset in (0, 1, 5, 15) if n < 71 else (2,):
            source, inside = buffer(n, (offset * 7) % 16)
            inside[:] = u
            before = source.copy()
            whole, out = buffer(n, offset)
            native.apply_at(table, at(inside), None, at(out), n, 1)
            expect(same(out, v) and intact(whole, n, offset), name, n, offset, "out of place")
            expect(np.array_equal(source, before), name, n, offset, "x was written")
            native.apply_at(table, at(inside), None, at(inside), n, 1)
            expect(same(inside, v) and intact(source, n, (offset * 7) % 16), name, n, offset, "in place")
            factor = random.normal(size=n).astype(np.float32)
            with np.errstate(all="ignore"):
                true = factor * v
            inside[:], out[:] = u, factor
            native.apply_at(table, at(inside), at(out), at(out), n, 1)
            expect(same(out, true) and intact(whole, n, offset), name, n, offset, "in place of the factor")
            native.apply_at(table, at(inside), at(factor), at(inside), n, 1)
            expect(same(inside, true), name, n, offset, "in place of x, with a factor")

# The last number of a page, the next page not readable: a read beside the range would end the process.
page = mmap.PAGESIZE
pages = mmap.mmap(-1, 3 * page)
memory = np.frombuffer(pages, np.uint8)
libc = ctypes.CDLL(None, use_errno=True)
PROT_NONE, PROT_READ_WRITE = 0, 3
for edge in (0, 2 * page):
    if libc.mprotect(ctypes.c_void_p(memory.ctypes.data + edge), ctypes.c_size_t(page), PROT_NONE) != 0:
        wrong.append("mprotect failed")
table, x, y = tables["silu"], inputs["silu"], results["silu"]
for n in range(71):
    for first in (page, 2 * page - 4 * n):
        part = memory[first : first + 4 * n].view(np.float32)
        part[:] = x[:n]
        native.apply_at(table, at(part), None, at(part), n, 1)
        expect(same(part, y[:n]), "page", n)
        native.apply_at(table, at(part), at(part), at(part), n, 1)
libc.mprotect(ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(3 * page), PROT_READ_WRITE)

n = 1_000_003
for name in ("silu", "tails relu 1 2"):
    table, x = tables[name], np.resize(inputs[name], n + 1)[1:]
    true = np.resize(results[name], n + 1)[1:]
    factor = np.resize(np.float32([0.5, -2.0, 3.0, 1.5, -0.25]), n)
    for threads in (1, 2, 7):
        expect(same(native.apply(table, x, threads), true), name, threads, "threads")
        whole, out = buffer(n, 1)
        out[:] = factor
        native.apply_at(table, at(x), at(out), at(out), n, threads)
        with np.errstate(all="ignore"):
            expect(same(out, true * factor) and intact(whole, n, 1), name, threads, "threads, in place of the factor")
table, other = tables["silu'"], tables["silu"]
x = random.normal(size=n).astype(np.float32)
y = np.empty_like(x)
f, g = native.apply(table, x), native.apply(other, x)
true, size = float(factor.astype(float) @ g), float(np.abs(factor.astype(float)) @ np.abs(g))
totals = [native.apply_and_sum_at(table, other, at(x), at(factor), at(y), n, t) for t in (1, 2, 7)]
expect(same(y, factor * f), "summed, y")
expect(len(set(totals)) == 1 and abs(totals[0] - true) < 1e-6 * size, "summed", totals, true)
expect(native.apply_and_sum_at(table, other, at(x), at(factor), at(y), 0, 1) == 0.0, "summed, nothing")
expect(native.apply(table, x[:0]).shape == (0,), "empty")
expect(np.array_equal(native.apply(table, x[:60].reshape(3, 20).T), f[:60].reshape(3, 20).T), "transposed")

np.savez(folder / "results.npz", **results)
print(json.dumps({"isa": native.isa(), "wrong": wrong[:20], "count": len(wrong)}))
"""


@dataclass(frozen=True)
class Ran:
    report: dict[str, Any]
    inputs: dict[str, NDArray[np.float32]]
    results: dict[str, NDArray[np.float32]]


def in_process(program: str, isa: str | None, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != native.ISA_VARIABLE}
    if isa is not None:
        environment[native.ISA_VARIABLE] = isa
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the kernels of an instruction set computed."""
    folder = tmp_path_factory.mktemp("kernels")
    inputs = {name: points(case.table) for name, case in cases().items()}
    (folder / "tables.json").write_text(json.dumps({n: c.table.to_record() for n, c in cases().items()}))
    np.savez(folder / "inputs.npz", **inputs)

    @cache
    def run(isa: str) -> Ran:
        report = json.loads(in_process(PROGRAM, isa, str(folder)))
        with np.load(folder / "results.npz") as file:
            return Ran(report, inputs, dict(file))

    return run


def test_cases_reach_every_branch_of_the_kernels() -> None:
    seen = set()
    for case in cases().values():
        wide, numbers = case.table.wide, case.table.numbers
        seen.add((*numbers[5:7].astype(int).tolist(), wide.degree, np.frexp(wide.step)[0] == 0.5))
    assert seen >= set(itertools.product((0, 1, 2), (1, 2, 3), piecewise.WIDE_DEGREES, (False, True)))
    assert {c.table.narrow.degree for c in cases().values()} >= {1, 7, 9, 15}
    quotients = [c.table.quotient for c in cases().values()]
    degrees = {(len(q.numerator) - 1, len(q.denominator) - 1) for q in quotients if q is not None}
    assert None in quotients
    assert any(under == 0 for _, under in degrees)
    assert any(over > under > 0 for over, under in degrees)
    assert any(under > over for over, under in degrees)


# ---- each instruction set


@pytest.mark.parametrize("isa", ISAS)
def test_any_length_address_place_and_number_of_threads(isa: str, ran: Any) -> None:
    """Equal to what the whole array gives at once; guards beside the range stay, and a page that cannot be read is not."""
    assert ran(isa).report == {"isa": isa, "wrong": [], "count": 0}


@pytest.mark.parametrize("isa", ISAS)
def test_equals_the_numpy_reading(isa: str, ran: Any) -> None:
    done = ran(isa)
    for name, case in cases().items():
        which = reading(isa, case.table)
        x, got = done.inputs[name], done.results[name]
        true = case.table.read(x, which)
        assert np.array_equal(np.isnan(got), np.isnan(x)), name
        if isa == "plain":  # without fused multiply-add, and beside a border by the neighbour's polynomial
            close = 2 * case.table.bound + 4e-7
        elif (
            which == "wide" and isa == "avx512" and case.table.right == SAME
        ):  # what x has over the end is added a rounding earlier
            close = 2.0**-23
        else:
            close = 0.0
        same = (got == true) | np.isnan(x)
        with np.errstate(invalid="ignore"):
            off = np.abs(got.astype(float) - true) / np.maximum(1.0, np.abs(x))
        fine = same | (off <= close)
        if which == "wide" and isa == "avx512":
            fine &= same | (x > case.table.wide.ends[1])
        assert fine.all(), (name, x[~fine][:5], got[~fine][:5], true[~fine][:5])


@pytest.mark.parametrize("isa", ISAS)
def test_within_the_bound_of_the_oracle(isa: str, ran: Any) -> None:
    done = ran(isa)
    compared = 0
    for name, case in cases().items():
        if case.definition is None:
            continue
        x, got = done.inputs[name], done.results[name]
        with np.errstate(all="ignore"):
            true = float64(case.definition, x.astype(float), case.order, **dict(case.values))
            special = ~np.isfinite(true.astype(np.float32))
            np.testing.assert_array_equal(got[special], true.astype(np.float32)[special], name)
        got, true, x = (values[~special].astype(float) for values in (got, true, x))
        error = np.abs(got - true) / (1.0 if case.order else np.maximum(1.0, np.abs(x)))
        assert error.max() <= case.table.bound <= (4e-6 if case.order else 1e-6), name
        compared += 1
    assert compared > 30


@pytest.mark.parametrize("isa", ISAS)
def test_infinities_follow_the_lines(isa: str, ran: Any) -> None:
    done = ran(isa)
    for name, case in cases().items():
        for x, (slope, offset) in ((-np.inf, case.table.left), (np.inf, case.table.right)):
            got = done.results[name][done.inputs[name] == x]
            assert len(got) == 1
            np.testing.assert_allclose(
                got, offset if slope == 0 else slope * x, rtol=0, atol=1e-8, err_msg=name
            )


@built
@pytest.mark.parametrize("wanted", [None, "avx1024", "", "AVX2", "plai"])
def test_what_is_no_instruction_set_here_gives_the_best(wanted: str | None) -> None:
    program = "from edgeacts import native; print(native.isa(), native.has('avx1024'), native.has(''))"
    assert in_process(program, wanted).split() == [HERE[0], "False", "False"]
