"""Inputs to try a model with, made from what it declares, and the comparison of two sets of outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeacts.errors import UsageError

Arrays = dict[str, np.ndarray]
_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}  # fmt: skip
_SIZES = ((1, 224), (1, 64), (1, 32), (2, 224), (1, 320), (1, 16))  # (batch, everything else that is open)
_MAX_BYTES = 2**28
_BLIND = 1e-3  # outputs that move less than this of their size


def sample_feeds(inputs: Sequence[Any], run: Any) -> list[Arrays]:
    """Three seeded inputs of a shape that the model runs with; floats from N(0, 1) and, in the last, N(0, 16).

    Raises UsageError when no shape is found: the model's open dimensions then have to be fixed.
    """
    problem = "it has no inputs"
    for batch, size in _SIZES if inputs else ():
        try:
            feeds = [
                _feed(inputs, batch, size, seed, scale) for seed, scale in ((0, 1.0), (1, 1.0), (2, 4.0))
            ]
            run(feeds[0])
        except Exception as error:  # ONNX Runtime's classes share nothing but Exception
            problem = str(error).splitlines()[0][:200]
            continue
        return feeds
    raise UsageError(f"no sample input was found that the model runs with ({problem})")


def _feed(inputs: Sequence[Any], batch: int, size: int, seed: int, scale: float) -> Arrays:
    generator = np.random.default_rng(seed)
    feed = {}
    for value in inputs:
        if value.type not in _TYPES:
            raise UsageError(f"input {value.name!r} is a {value.type}")
        dtype = np.dtype(_TYPES[value.type])
        shape = [
            dim if isinstance(dim, int) else batch if axis == 0 else size
            for axis, dim in enumerate(value.shape)
        ]
        if np.prod(shape, dtype=np.float64) * dtype.itemsize > _MAX_BYTES:
            raise UsageError(f"input {value.name!r} of shape {shape} is too large for a sample")
        if dtype.kind == "f":
            feed[value.name] = (scale * generator.standard_normal(shape)).astype(dtype)
        elif dtype == np.uint8:
            feed[value.name] = generator.integers(0, 256, shape).astype(dtype)
        else:
            feed[value.name] = generator.integers(0, 2, shape).astype(dtype)
    return feed


def moved_a_little(feeds: Sequence[Arrays], share: float) -> list[Arrays]:
    """The same with each float moved by up to a share of itself."""
    generator = np.random.default_rng(3)
    return [
        {
            name: (x * (1 + share * generator.uniform(-1, 1, x.shape))).astype(x.dtype)
            if x.dtype.kind == "f"
            else x
            for name, x in feed.items()
        }
        for feed in feeds
    ]


def largest_error(reference: Sequence[Sequence[np.ndarray]], other: Sequence[Sequence[np.ndarray]]) -> float:
    """The largest of `errors`."""
    return max(errors(reference, other), default=0.0)


def errors(reference: Sequence[Sequence[np.ndarray]], other: Sequence[Sequence[np.ndarray]]) -> list[float]:
    """Of each sample: the largest |difference| of any output, in units of how much that output moves; inf for a mismatch."""
    worst = [0.0] * len(reference)
    for index in range(len(reference[0])):
        wanted = [np.asarray(sample[index]) for sample in reference]
        given = [np.asarray(sample[index]) for sample in other]
        worst = [max(pair) for pair in zip(worst, _errors(wanted, given), strict=True)]
    return worst


def _errors(wanted: Sequence[np.ndarray], given: Sequence[np.ndarray]) -> list[float]:
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(wanted, given, strict=True)):
        return [float("inf")] * len(wanted)
    if wanted[0].dtype.kind != "f":
        return [0.0 if np.array_equal(a, b) else float("inf") for a, b in zip(wanted, given, strict=True)]
    unit = _movement(wanted)
    found = []
    for a, b in zip(wanted, given, strict=True):
        with np.errstate(all="ignore"):
            difference = np.where(
                (a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a.astype(np.float64) - b)
            )
        largest = float(np.max(difference, initial=0.0))
        found.append(largest / unit if largest == largest else float("inf"))
    return found


def _movement(samples: Sequence[np.ndarray]) -> float:
    """How much an output differs between samples; for an output that hardly moves, a small part of its size."""
    finite = [np.nan_to_num(a.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) for a in samples]
    size = max((float(np.abs(a).max(initial=0.0)) for a in finite), default=0.0)
    same = all(a.shape == finite[0].shape for a in finite)
    moved = (
        max((float(np.abs(a - finite[0]).max(initial=0.0)) for a in finite), default=0.0) if same else size
    )
    return max(moved, _BLIND * size, 1e-30)


def outputs_of(session: Any, feeds: Sequence[Mapping[str, np.ndarray]]) -> list[list[np.ndarray]]:
    """All outputs for each feed."""
    return [list(session.run(None, dict(feed))) for feed in feeds]
