"""Convolutions of 1x1 and fully connected layers of the kernels against torch: models of one node, both block sizes."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from accelerating import normal
from blocked_layout import ENDS, LEAKY, TABLE, attributes, blocked, function, unblocked
from one_node import session
from torch.nn import functional as F

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Job:
    into: int = 32
    out: int = 48
    size: tuple[int, int] = (7, 7)
    batch: int = 1
    sum: bool = False
    after: str = "none"
    fetch: tuple[int, int, int, int] = (0, 0, 0, 0)
    fetched: int = 0  # inputs of weights to fetch


def weights_in_blocks(w: np.ndarray, block: int) -> np.ndarray:
    """[out, in, 1, 1] -> the memory of [out/block, in/block, block of in, block of out] under the same shape."""
    out, into = w.shape[:2]
    parts = w.reshape(out // block, block, into // block, block).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(parts).reshape(w.shape)


def pointwise(job: Job, block: int, threads: int = 1) -> tuple[Any, dict[str, np.ndarray]]:
    names = ["x", "w", "b", "s" if job.sum else "", *["f", "g"][: job.fetched]]
    while not names[-1]:
        names.pop()
    given = {"block": block, "fetch": list(job.fetch), **attributes("after", job.after)}
    feed = {
        "x": normal(job.batch, job.into, *job.size, seed=1),
        "w": normal(job.out, job.into, 1, 1, seed=2, scale=1),
        "b": normal(job.out, seed=3),
        "s": normal(job.batch, job.out, *job.size, seed=4),
        "f": normal(100, seed=5),
        "g": normal(50, seed=6),
    }
    return session("Pointwise", names, threads, **given), {n: feed[n] for n in names if n}


def assert_right(job: Job, block: int, threads: int = 1) -> None:
    run, feed = pointwise(job, block, threads)
    x, w, b = (torch.from_numpy(feed[n]).double() for n in "xwb")
    wanted = F.conv2d(x, w, b) + (torch.from_numpy(feed["s"]).double() if job.sum else 0)
    wanted = function(job.after, wanted).numpy()
    laid = {n: blocked(v, block) if n in "xs" else v for n, v in feed.items()}
    (got,) = run.run(None, laid | {"w": weights_in_blocks(feed["w"], block)})
    assert got.shape == wanted.shape, job
    # As many products as input channels, of numbers up to about 30 together.
    np.testing.assert_allclose(unblocked(got, block), wanted, rtol=1e-5, atol=1e-4, err_msg=str(job))


@pytest.mark.parametrize("block", [8, 16])
def test_any_number_of_pixels_and_channels(block: int) -> None:
    """Tiles of 14, 7, 4, 2 and 1 pixels, of one, two and three blocks; several chunks."""
    for pixels in (*range(1, 32), 49, 63, 113):
        assert_right(Job(block, 3 * block, (1, pixels)), block)
    for out, into in itertools.product(range(1, 9), (1, 2, 5)):
        assert_right(Job(into * block, out * block, (5, 7), batch=2), block)
    assert_right(Job(20 * block, 4 * block, (9, 13)), block)


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("after", ENDS)
def test_activations_summand_and_batch(after: str, block: int) -> None:
    for summand, batch, out in itertools.product((False, True), (1, 3), (block, 2 * block, 5 * block)):
        assert_right(Job(2 * block, out, (5, 6), batch, summand, after), block)
    assert_right(Job(2 * block, 3 * block, (19, 29), 1, True, after), block)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("out", "size"), [(32, (56, 56)), (320, (7, 7)), (96, (20, 21)), (176, (14, 14))])
def test_pieces_for_threads(out: int, size: tuple[int, int], threads: int) -> None:
    """Many pixels are shared out by pixels, few by blocks of output channels."""
    assert_right(
        Job(32, out, size, batch=2, sum=True, after="table", fetched=1, fetch=(3, 90, 0, 0)), 16, threads
    )


@pytest.mark.parametrize(
    ("fetched", "fetch"), [(1, (0, 100, 0, 0)), (1, (99, 1, 0, 0)), (2, (0, 0, 0, 50)), (2, (10, 90, 49, 1))]
)
def test_what_is_fetched_changes_nothing(fetched: int, fetch: tuple[int, int, int, int]) -> None:
    for block in (8, 16):
        assert_right(Job(fetched=fetched, fetch=fetch), block)
        assert_right(Job(fetched=fetched, fetch=fetch, sum=True, size=(31, 17)), block)


def test_an_empty_batch_stays_empty() -> None:
    run, feed = pointwise(Job(), 16)
    assert run.run(None, feed | {"x": np.zeros((0, 32, 4, 5), np.float32)})[0].shape == (0, 48, 4, 5)


def test_nan_and_infinity_stay_in_their_pixel() -> None:
    run, feed = pointwise(Job(after="relu"), 16)
    x = feed["x"].copy()
    x[0, 3, 2, 4], x[0, 5, 6, 6] = np.nan, np.inf
    laid = feed | {"x": blocked(x, 16), "w": weights_in_blocks(feed["w"], 16)}
    odd = ~np.isfinite(unblocked(run.run(None, laid)[0], 16)[0])
    assert odd[:, 2, 4].all()
    assert odd[:, 6, 6].any()
    odd[:, 2, 4] = odd[:, 6, 6] = False
    assert not odd.any()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"block": 4}, "block 8 or 16"),
        ({"block": None}, "block"),
        ({"fetch": [0, 1]}, "fetch is missing or has a wrong length"),
        ({"fetch": None}, "fetch is missing or has a wrong length"),
        ({"after": 4}, "unknown kind"),
        ({"after": TABLE}, "after_table is missing"),
        ({"after": LEAKY}, "after_slope"),
    ],
)
def test_wrong_attributes_are_refused(change: dict[str, Any], text: str) -> None:
    given = {"block": 16, "fetch": [0, 0, 0, 0], "after": 0} | change
    with pytest.raises(Exception, match=text):
        session("Pointwise", ["x", "w", "b"], **{k: v for k, v in given.items() if v is not None})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": (1, 16, 5, 5)}, "does not fit the weights"),
        ({"x": (32, 5, 5)}, "does not fit the weights"),
        ({"x": (1, 24, 5, 5)}, "does not fit the weights"),
        ({"w": (0, 32, 1, 1)}, "does not fit the weights"),
        ({"b": (40,)}, "does not fit the weights"),
        ({"s": (1, 48, 5, 6)}, "summand has another shape"),
    ],
)
def test_wrong_shapes_are_refused(change: dict[str, tuple[int, ...]], text: str) -> None:
    shapes = {"x": (1, 32, 5, 5), "w": (48, 32, 1, 1), "b": (48,), "s": (1, 48, 5, 5)} | change
    run = session("Pointwise", list(shapes), block=16, fetch=[0, 0, 0, 0], after=0)
    with pytest.raises(Exception, match=text):
        run.run(None, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    "fetch", [(-1, 1, 0, 0), (0, 101, 0, 0), (100, 1, 0, 0), (0, -1, 0, 0), (2**62, 2**62, 0, 0)]
)
def test_fetching_beside_the_weights_is_refused(fetch: tuple[int, int, int, int]) -> None:
    run, feed = pointwise(Job(fetched=1, fetch=fetch), 16)
    with pytest.raises(Exception, match="what is to be fetched is not there"):
        run.run(None, feed)


def dense_weights(w: np.ndarray) -> np.ndarray:
    """[in, out] -> [ceil(out / 16), in, 16]."""
    into, out = w.shape
    blocks = -(-out // 16)
    whole = np.zeros((into, 16 * blocks), np.float32)
    whole[:, :out] = w
    return np.ascontiguousarray(whole.reshape(into, blocks, 16).transpose(1, 0, 2))


@pytest.mark.parametrize("threads", [1, 2])
def test_fully_connected_layers(threads: int) -> None:
    run = session("Dense", ["x", "w", "b"], threads)
    for rows, into, out in itertools.product(
        (1, 2, 4, 7), (1, 2, 3, 5, 64, 1280), (1, 10, 15, 16, 17, 33, 1000)
    ):
        x, w, b = normal(rows, into, seed=1), normal(into, out, seed=2, scale=into**-0.5), normal(out, seed=3)
        (got,) = run.run(None, {"x": x, "w": dense_weights(w), "b": b})
        wanted = x.astype(float) @ w + b
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=3e-5, err_msg=f"{rows} {into} {out}")
    assert run.run(None, {"x": x[:0], "w": dense_weights(w), "b": b})[0].shape == (0, 1000)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": (2, 3, 5)}, "other than two dimensions"),
        ({"x": (2, 4)}, "does not fit the weights"),
        ({"w": (1, 5, 16)}, "does not fit the weights"),
        ({"b": (33,)}, "does not fit the weights"),
    ],
)
def test_wrong_shapes_of_a_fully_connected_layer_are_refused(
    change: dict[str, tuple[int, ...]], text: str
) -> None:
    shapes = {"x": (2, 5), "w": (2, 5, 16), "b": (20,)} | change
    run = session("Dense", list(shapes))
    with pytest.raises(Exception, match=text):
        run.run(None, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
