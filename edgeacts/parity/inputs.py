"""The inputs a candidate is judged on: those given, random ones, and extremes of the pixel range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError
from edgeacts.runtimes import TensorSpec

Given = NDArray[Any] | Mapping[str, NDArray[Any]]

RANDOM_COUNT = 14
RANDOM_AT_LEAST = 7  # one batch of the largest size that is tried
GIVEN_AT_MOST = 128
GIVEN_AT_LEAST = 12  # fewer make a poor estimate of how far the output moves
VALUES_AT_MOST = 2_000_000  # of one set: 13 images of 3 x 224 x 224
EXTREME_LEVELS = (-8.0, -2.5, 0.0, 2.5, 8.0)  # of normalized pixels; black and white lie near ±2.5
REFERENCE_BATCH = 7


@dataclass(frozen=True)
class InputSet:
    """Inputs [N, ...] by name; `positions` are their indices where they come from, None when it is all of them."""

    name: str
    feeds: Mapping[str, NDArray[Any]]
    positions: NDArray[np.int64] | None = None

    @property
    def count(self) -> int:
        """How many inputs."""
        return len(next(iter(self.feeds.values())))

    def position(self, index: int) -> int:
        """Where the input of that index comes from."""
        return index if self.positions is None else int(self.positions[index])

    def batches(self, size: int) -> list[dict[str, NDArray[Any]]]:
        """The feeds cut into batches of `size`; the last one may be smaller."""
        return [
            {n: a[start : start + size] for n, a in self.feeds.items()}
            for start in range(0, self.count, size)
        ]

    def take(self, order: NDArray[np.int64]) -> InputSet:
        """The inputs of these indices, in this order."""
        return InputSet(
            self.name,
            {n: a[order] for n, a in self.feeds.items()},
            order if self.positions is None else self.positions[order],
        )

    def first(self, count: int) -> InputSet:
        """The first `count` of them."""
        return self.take(np.arange(min(count, self.count)))

    def filled(self, batch: int) -> InputSet:
        """As many inputs as whole batches take, filled up from the start."""
        return self.take(np.arange(-(-self.count // batch) * batch) % self.count)


def input_sets(
    specs: Sequence[TensorSpec], given: Mapping[str, Given], sizes: Mapping[str, int], seed: int
) -> list[InputSet]:
    """The given sets by name, random values and extremes, for these inputs. Raises UsageError for sizes not known.

    Random values and extremes are left out where only the caller can know what the model takes, and inputs are given.
    """
    if not specs:
        raise UsageError("the model has no input: there is nothing to compare on")
    sets = [_thinned(InputSet(name, _check_given(specs, values))) for name, values in given.items()]
    if sets and not all(_can_be_made(spec) for spec in specs):
        return sets
    rng = np.random.default_rng(seed)
    shapes = {s.name: _shape(s, sets[0].feeds if sets else {}, sizes) for s in specs}
    count = max(RANDOM_AT_LEAST, min(RANDOM_COUNT, VALUES_AT_MOST // _values(shapes.values())))
    sets.append(InputSet("random", {s.name: _random(s, shapes[s.name], count, rng) for s in specs}))
    extremes = {s.name: _extremes(s, shapes[s.name], rng) for s in specs}
    most = max(len(a) for a in extremes.values())  # integers have fewer than floats: they go round
    sets.append(InputSet("extremes", {n: a[np.arange(most) % len(a)] for n, a in extremes.items()}))
    return sets


def _check_given(specs: Sequence[TensorSpec], given: Given) -> dict[str, NDArray[Any]]:
    """The arrays by the model's input names, in the model's order and types."""
    if not isinstance(given, Mapping):
        if len(specs) != 1:
            names = ", ".join(s.name for s in specs)
            raise UsageError(f"images were given, but the model has {len(specs)} inputs: {names}")
        given = {specs[0].name: given}
    if set(given) != {s.name for s in specs}:
        raise UsageError(
            f"inputs {', '.join(given)} were given, the model takes {', '.join(s.name for s in specs)}"
        )
    arrays = {s.name: _check_array(s, given[s.name]) for s in specs}
    counts = {len(a) for a in arrays.values()}
    if len(counts) > 1:
        raise UsageError(f"inputs of different lengths were given: {', '.join(map(str, sorted(counts)))}")
    if min(counts) < 2:
        raise UsageError("at least two images are needed, to see how far the output moves between inputs")
    return arrays


def _check_array(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    expected = None if spec.shape is None else spec.shape[1:]
    if expected is not None and (
        array.ndim != len(expected) + 1
        or any(e not in (None, g) for e, g in zip(expected, array.shape[1:], strict=True))
    ):
        raise UsageError(f"images have shape {list(array.shape)}, input {spec.name} takes {spec}")
    return np.ascontiguousarray(array, dtype=None if spec.dtype == "string" else spec.dtype)


def _thinned(inputs: InputSet) -> InputSet:
    """As many as VALUES_AT_MOST allows, from the whole length: data are often sorted by class."""
    fit = VALUES_AT_MOST // _values(a.shape[1:] for a in inputs.feeds.values())
    keep = min(inputs.count, GIVEN_AT_MOST, max(fit, GIVEN_AT_LEAST))
    return inputs if keep == inputs.count else inputs.take(np.arange(keep) * inputs.count // keep)


def _values(shapes: Any) -> int:
    """Values of one input, all tensors together."""
    return max(1, sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes))


def _can_be_made(spec: TensorSpec) -> bool:
    return spec.dtype != "string" and np.dtype(spec.dtype).kind in "fiu"


def _shape(spec: TensorSpec, given: Mapping[str, NDArray[Any]], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape without its batch dimension."""
    if spec.name in given:
        return given[spec.name].shape[1:]
    if spec.shape is None:
        raise UsageError(f"input {spec.name} has no known rank: give inputs of your own")
    names = spec.dim_names or ("",) * len(spec.shape)
    result = []
    for axis, (size, name) in enumerate(zip(spec.shape, names, strict=True)):
        if axis == 0:
            continue
        known = size or sizes.get(name) or sizes.get(f"{spec.name}.{axis}")
        if not known:
            raise UsageError(
                f"input {spec.name}: the size of dimension {axis} ({name or '?'}) is open: "
                f"give --size {name or f'{spec.name}.{axis}'}=N"
            )
        result.append(known)
    return tuple(result)


def _random(spec: TensorSpec, shape: tuple[int, ...], count: int, rng: np.random.Generator) -> NDArray[Any]:
    if not _can_be_made(spec):
        raise UsageError(f"input {spec.name} is {spec.dtype}: give inputs of your own")
    if np.dtype(spec.dtype).kind == "f":
        return rng.standard_normal((count, *shape)).astype(spec.dtype)
    return rng.integers(0, 2, (count, *shape)).astype(spec.dtype)


def _extremes(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Flat images from black to white and beyond, a checkerboard, one lit pixel, and noise far outside the range."""
    if np.dtype(spec.dtype).kind != "f":
        return np.stack([np.zeros(shape, spec.dtype), np.ones(shape, spec.dtype)])
    checker = np.indices(shape).sum(axis=0) % 2 * 5.0 - 2.5
    lit = np.full(shape, -2.5)
    lit[tuple(n // 2 for n in shape)] = 2.5
    flat = [np.full(shape, level) for level in EXTREME_LEVELS]
    noise = [rng.standard_normal(shape) * scale for scale in (1e-3, 30.0)]
    return np.stack([*flat, checker, lit, *noise]).astype(spec.dtype)
