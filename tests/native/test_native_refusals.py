"""What the kernels and their loader refuse, with the reason: numbers that are no table, a library that is none."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kernel_cases import built, cases
from numpy.typing import NDArray

from edgeacts import native, piecewise
from edgeacts.errors import NotAvailable
from edgeacts.piecewise import NUMBERS


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
