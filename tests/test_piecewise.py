"""The record that a table travels in: the same bits after a round trip, and every kind of damage refused with its place."""

import base64
import importlib.resources
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from own_activations import OWN

from edgeacts.activations import activation, catalogue
from edgeacts.errors import DamagedFile
from edgeacts.piecewise import METADATA_KEY, NUMBERS, Grid, Table, TableBook, table_key
from edgeacts.quotient import fma
from edgeacts.tables import compile_mirrored, compile_table, stock_book

SILU = activation("silu")
TABLES = {
    **{name: lambda a=a: compile_table(a) for name, a in catalogue().items()},
    "silu'": lambda: compile_table(SILU, 1),
    "silu falling": lambda: compile_table(SILU, beta=-4.0),
    "relu' mirrored": lambda: compile_mirrored(activation("relu"), 1),
    "silu scaled": lambda: compile_table(SILU).scaled(1.702),
    "silu scaled far": lambda: compile_table(SILU).scaled(1 / 300),
    "tanh_shrink": lambda: compile_table(OWN["tanh_shrink"].activation),
}


@pytest.mark.parametrize("name", TABLES)
def test_round_trip(name: str) -> None:
    table = TABLES[name]()
    record = json.loads(json.dumps(table.to_record()))
    assert len(json.dumps(record)) < 4000
    found = Table.from_record(record, "a.onnx")
    assert found.numbers.tobytes() == table.numbers.tobytes()
    assert found.to_record() == record
    assert (found.name, found.formula, found.bound) == (table.name, table.formula, table.bound)
    x = np.concatenate([np.linspace(-30, 30, 999), [np.nan, np.inf, -np.inf]])
    np.testing.assert_array_equal(found.read(x), table.read(x))
    np.testing.assert_array_equal(found.read(x, "narrow"), table.read(x, "narrow"))
    np.testing.assert_array_equal(found.read(x, "quotient"), table.read(x, "quotient"))


def test_numbers_are_what_the_kernels_expect() -> None:
    numbers = compile_table(activation("leaky_relu")).numbers
    assert numbers.dtype == np.float32
    assert numbers.shape == (NUMBERS,) == (8 + 8 + 32 * 6 + 8 + 8 * 16 + 7 + 6 + 2 * 12,)
    assert not numbers.flags.writeable
    assert numbers[:8].tolist() == [3.0, float(np.float32(0.01)), 0.0, 1.0, 0.0, 2.0, 3.0, 0.0]
    kinds = {n: compile_table(a).numbers[5:7].tolist() for n, a in catalogue().items()}
    assert kinds["relu6"] == [0.0, 1.0]
    assert compile_table(OWN["tanh_shrink"].activation).numbers[5:7].tolist() == [2.0, 2.0]
    assert replace(compile_table(SILU), left=(0.0, -0.5)).numbers[5] == 1.0


@pytest.mark.parametrize(
    ("step", "first"), [(0.1, -16), (1 / 3, -3), (0.64501953125, -16), (9.24e-6, -14), (2.0, 5)]
)
@pytest.mark.parametrize("centred", [False, True])
def test_numbering_of_the_segments(step: float, first: int, centred: bool) -> None:
    """Between the knees every number is of a segment that is there; the last one is before the end."""
    step = float(np.float32(step))
    segments = 8 if centred else 32
    grid = Grid(
        step, first, np.zeros((3, segments), np.float32), centred, first * step, (first + segments) * step
    )
    least, last = grid.knees
    x = np.linspace(least, last, 10001, dtype=np.float32).clip(least, last)
    numbers = grid.number(x)
    assert (numbers.min(), numbers.max()) == (first, first + segments - 1)
    assert np.all(np.diff(numbers) >= 0)
    assert abs(least - first * step) <= 2 * np.spacing(abs(np.float32(first * step)))
    assert last < np.float32((first + segments) * step)


def test_multiply_add_is_rounded_once() -> None:
    """Against fractions, among them ties that a float64 in between would make."""
    random = np.random.default_rng(11)
    a, b, c = (
        (random.uniform(-2, 2, 3000) * 2.0 ** random.integers(-30, 30, 3000)).astype(np.float32)
        for _ in range(3)
    )
    c[::3] = (-a * b)[::3]
    a[0], b[0], c[0] = 1 + 2**-12, 1 + 2**-12, -(2.0**-60)  # just under a tie
    a[1], b[1], c[1] = 1 + 2**-12, 1 + 2**-12, 2.0**-60
    got = fma(a, b, c)
    for u, v, w, y in zip(a, b, c, got, strict=True):
        exact = Fraction(float(u)) * Fraction(float(v)) + Fraction(float(w))
        near = [np.nextafter(y, np.float32(s)) for s in (-np.inf, np.inf)]
        assert all(abs(exact - Fraction(float(y))) <= abs(exact - Fraction(float(n))) for n in near)
    assert got[0] < got[1]
    with np.errstate(invalid="ignore"):
        special = fma(np.array([np.nan, np.inf, 1], np.float32), np.float32(1), np.float32(2))
    np.testing.assert_array_equal(special, [np.nan, np.inf, 3])


# ---- damage

GOOD, GELU, MISH = (compile_table(activation(name)).to_record() for name in ("silu", "gelu", "mish"))
NARROW = 8 + 8 + 32 * 6  # where the narrow grid begins
QUOTIENT = NARROW + 8 + 8 * 16


def with_numbers(changes: Mapping[int, float], good: dict[str, Any] = GOOD) -> dict[str, Any]:
    numbers = np.frombuffer(base64.b64decode(good["numbers"]), "<f4").copy()
    for at, value in changes.items():
        numbers[at] = value
    return {**good, "numbers": base64.b64encode(numbers.tobytes()).decode()}


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in GOOD.items() if k != key}


VERSION = "it was written for another version of edgeacts"
SEGMENTS, ENDS, DEGREE = (
    "its segments are damaged",
    "its segments do not fit its ends",
    "its degree is damaged",
)
POWER = "the exponential of its quotient is damaged"
DAMAGE = {
    "list": ([1, 2], "list indices must be integers"),
    "text": ("table", "string indices must be integers"),
    "nothing": (None, "object is not subscriptable"),
    "no name": (without("name"), "'name'"),
    "no numbers": (without("numbers"), "'numbers'"),
    "name is a number": ({**GOOD, "name": 3}, "its description is damaged"),
    "formula is a list": ({**GOOD, "formula": []}, "its description is damaged"),
    "bound is text": ({**GOOD, "bound": "small"}, "could not convert string to float"),
    "bound is nothing": ({**GOOD, "bound": None}, "float()"),
    "bound is NaN": ({**GOOD, "bound": math.nan}, "its description is damaged"),
    "bound is negative": ({**GOOD, "bound": -1e-7}, "its description is damaged"),
    "bound is large": ({**GOOD, "bound": 1.0}, "its description is damaged"),
    "bound is astronomic": ({**GOOD, "bound": 10**400}, "int too large"),
    "numbers are a list": ({**GOOD, "numbers": [1.0]}, "its numbers are missing"),
    "huge text": ({**GOOD, "numbers": "A" * 10**7}, "its numbers are missing"),
    "bad base64": ({**GOOD, "numbers": "?" + GOOD["numbers"][1:]}, "base64"),
    "no ASCII": ({**GOOD, "numbers": "é" * 8}, "ASCII"),
    "cut text": ({**GOOD, "numbers": GOOD["numbers"][:-2]}, "padding"),
    "cut number": ({**GOOD, "numbers": base64.b64encode(b"12345").decode()}, "buffer size"),
    "too few": ({**GOOD, "numbers": base64.b64encode(bytes(4 * NUMBERS - 4)).decode()}, VERSION),
    "empty": ({**GOOD, "numbers": ""}, VERSION),
    "other version": (with_numbers({0: 1}), VERSION),
    "NaN": (with_numbers({100: np.nan}), "its numbers are not finite"),
    "infinite": (with_numbers({NUMBERS - 1: np.inf}), "its numbers are not finite"),
    "degree 3": (with_numbers({15: 3}), DEGREE),
    "quotient's range is empty": (with_numbers({QUOTIENT: 20.0}), "its quotient is damaged"),
    "quotient of degree 12": (with_numbers({QUOTIENT + 2: 12}), "the degrees of its quotient are damaged"),
    "quotient by degree 1.5": (with_numbers({QUOTIENT + 3: 1.5}), "the degrees of its quotient are damaged"),
    "quotient half even": (with_numbers({QUOTIENT + 4: 0.5}), "its quotient is damaged"),
    "quotient with a pole": (with_numbers({QUOTIENT + 13 + 12: -1e-9}), "its quotient is damaged"),
    "power of degree 3": (with_numbers({QUOTIENT + 6: 3}, MISH), POWER),
    "power at no rate": (with_numbers({QUOTIENT + 5: 0}, MISH), POWER),
    "rate of no power": (with_numbers({QUOTIENT + 5: 1.4}, GELU), POWER),
    "power and even": (with_numbers({QUOTIENT + 4: 1}, MISH), POWER),
    "power that overflows": (with_numbers({QUOTIENT + 1: 90}, MISH), POWER),
    "power that underflows": (with_numbers({QUOTIENT: -90}, MISH), POWER),
    "power quotient of degree 0": (with_numbers({QUOTIENT + 2: 0, QUOTIENT + 3: 0}, MISH), POWER),
    "power quotient of two degrees": (with_numbers({QUOTIENT + 3: 1}, MISH), POWER),
    "power quotient from 0.5": (with_numbers({QUOTIENT + 13: 0.5}, MISH), POWER),
    "power quotient with a left line": (with_numbers({2: 0.5}, MISH), POWER),
    "power quotient with a right line": (with_numbers({3: 0.5}, MISH), POWER),
    "narrow degree 0": (with_numbers({NARROW + 7: 0}), DEGREE),
    "narrow degree 16": (with_numbers({NARROW + 7: 16}), DEGREE),
    "degree 7.5": (with_numbers({NARROW + 7: 7.5}), DEGREE),
    "step 0": (with_numbers({13: 0}), SEGMENTS),
    "step negative": (with_numbers({13: -0.645}), SEGMENTS),
    "step subnormal": (with_numbers({13: 1e-42}), SEGMENTS),
    "step subnormal, its inverse not": (with_numbers({13: 1e-42, 14: 1e-3}), SEGMENTS),
    "step enormous": (with_numbers({13: 3e38, 14: 3e-39}), SEGMENTS),
    "inverse 0": (with_numbers({14: 0}), SEGMENTS),
    "inverse of another step": (with_numbers({14: 0.7}), SEGMENTS),
    "inverse rounded up": (
        with_numbers({14: np.nextafter(compile_table(SILU).wide.inverse, np.float32(9))}),
        ENDS,
    ),
    "too far out": (with_numbers({10: 3e6}), SEGMENTS),
    "end elsewhere": (with_numbers({10: 17.0}), ENDS),
    "last elsewhere": (with_numbers({9: 15.0}), ENDS),
    "knee elsewhere": (with_numbers({11: -9.9}), ENDS),
    "last knee elsewhere": (with_numbers({12: 9.9}), ENDS),
    "ends the wrong way round": (with_numbers({8: 20.0}), ENDS),
    "narrow knee elsewhere": (with_numbers({NARROW + 3: 1.0}), ENDS),
}


@pytest.mark.timeout(10)  # some of these once made it search for ever
@pytest.mark.parametrize(("record", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused(record: Any, reason: str) -> None:
    assert Table.from_record(GOOD, "a.onnx").name == "silu"
    with pytest.raises(DamagedFile) as caught:
        Table.from_record(record, "a.onnx")
    text = str(caught.value)
    assert text.startswith("a.onnx: a table of edgeacts cannot be read (")
    assert reason in text
    assert text.endswith("): export the model again")
    assert len(text) < 300


@pytest.mark.timeout(60)
def test_any_damaged_header_is_refused_or_harmless() -> None:
    """Seeded: what is accepted is a table whose parts fit each other, so that no kernel reads beside it."""
    random = np.random.default_rng(3)
    refused = 0
    for _ in range(400):
        at = int(random.choice([*range(8, 16), *range(NARROW, NARROW + 8)]))
        bits = np.array([random.integers(0, 2**32)], np.uint32).view(np.float32)[0]
        try:
            table = Table.from_record(with_numbers({at: bits}), "a.onnx")
        except DamagedFile:
            refused += 1
            continue
        for grid in (table.wide, table.narrow):
            assert grid.ends[0] < grid.ends[1]
            assert grid.knees[0] < grid.knees[1]
    assert refused > 300


# ---- the book


def book(entry: Any) -> TableBook:
    return TableBook.of({METADATA_KEY: json.dumps(entry), "other": "{"}, "a.onnx")


def test_book_finds_by_operator_and_parameters() -> None:
    wide = compile_table(SILU, beta=1.702)
    found = book(
        {
            "Silu": {
                table_key({"beta": 1.0}): GOOD,
                table_key({"beta": 1.702}): wide.to_record(),
                table_key({"beta": 9.0}): {"reason": "too steep for it"},
                table_key({"beta": 5.0}): {"reason": 3},
                table_key({"beta": 4.0}): [GOOD],
            }
        }
    )
    for value, bound in ((1.0, GOOD["bound"]), (1.702, wide.bound), (float(np.float32(1.702)), wide.bound)):
        table = found.find("Silu", {"beta": value})
        assert isinstance(table, Table)
        assert table.bound == bound
    assert found.find("Silu", {"beta": 9.0}) == "too steep for it"
    absent = "the file holds no table for it: export the model again with this version of edgeacts"
    for operator, parameters in (
        ("Silu", {"beta": 2.0}),
        ("Silu", {}),
        ("Mish", {}),
        ("Mish", {"beta": 1.0}),
    ):
        assert found.find(operator, parameters) == absent
    assert TableBook.of({}, "a.onnx").find("Silu", {"beta": 1.0}) == absent
    for value in (5.0, 4.0):
        with pytest.raises(DamagedFile, match=r"^a\.onnx: a table of edgeacts cannot be read"):
            found.find("Silu", {"beta": value})


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '{"Silu": []}', '{"Silu": {}, "Mish": 1}', "[" * 10**5]
)
def test_damaged_book(text: str) -> None:
    with pytest.raises(
        DamagedFile, match=r"^a\.onnx: metadata edgeacts\.tables cannot be read: export the model again$"
    ):
        TableBook.of({METADATA_KEY: text}, "a.onnx")


def test_key() -> None:
    assert table_key({}) == ""
    assert table_key({"n": 20000, "alpha": 0.15}) == "alpha=0.15000000596046448,n=20000.0"
    assert table_key({"alpha": np.float32(0.15)}) == table_key({"alpha": 0.15})


# ---- the catalogue's own book


def test_stock_tables_are_those_that_would_be_compiled_now() -> None:
    """`make stock-tables` after a change of the compiler. Another CPU's exp may differ in its last bit: that much is allowed."""
    file = importlib.resources.files("edgeacts.acceleration") / "stock_tables.json"
    written, now = (TableBook(json.loads(text), "stock") for text in (file.read_text(), stock_book()))
    assert {o: list(r) for o, r in written.records.items()} == {o: list(r) for o, r in now.records.items()}
    for a in catalogue().values():
        found, compiled = (b.find(a.operator, a.values()) for b in (written, now))
        assert isinstance(found, Table)
        assert isinstance(compiled, Table)
        assert (found.name, found.formula) == (compiled.name, compiled.formula) == (a.name, compiled.formula)
        assert found.bound == pytest.approx(compiled.bound, rel=1e-2)
        assert found.bound <= 1e-6
        assert found.numbers[:8].tolist() == compiled.numbers[:8].tolist()
        for one, other in ((found.wide, compiled.wide), (found.narrow, compiled.narrow)):
            assert (one.step, one.first, one.degree, one.lo, one.hi) == (
                other.step, other.first, other.degree, other.lo, other.hi
            )  # fmt: skip
            reach = (one.step ** np.arange(one.degree + 1))[:, None]
            scale = np.maximum(1, np.abs(one.coefficients))
            np.testing.assert_array_less(
                np.abs(one.coefficients - other.coefficients) * reach, 5e-7 * scale * reach.clip(0, 1) + 1e-7
            )
