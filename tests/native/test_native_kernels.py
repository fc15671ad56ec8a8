"""The C++ kernels, one process for each instruction set this CPU has: the numpy reading's results and nothing beside the range."""

import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from own_activations import OWN

from edgeacts import native, piecewise, quotient
from edgeacts.activations import activation, catalogue
from edgeacts.definition import Activation
from edgeacts.errors import NotAvailable
from edgeacts.oracles import float64
from edgeacts.piecewise import NUMBERS, Table, Which
from edgeacts.plan import parameter_samples
from edgeacts.quotient import POWER_DEGREE, POWER_QUOTIENT_DEGREE
from edgeacts.tables import compile_table
from edgeacts.tables.power_quotients import two_to

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "edgeacts" / "native"
built = pytest.mark.skipif(not native.available(), reason=str(native.missing()))
HERE = [name for name in native.ISAS if native.available() and native.has(name)]
ISAS = [
    pytest.param(
        name, marks=pytest.mark.skipif(name not in HERE, reason=native.missing() or f"this CPU has no {name}")
    )
    for name in native.ISAS
]
WHICH: dict[str, Which] = {"avx512": "wide", "plain": "wide", "avx2": "quotient", "neon": "narrow"}
FLAT, LINE, SAME = (0.0, -0.5), (2.0, 1.0), (1.0, 0.0)

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
class Case:
    table: Table
    definition: Activation | None = (
        None  # None: the table is no function's, only the numpy reading says what is right
    )
    order: int = 0
    values: tuple[tuple[str, float], ...] = ()


@cache
def cases() -> dict[str, Case]:
    found = {}
    for name, a in catalogue().items():
        for i, values in enumerate(parameter_samples(a)):
            if i == 0 or abs(values.get("beta", 1.0)) >= 1:  # flatter ones may be refused
                table = compile_table(a, **values)
                found[name if i == 0 else f"{name} {values}"] = Case(table, a, 0, tuple(values.items()))
    silu = activation("silu")
    found["silu falling"] = Case(compile_table(silu, beta=-4.0), silu, 0, (("beta", -4.0),))
    for name in ("silu", "gelu", "tanhexp"):
        a = activation(name)
        found[f"{name}'"] = Case(compile_table(a, 1), a, 1, tuple(a.values().items()))
    for name in ("tanh_shrink", "softplus_plus", "tanh_by_exp", "bell", "elu", "gompertz"):
        a = OWN[name].activation
        found[name] = Case(compile_table(a), a)
    # every pair of tails with every kind of grid, and both ends of the narrow degrees
    relu, smooth = found["relu"].table, found["gelu"].table
    longer = replace(relu.wide, lo=relu.wide.lo - 1, hi=relu.wide.hi + 1)
    kinds = {
        "relu": relu,
        "reaching": replace(relu, wide=longer),
        "scaled": relu.scaled(1.7),
        "quintic": smooth.scaled(2 * float(np.frexp(smooth.wide.step)[0])),  # steps that are a power of two
        "gelu": smooth.scaled(1.702),
    }
    # quotients in a power of two, of every degree
    mish = found["mish"].table
    for degree, power in itertools.product(
        range(1, POWER_QUOTIENT_DEGREE + 1), (POWER_DEGREE - 1, POWER_DEGREE)
    ):
        row = np.array([0.0, 1.0, 0.5, 0.125][: degree + 1], np.float32)
        under = row + np.array([1.0, 0.25, 0.125, 0.0][: degree + 1], np.float32)
        made = quotient.Quotient(-40.0, 7.5, row, under, rate=1.5, power=two_to(power))
        found[f"power {degree} {power}"] = Case(replace(mish, quotient=made))
    for name, table in kinds.items():
        for left in (table.left, FLAT, LINE):
            for right in (SAME, FLAT, LINE):
                made = replace(table, left=left, right=right)
                tails = made.numbers[5:7].astype(int)
                found[f"tails {name} {tails[0]} {tails[1]}"] = Case(made)
                found[f"tails {name} {tails[0]} {tails[1]} by segments"] = Case(replace(made, quotient=None))
    random = np.random.default_rng(2)
    for degree in (1, 15):
        grid = found["gelu"].table.narrow
        rows = random.normal(size=(degree + 1, 8)).astype(np.float32)
        found[f"narrow {degree}"] = Case(
            replace(found["gelu"].table, narrow=replace(grid, coefficients=rows), quotient=None)
        )
    return found


def points(table: Table) -> NDArray[np.float32]:
    """Over the range and beyond, at every border with its neighbours, and what is special about float32."""
    random = np.random.default_rng(4)
    parts: list[Any] = [random.normal(0, 1, 500)]
    for grid in (table.wide, table.narrow):
        width = grid.hi - grid.lo
        parts.append(random.uniform(grid.lo - width, grid.hi + width, 1500))
        edges = (grid.first + np.arange(grid.segments + 1)) * grid.step
        edges = np.float32([*edges, *grid.ends, grid.hi, *grid.knees])
        parts += [edges, np.nextafter(edges, np.float32(-9e9)), np.nextafter(edges, np.float32(9e9))]
    special = [0.0, 1e-45, 1e-40, 1.2e-38, 1e-20, 1e6, 1e19, 3e38, np.finfo(np.float32).max, np.inf]
    x = np.concatenate([*parts, special, np.negative(special), [np.nan] * 3]).astype(np.float32)
    return random.permutation(x)


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
    which, done = WHICH[isa], ran(isa)
    for name, case in cases().items():
        x, got = done.inputs[name], done.results[name]
        true = case.table.read(x, which)
        assert np.array_equal(np.isnan(got), np.isnan(x)), name
        if isa == "plain":  # without fused multiply-add, and beside a border by the neighbour's polynomial
            close = 2 * case.table.bound + 4e-7
        elif (
            isa == "avx512" and case.table.right == SAME
        ):  # what x has over the end is added a rounding earlier
            close = 2.0**-23
        else:
            close = 0.0
        same = (got == true) | np.isnan(x)
        with np.errstate(invalid="ignore"):
            off = np.abs(got.astype(float) - true) / np.maximum(1.0, np.abs(x))
        fine = same | (off <= close)
        if isa == "avx512":
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


# ---- refusals


def status(numbers: NDArray[np.float32], size: int | None = None) -> int:
    path = native.library_path()
    assert path is not None
    x, y = np.ones(40, np.float32), np.full(40, 7, np.float32)
    result = native._load(path).edgeacts_apply(
        numbers.ctypes.data, numbers.size if size is None else size, x.ctypes.data, None, y.ctypes.data, 40, 0, None, None, 1, None
    )  # fmt: skip
    assert result == 0 or np.all(y == 7), "refused, and written all the same"
    return int(result)


NARROW = 8 + 8 + 32 * 6
QUOTIENT = NARROW + 8 + 8 * 16


@built
@pytest.mark.parametrize(
    "changes",
    [
        {0: 1}, {0: 0}, {1: np.nan}, {NUMBERS - 1: np.inf}, {100: -np.inf},
        {5: 3}, {5: 4}, {5: 0.5}, {6: 0}, {6: -1},
        {15: 3}, {15: 0}, {15: 6}, {15: 1e30}, {15: -5}, {NARROW + 7: 0}, {NARROW + 7: 16},
        {13: 0}, {13: -1}, {14: 0}, {14: -1}, {14: 1e9}, {NARROW + 5: 0}, {NARROW + 6: 1e9},
        {QUOTIENT: 30}, {QUOTIENT + 1: -90}, {QUOTIENT + 2: 12}, {QUOTIENT + 2: -1}, {QUOTIENT + 3: 12}, {QUOTIENT + 3: -2},
        {QUOTIENT + 4: 1}, {QUOTIENT + 5: 0}, {QUOTIENT + 6: 3}, {QUOTIENT + 6: 6}, {QUOTIENT + 2: 2}, {QUOTIENT + 13: 0.5},
        {QUOTIENT + 14: 2}, {2: 0.5}, {6: 1},
        {8: 20}, {9: 30}, {10: -30}, {11: 20}, {12: 1e8}, {NARROW + 3: 1e8}, {12: 40},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_that_are_no_table_are_refused(changes: dict[int, float]) -> None:
    good = cases()["silu"].table
    numbers = good.numbers.copy()
    assert status(numbers) == 0
    for at, value in changes.items():
        numbers[at] = value
    assert status(numbers) == 1
    damaged = replace(good)
    damaged.__dict__["numbers"] = numbers
    with pytest.raises(
        NotAvailable, match=r"^edgeacts' kernels do not take this table of silu: install a C\+\+ compiler"
    ):
        native.apply(damaged, np.ones(3, np.float32))


@built
def test_degrees_that_are_taken() -> None:
    numbers = cases()["relu"].table.numbers.copy()
    for at, degrees in ((15, piecewise.WIDE_DEGREES), (NARROW + 7, range(1, piecewise.NARROW_DEGREE + 1))):
        before, taken = numbers[at], []
        for degree in range(20):
            numbers[at] = degree
            taken += [degree] if status(numbers) == 0 else []
        assert taken == list(degrees)
        numbers[at] = before


@built
def test_a_wrong_size_is_refused() -> None:
    numbers = np.concatenate([cases()["silu"].table.numbers, np.zeros(8, np.float32)])
    assert [status(numbers, size) for size in (NUMBERS - 1, NUMBERS, NUMBERS + 1, 0)] == [1, 0, 1, 1]


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing that was found out about the library is remembered, before or after."""
    remembered = (native.missing, native.isa, native.version)
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library_path", lambda: None)
    text = "edgeacts' kernels were not built: install a C++ compiler (g++ or clang++) and run pip install again, with --force-reinstall --no-deps"
    assert native.missing() == text
    assert not native.available()
    table = cases()["silu"].table
    for call in (
        lambda: native.apply(table, np.ones(3, np.float32)),
        lambda: native.apply_at(table, 0, None, 0, 0, 1),
        native.isa,
        native.version,
        lambda: native.has("plain"),
    ):
        with pytest.raises(NotAvailable, match=f"^{re.escape(text)}$"):
            call()


@pytest.mark.usefixtures("fresh")
def test_a_library_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "_kernels.so"
    broken.write_bytes(b"\x7fELF and then nothing")
    monkeypatch.setattr(native, "library_path", lambda: broken)
    assert re.match(
        r"edgeacts' kernels cannot be loaded \(.*_kernels\.so.*\): install a C\+\+ compiler",
        str(native.missing()),
    )


@built
@pytest.mark.usefixtures("fresh")
def test_a_library_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "NUMBERS", NUMBERS + 1)
    assert str(native.missing()).startswith(
        "edgeacts' kernels were built from another version: install a C++"
    )


@built
def test_version_names_the_library() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", native.version())


# ---- the sources


def test_every_source_is_compiled_and_every_header_is_named() -> None:
    (module,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    assert module["optional"] is True
    for key, patterns in (("sources", ["*.cc"]), ("depends", ["*.h", "*.inc"])):
        tree = {f.relative_to(ROOT).as_posix() for pattern in patterns for f in SOURCES.glob(pattern)}
        assert set(module[key]) == tree
        assert len(module[key]) == len(tree)


def test_both_languages_have_the_same_constants() -> None:
    text = (SOURCES / "table.h").read_text()
    constants = {k: int(v) for k, v in re.findall(r"constexpr \w+ (k\w+) = (\d+);", text)}
    assert constants == {
        "kFormat": piecewise.FORMAT,
        "kWide": piecewise.WIDE_SEGMENTS,
        "kWideDegree": piecewise.WIDE_DEGREE,
        "kNarrow": piecewise.NARROW_SEGMENTS,
        "kNarrowDegree": piecewise.NARROW_DEGREE,
        "kHeader": piecewise._HEADER,
        "kGridHeader": piecewise._GRID_HEADER,
        "kQuotientHeader": quotient.HEADER,
        "kQuotientDegree": quotient.DEGREE,
        "kPowerDegree": quotient.POWER_DEGREE,
        "kPowerQuotientDegree": quotient.POWER_QUOTIENT_DEGREE,
        "kLanes": 8,
    }
    tails = {k: float(v) for k, v in re.findall(r"(Clamp|Flat|Line|Same) = (\d)", text)}
    assert tails == {
        "Clamp": piecewise._CLAMP, "Flat": piecewise._FLAT, "Line": piecewise._LINE, "Same": piecewise._SAME
    }  # fmt: skip
    assert max(piecewise.WIDE_DEGREES) == piecewise.WIDE_DEGREE
