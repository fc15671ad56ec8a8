"""Random inputs: shapes from specs, batch and sizes; values from the seed; refusals by name."""

import numpy as np
import pytest

from edgeacts.errors import UsageError
from edgeacts.latency.inputs import given_batch, random_inputs
from edgeacts.runtimes import TensorSpec

IMAGE = TensorSpec("image", "float32", (None, 3, 8, 8), ("batch", "", "", ""))
TEXT = TensorSpec("ids", "int64", (None, None), ("batch", "length"))
NAMELESS = TensorSpec("x", "float32", (None, 3, None), ("", "", ""))


def test_shapes_take_batch_and_sizes() -> None:
    mask = TensorSpec("mask", "bool", (None, None, None), ("length", "", "batch"))
    arrays = random_inputs([IMAGE, TEXT, mask], batch=4, sizes={"length": 9, "mask.1": 2}, seed=0)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {"image": (4, 3, 8, 8), "ids": (4, 9), "mask": (9, 2, 4)}
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "image": "float32", "ids": "int64", "mask": "bool",
    }  # fmt: skip


def test_axis_without_a_name_is_given_by_place() -> None:
    assert random_inputs([NAMELESS], batch=2, sizes={"x.2": 5}, seed=0)["x"].shape == (2, 3, 5)


def test_same_seed_same_values() -> None:
    one, two, other = (random_inputs([IMAGE], batch=2, sizes={}, seed=seed)["image"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 0.5


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_standard_normal(dtype: str) -> None:
    array = random_inputs([TensorSpec("x", dtype, (100, 100))], batch=100, sizes={}, seed=0)["x"]
    assert array.dtype == dtype
    assert abs(float(array.mean(dtype=np.float64))) < 0.05
    assert float(array.std(dtype=np.float64)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("int32", 0, 1),
        ("int64", 0, 1),
        ("uint16", 0, 1),
        ("bool", 0, 1),
    ],
)
def test_integers_cover_their_range(dtype: str, low: int, high: int) -> None:
    array = random_inputs([TensorSpec("x", dtype, (None, 100))], batch=100, sizes={}, seed=0)["x"]
    assert array.dtype == dtype
    assert (int(array.min()), int(array.max())) == (low, high)


@pytest.mark.parametrize(
    ("spec", "batch", "text"),
    [
        (TEXT, 1, "input 'ids' (int64 [batch, length]) has no fixed size on axis 1: give one, as length=224"),
        (NAMELESS, 1, "input 'x' (float32 [?, 3, ?]) has no fixed size on axis 2: give one, as x.2=224"),
        (TensorSpec("x", "float32", None), 1, "input 'x' is of float32 of any shape: give its values"),
        (
            TensorSpec("t", "string", (None,), ("n",)),
            1,
            "input 't' has elements of type string: give its values",
        ),
        (TensorSpec("c", "complex64", (2,)), 1, "input 'c' has elements of type complex64: give its values"),
        (
            TensorSpec("b", "nonesuch", (2,)),
            1,
            "input 'b' has elements of type nonesuch, which numpy has not",
        ),
        (TensorSpec("x", "float32", (8, 3)), 1, "has a fixed batch of 8, 1 was asked for: give batch 8"),
        (TensorSpec("x", "float32", (1, 3)), 4, "has a fixed batch of 1, 4 was asked for: give batch 1"),
        (TensorSpec("x", "float32", (None, 2**20)), 4096, "would take more than 1 GiB: give a smaller batch"),
    ],
)
def test_what_cannot_be_made_up_is_refused(spec: TensorSpec, batch: int, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        random_inputs([spec], batch=batch, sizes={}, seed=0)
    assert text in str(caught.value)


def test_fixed_batch_that_fits_and_inputs_without_batch() -> None:
    table = TensorSpec("table", "float32", (5,))
    arrays = random_inputs([table, TensorSpec("x", "float32", (4, 3))], batch=4, sizes={}, seed=0)
    assert [array.shape for array in arrays.values()] == [(5,), (4, 3)]
    assert given_batch(arrays) == 4
    assert given_batch({"table": arrays["table"]}) == 1
