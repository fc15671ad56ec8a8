"""Seeded random inputs that fit what a model declares."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgeacts.errors import UsageError
from edgeacts.runtimes import TensorSpec

MAX_INPUT_BYTES = 2**30


def random_inputs(
    specs: Sequence[TensorSpec], *, batch: int, sizes: Mapping[str, int], seed: int
) -> dict[str, np.ndarray]:
    """Arrays by input name: floats from N(0, 1), 8-bit integers of any value, other integers 0 or 1.

    The same seed and shapes give the same arrays, whatever the model. `sizes` gives dynamic dimensions by
    their name, or by `input.axis` where they have none. A dynamic first dimension is the batch. Raises
    UsageError (a dimension without a size, a fixed batch other than `batch`, a string input, more than 1
    GiB).
    """
    batch_names = {
        spec.dim_names[0] for spec in specs if spec.shape and spec.dim_names and spec.shape[0] is None
    }
    shapes = {spec.name: _shape(spec, batch, batch_names - {""}, sizes) for spec in specs}
    _check_batch(specs, batch)
    generator = np.random.default_rng(seed)
    return {spec.name: _array(spec, shapes[spec.name], generator) for spec in specs}


def _shape(spec: TensorSpec, batch: int, batch_names: set[str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    if spec.shape is None:
        raise UsageError(f"input {spec.name!r} is of {spec}: give its values")
    names = spec.dim_names or ("",) * len(spec.shape)
    shape = []
    for axis, (size, name) in enumerate(zip(spec.shape, names, strict=True)):
        given = sizes.get(f"{spec.name}.{axis}", sizes.get(name) if name else None)
        if size is not None:
            shape.append(size)
        elif given is not None:
            shape.append(given)
        elif axis == 0 or name in batch_names:
            shape.append(batch)
        else:
            key = name or f"{spec.name}.{axis}"
            raise UsageError(
                f"input {spec.name!r} ({spec}) has no fixed size on axis {axis}: give one, as {key}=224"
            )
    return tuple(shape)


def _check_batch(specs: Sequence[TensorSpec], batch: int) -> None:
    """The first input of rank 2 or more has the batch in front; a fixed one must be the one asked for."""
    for spec in specs:
        if spec.shape and len(spec.shape) >= 2:
            if spec.shape[0] not in {None, batch}:
                raise UsageError(
                    f"input {spec.name!r} ({spec}) has a fixed batch of {spec.shape[0]}, "
                    f"{batch} was asked for: give batch {spec.shape[0]}, or export with a dynamic batch"
                )
            return


def _array(spec: TensorSpec, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if spec.dtype == "string" or (dtype := _numpy_dtype(spec)).kind not in "fiub":
        raise UsageError(f"input {spec.name!r} has elements of type {spec.dtype}: give its values")
    if np.prod(shape, dtype=np.float64) * dtype.itemsize > MAX_INPUT_BYTES:
        raise UsageError(
            f"input {spec.name!r} of shape {list(shape)} would take more than 1 GiB: give a smaller batch"
        )
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    if dtype.itemsize == 1 and dtype.kind in "iu":
        info = np.iinfo(dtype)
        return generator.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)
    return generator.integers(0, 2, size=shape).astype(dtype)  # 0 and 1 are valid as token, mask and index


def _numpy_dtype(spec: TensorSpec) -> np.dtype:
    try:
        return np.dtype(spec.dtype)
    except TypeError:
        raise UsageError(
            f"input {spec.name!r} has elements of type {spec.dtype}, which numpy has not"
        ) from None


def given_batch(inputs: Mapping[str, np.ndarray]) -> int:
    """First dimension of the first input that has two or more; 1 when there is none."""
    return next((array.shape[0] for array in inputs.values() if array.ndim >= 2), 1)
