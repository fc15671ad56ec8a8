"""A table: one pointwise function as polynomials on equal segments, and as one quotient of two, with a line beyond each end.
What the kernels evaluate.

It needs neither torch nor SymPy: tables are compiled by `edgeacts.tables`, travel in the model's metadata as text, and are
read again on the device.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from edgeacts import quotient
from edgeacts.errors import DamagedFile
from edgeacts.quotient import Floats, Quotient, fma

FORMAT = 3
METADATA_KEY = "edgeacts.tables"
WIDE_SEGMENTS, WIDE_DEGREE = 32, 5
WIDE_DEGREES = (2, 5)  # those that the kernels are compiled for
NARROW_SEGMENTS, NARROW_DEGREE = 8, 15
_HEADER, _GRID_HEADER = 8, 8
NUMBERS = (
    _HEADER
    + _GRID_HEADER
    + WIDE_SEGMENTS * (WIDE_DEGREE + 1)
    + _GRID_HEADER
    + NARROW_SEGMENTS * (NARROW_DEGREE + 1)
    + quotient.SIZE
)
_CLAMP, _FLAT, _LINE, _SAME = 0.0, 1.0, 2.0, 3.0
_FARTHEST_SEGMENT = 2**21
_AS_GOOD = 1e-8  # of a tail: what no bound notices

Which = Literal["wide", "narrow", "quotient"]


@dataclass(frozen=True)
class Grid:
    """Segments of width `step`, the first from `first`·step on; the polynomial of segment j stands in column j mod segments.

    The first segment reaches on to `lo` and the last to `hi`: tails need less care than the middle. The polynomials are in the
    distance from the segment's centre (`centred`) or from its left border.
    """

    step: float
    first: int
    coefficients: Floats  # [degree + 1, segments]
    centred: bool
    lo: float
    hi: float

    @property
    def segments(self) -> int:
        """How many."""
        return int(self.coefficients.shape[1])

    @property
    def degree(self) -> int:
        """Of the polynomials."""
        return len(self.coefficients) - 1

    @property
    def dyadic(self) -> bool:
        """Whether the step is a power of two: then a multiple of it is exact, and the kernels are faster."""
        return math.frexp(self.step)[0] == 0.5

    @cached_property
    def inverse(self) -> np.float32:
        """1/step, rounded down: rounded up, it would number the ends of the segments beyond them."""
        result = np.float32(1.0 / self.step)
        down = np.nextafter(result, np.float32(0.0))
        return result if float(result) * self.step <= 1.0 else down

    @cached_property
    def ends(self) -> tuple[np.float32, np.float32]:
        """(least, last) float32 of [lo, hi): the polynomials hold between them."""
        return np.float32(self.lo), _below(self.hi)

    @cached_property
    def knees(self) -> tuple[np.float32, np.float32]:
        """(least, last) float32 that the numbering puts into the first and the last segment: x is numbered between them."""
        least = np.float32(self.first * self.step)
        last = _below((self.first + self.segments) * self.step)
        while self.number(least) < self.first:
            least = np.nextafter(least, np.float32(np.inf))
        while self.number(last) >= self.first + self.segments:
            last = _below(float(last))
        return least, last

    def number(self, x: Any) -> Any:
        """The segment of each x between the knees: ⌊x·inverse⌋, the product exact or rounded to float32."""
        if self.centred:
            return np.floor(x * self.inverse)
        return np.floor(np.float64(x) * np.float64(self.inverse)).astype(np.float32)

    def read(self, x: Floats) -> Floats:
        """The polynomials in float32, as the kernels compute them; x is taken into [lo, hi)."""
        step = np.float32(self.step)
        inside = np.minimum(np.maximum(x, self.ends[0]), self.ends[1])
        number = self.number(np.minimum(np.maximum(inside, self.knees[0]), self.knees[1]))
        t = fma(-number, step, inside)
        if self.centred:
            t = t - np.float32(0.5) * step
        column = np.nan_to_num(number).astype(np.int64) % self.segments
        y: Floats = self.coefficients[-1][column]
        for row in self.coefficients[-2::-1]:
            y = fma(y, t, row[column])
        return y

    def numbers(self, degree: int) -> list[float]:
        """As the kernels read it, with room for polynomials of `degree`."""
        header: list[Any] = [*self.ends, self.hi, *self.knees, self.step, self.inverse, self.degree]
        padded = np.zeros((degree + 1, self.segments), np.float32)
        padded[: len(self.coefficients)] = self.coefficients
        return [*(float(v) for v in header), *padded.ravel().tolist()]


def _below(x: float) -> np.float32:
    """The float32 before x; before 0 one that no arithmetic flushes to 0."""
    result: np.float32 = np.nextafter(np.float32(x), np.float32(-np.inf))
    return np.float32(-1e-30) if -1e-30 < result < 0 else result


@dataclass(frozen=True)
class Table:
    """y = f(x) within `bound`·max(1, |x|) in float32: NaN gives NaN, ±inf follow the lines `left` and `right`.

    A line is (slope, offset). The wide grid (32 segments, degree 5) is for AVX-512 and plain C++, the narrow one (8 segments)
    for NEON, where a lookup reaches 8 numbers, the quotient for AVX2, which takes the narrow grid where there is none.
    """

    name: str
    formula: str
    bound: float
    left: tuple[float, float]
    right: tuple[float, float]
    wide: Grid
    narrow: Grid
    quotient: Quotient | None = None

    @cached_property
    def numbers(self) -> Floats:
        """Everything the kernels need, as one array of float32."""
        kind, right = _kinds(self.left, self.right)
        if kind == _FLAT:  # what x clamped to the left end gives may be the tail already, or as good as
            at_end = float(self.wide.read(np.array([self.wide.lo], np.float32))[0])
            kind = _CLAMP if abs(at_end - self.left[1]) <= _AS_GOOD else _FLAT
        header = [float(FORMAT), *self.left, *self.right, kind, right, 0.0]
        result = np.array(
            [
                *header,
                *self.wide.numbers(WIDE_DEGREE),
                *self.narrow.numbers(NARROW_DEGREE),
                *(self.quotient.numbers() if self.quotient else quotient.NONE),
            ],
            np.float32,
        )
        result.setflags(write=False)
        return result

    def read(self, x: ArrayLike, which: Which = "wide") -> Floats:
        """What a kernel computes, in numpy: the reference that the kernels are tested against.

        "quotient" is the narrow grid where there is none.
        """
        grid = self.wide if which == "wide" else self.narrow
        values = np.asarray(x, np.float32)
        with np.errstate(all="ignore"):
            if which == "quotient" and self.quotient is not None:
                return self.quotient.read(values, self.left, self.right)
            y = grid.read(values)
            if which != "wide" or self.numbers[5] != _CLAMP:
                y = np.where(values < grid.ends[0], _line(self.left, values), y)
            if which == "wide" and self.right == (1.0, 0.0):
                least = np.maximum(values, grid.ends[0]) if self.numbers[5] == _CLAMP else values
                over = (least - np.minimum(least, grid.ends[1])).astype(np.float32)
                beyond = (y + over).astype(np.float32)
            else:
                beyond = _line(self.right, values)
            return np.where(values > grid.ends[1], beyond, y).astype(np.float32)

    def scaled(self, beta: float) -> Table:
        """The table of f(βx)/β, β > 0: the same polynomials on a grid that is 1/β as wide."""
        bound = self.bound * max(1.0, 1.0 / beta) + 8 * 2.0**-24
        wide, narrow = _scaled(self.wide, beta), _scaled(self.narrow, beta)
        left, right = ((slope, offset / beta) for slope, offset in (self.left, self.right))
        whole = None if self.quotient is None else self.quotient.scaled(beta)
        return Table(f"{self.name} (β = {beta:g})", self.formula, bound, left, right, wide, narrow, whole)

    def combined(self, share: float, other: Table, other_share: float) -> Table:
        """share·f + other_share·g, for two tables on the same segments."""

        def grids(a: Grid, b: Grid) -> Grid:
            rows = (share * a.coefficients + other_share * b.coefficients).astype(np.float32)
            return Grid(a.step, a.first, rows, a.centred, a.lo, a.hi)

        def lines(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
            slope, offset = (
                float(np.float32(share * u + other_share * v)) for u, v in zip(a, b, strict=True)
            )
            return slope, offset

        bound = abs(share) * self.bound + abs(other_share) * other.bound
        left, right = lines(self.left, other.left), lines(self.right, other.right)
        wide, narrow = grids(self.wide, other.wide), grids(self.narrow, other.narrow)
        result = Table(self.name, self.formula, bound, left, right, wide, narrow)
        # Straight from the two tables' numbers: a trained parameter asks for this at every step.
        numbers = (share * self.numbers + other_share * other.numbers).astype(np.float32)
        numbers[: _HEADER - 1] = (float(FORMAT), *left, *right, *_kinds(left, right))
        for start in (_HEADER, _HEADER + _GRID_HEADER + WIDE_SEGMENTS * (WIDE_DEGREE + 1)):
            numbers[start : start + _GRID_HEADER] = self.numbers[start : start + _GRID_HEADER]
        numbers[-quotient.SIZE :] = 0.0  # quotients do not add up
        numbers.setflags(write=False)
        vars(result)["numbers"] = numbers
        return result

    def to_record(self) -> dict[str, Any]:
        """For the metadata of a model: plain values and one base64 text (about 2 KB)."""
        text = base64.b64encode(self.numbers.astype("<f4").tobytes()).decode("ascii")
        return {"name": self.name, "formula": self.formula, "bound": self.bound, "numbers": text}

    @staticmethod
    def from_record(record: Any, where: str) -> Table:
        """The table of `to_record`. Raises DamagedFile, naming `where`, for anything that is not one."""
        try:
            return _decode(record)
        except (KeyError, TypeError, ValueError, OverflowError, binascii.Error) as error:
            raise DamagedFile(
                f"{where}: a table of edgeacts cannot be read ({error}): export the model again"
            ) from None


def _scaled(grid: Grid, beta: float) -> Grid:
    factors = np.float64(beta) ** (np.arange(len(grid.coefficients)) - 1)
    coefficients = (grid.coefficients * factors[:, None]).astype(np.float32)
    step, lo, hi = (float(np.float32(v / beta)) for v in (grid.step, grid.lo, grid.hi))
    return Grid(step, grid.first, coefficients, grid.centred, lo, hi)


def _kinds(left: tuple[float, float], right: tuple[float, float]) -> tuple[float, float]:
    """How a kernel continues on the left and on the right."""
    return (
        _FLAT if left[0] == 0 else _LINE,
        _FLAT if right[0] == 0 else _SAME if right == (1.0, 0.0) else _LINE,
    )


def _line(line: tuple[float, float], x: Floats) -> Floats:
    slope, offset = np.float32(line[0]), np.float32(line[1])
    return np.full_like(x, offset) if slope == 0 else fma(x, slope, offset)


def _decode(record: Any) -> Table:
    name, formula, bound = record["name"], record["formula"], float(record["bound"])
    if not isinstance(name, str) or not isinstance(formula, str) or not 0 <= bound < 1:
        raise ValueError("its description is damaged")
    text = record["numbers"]
    if not isinstance(text, str) or len(text) > 8 * NUMBERS:
        raise ValueError("its numbers are missing")
    numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if len(numbers) != NUMBERS or numbers[0] != FORMAT:
        raise ValueError("it was written for another version of edgeacts")
    if not np.isfinite(numbers).all():
        raise ValueError("its numbers are not finite")
    split = _HEADER + _GRID_HEADER + WIDE_SEGMENTS * (WIDE_DEGREE + 1)
    wide = _decode_grid(numbers[_HEADER:split], WIDE_SEGMENTS, centred=False)
    narrow = _decode_grid(numbers[split : -quotient.SIZE], NARROW_SEGMENTS, centred=True)
    ends = [float(v) for v in numbers[1:5]]
    whole = quotient.decode(numbers[-quotient.SIZE :])
    if whole and whole.power is not None and ends != [0.0, 0.0, 1.0, 0.0]:
        raise ValueError("the exponential of its quotient is damaged")
    return Table(name, formula, bound, (ends[0], ends[1]), (ends[2], ends[3]), wide, narrow, whole)


def _decode_grid(numbers: Floats, segments: int, *, centred: bool) -> Grid:
    least, last, hi, knee, last_knee, step, inverse, degree = (float(v) for v in numbers[:_GRID_HEADER])
    farthest = max(abs(least), abs(hi), abs(knee))
    if not (1e-30 < step < 1e30 and 0.99 < step * inverse < 1.01 and farthest * inverse < _FARTHEST_SEGMENT):
        raise ValueError("its segments are damaged")
    rows = numbers[_GRID_HEADER:].reshape(-1, segments)
    if degree not in (range(1, NARROW_DEGREE + 1) if centred else WIDE_DEGREES):
        raise ValueError("its degree is damaged")
    grid = Grid(step, round(knee / step), rows[: int(degree) + 1].copy(), centred, least, hi)
    if [*grid.ends, *grid.knees, grid.inverse] != [least, last, knee, last_knee, inverse] or not least < last:
        raise ValueError("its segments do not fit its ends")
    return grid


def table_key(parameters: Mapping[str, float]) -> str:
    """What a table is filed under beside its operator: the parameters' float32 values, `alpha=0.15000000596046448`."""
    return ",".join(f"{name}={float(np.float32(value))!r}" for name, value in sorted(parameters.items()))


@dataclass(frozen=True)
class TableBook:
    """The tables that a model's metadata hold, by operator and parameters; or the reason why there is none."""

    records: Mapping[str, Mapping[str, Any]]
    where: str

    @staticmethod
    def of(metadata: Mapping[str, str], where: str) -> TableBook:
        """What the metadata entry `edgeacts.tables` holds. Raises DamagedFile when it cannot be read."""
        try:
            found = json.loads(metadata.get(METADATA_KEY, "{}"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
            raise DamagedFile(f"{where}: metadata {METADATA_KEY} cannot be read: export the model again")
        return TableBook(found, where)

    def find(self, operator: str, parameters: Mapping[str, float]) -> Table | str:
        """The table, or why there is none. Raises DamagedFile for one that cannot be read."""
        record = self.records.get(operator, {}).get(table_key(parameters))
        if record is None:
            return "the file holds no table for it: export the model again with this version of edgeacts"
        if isinstance(record, dict) and isinstance(record.get("reason"), str):
            return str(record["reason"])
        return Table.from_record(record, self.where)
