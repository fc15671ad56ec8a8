"""The inputs a candidate is judged on: real images where there are some, random ones, and extremes of the pixel range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError
from edgeacts.runtimes import TensorSpec

RANDOM_COUNT = 14  # run as two batches of 7
EXTREME_LEVELS = (-8.0, -2.5, 0.0, 2.5, 8.0)  # of normalized pixels; black and white lie near ±2.5


@dataclass(frozen=True)
class InputSet:
    """Inputs [N, ...] by name, to be run in batches of `batch`."""

    name: str
    feeds: Mapping[str, NDArray[Any]]
    batch: int

    def batches(self, fixed: int | None) -> list[dict[str, NDArray[Any]]]:
        """The feeds cut into batches; `fixed` is the batch size of a model that has only one, filled up from the start."""
        size = fixed or self.batch
        count = len(next(iter(self.feeds.values())))
        total = -(-count // size) * size if fixed else count
        order = np.arange(total) % count
        return [{n: a[order[i : i + size]] for n, a in self.feeds.items()} for i in range(0, total, size)]


def input_sets(
    specs: Sequence[TensorSpec], images: NDArray[np.float32] | None, sizes: Mapping[str, int], seed: int
) -> list[InputSet]:
    """Validation images (if given), random values and extremes, for these inputs. Raises UsageError for sizes not known."""
    if not specs:
        raise UsageError("the model has no input: there is nothing to compare on")
    sets = []
    if images is not None:
        sets.append(InputSet("validation", {specs[0].name: _check_images(specs, images)}, 16))
    rng = np.random.default_rng(seed)
    shapes = {s.name: _shape(s, sizes) for s in specs}
    sets.append(InputSet("random", {s.name: _random(s, shapes[s.name], rng) for s in specs}, 7))
    extremes = {s.name: _extremes(s, shapes[s.name], rng) for s in specs}
    count = max(len(a) for a in extremes.values())  # integers have fewer than floats: they go round
    sets.append(InputSet("extremes", {n: a[np.arange(count) % len(a)] for n, a in extremes.items()}, 1))
    return sets


def _check_images(specs: Sequence[TensorSpec], images: NDArray[np.float32]) -> NDArray[np.float32]:
    spec = specs[0]
    if len(specs) != 1:
        raise UsageError(
            f"images were given, but the model has {len(specs)} inputs: {', '.join(s.name for s in specs)}"
        )
    expected = None if spec.shape is None else spec.shape[1:]
    if expected is not None and (
        images.ndim != len(expected) + 1
        or any(e not in (None, g) for e, g in zip(expected, images.shape[1:], strict=True))
    ):
        raise UsageError(f"images have shape {list(images.shape)}, input {spec.name} takes {spec}")
    if len(images) < 2:
        raise UsageError("at least two images are needed, to see how far the output moves between inputs")
    return np.ascontiguousarray(images, dtype=np.float32)


def _shape(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape without its batch dimension."""
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


def _random(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    if np.dtype(spec.dtype).kind == "f":
        return rng.standard_normal((RANDOM_COUNT, *shape)).astype(spec.dtype)
    if np.dtype(spec.dtype).kind in "iu":
        return rng.integers(0, 2, (RANDOM_COUNT, *shape)).astype(spec.dtype)
    raise UsageError(f"input {spec.name} is {spec.dtype}: give inputs of your own")


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
