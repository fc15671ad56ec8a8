"""Convolutions of images in planes: the kernel against torch, and which convolutions and means of a network become which nodes."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from accelerating import Ways, build, normal, ways
from blocked_layout import ENDS, LEAKY, TABLE, attributes, function, unblocked
from one_node import session
from torch.nn import functional as F

pytestmark = pytest.mark.usefixtures("one_thread")

WAY = "all+products"


@dataclass(frozen=True)
class Job:
    channels: int = 3
    out: int = 32
    size: tuple[int, int] = (9, 14)
    kernel: tuple[int, int] = (3, 3)
    stride: int = 2
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    batch: int = 1
    after: str = "none"


def weights_in_blocks(w: np.ndarray, block: int) -> np.ndarray:
    """[out, in, h, w] -> the memory of [out/block, in, h, w, block] under the same shape."""
    parts = w.reshape(-1, block, *w.shape[1:]).transpose(0, 2, 3, 4, 1)
    return np.ascontiguousarray(parts).reshape(w.shape)


def stem(job: Job, block: int, threads: int = 1) -> tuple[Any, dict[str, np.ndarray]]:
    given = {
        "block": block,
        "kernel_shape": list(job.kernel),
        "strides": [job.stride] * 2,
        "pads": list(job.pads),
    }
    feed = {
        "x": normal(job.batch, job.channels, *job.size, seed=1),
        "w": normal(job.out, job.channels, *job.kernel, seed=2, scale=1),
        "b": normal(job.out, seed=3),
    }
    return session("Stem", ["x", "w", "b"], threads, **given, **attributes("after", job.after)), feed


def assert_right(job: Job, block: int, threads: int = 1) -> None:
    run, feed = stem(job, block, threads)
    top, left, bottom, right = job.pads
    x, w, b = (torch.from_numpy(feed[n]).double() for n in "xwb")
    wanted = F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, stride=job.stride)
    wanted = function(job.after, wanted).numpy()
    (got,) = run.run(None, feed | {"w": weights_in_blocks(feed["w"], block)})
    assert got.shape == wanted.shape, job
    np.testing.assert_allclose(unblocked(got, block), wanted, rtol=1e-5, atol=1e-4, err_msg=str(job))


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_size_kernel_and_padding(stride: int, block: int) -> None:
    """Rows of less than a tile, of whole tiles and of a part more; windows that reach over every side."""
    for width in (*range(1, 34), 57, 63):
        assert_right(Job(out=2 * block, size=(5, width), stride=stride), block)
    for kernel, pads in itertools.product(
        ((1, 1), (3, 3), (3, 5), (7, 2)), ((0, 0, 0, 0), (1, 2, 0, 3), (6, 6, 6, 6))
    ):
        assert_right(Job(size=(11, 30), kernel=kernel, pads=pads, stride=stride, out=block), block)


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("after", ENDS)
def test_channels_activations_and_batch(after: str, block: int) -> None:
    for channels, blocks, batch in itertools.product((1, 3, 7), (1, 2, 3), (1, 3)):
        assert_right(Job(channels, blocks * block, batch=batch, after=after), block)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("height", [8, 17, 64, 131])
def test_pieces_of_rows_for_threads(height: int, threads: int) -> None:
    assert_right(Job(size=(height, 33), batch=2, after="table"), 16, threads)
    assert_right(Job(size=(height, 33), stride=1, kernel=(5, 5), pads=(2, 2, 2, 2)), 16, threads)


def test_an_empty_batch_stays_empty() -> None:
    run, feed = stem(Job(), 16)
    assert run.run(None, feed | {"x": np.zeros((0, 3, 9, 14), np.float32)})[0].shape == (0, 32, 5, 7)


def test_nan_stays_where_its_window_is() -> None:
    run, feed = stem(Job(stride=1, after="relu"), 16)
    x = feed["x"].copy()
    x[0, 1, 4, 6] = np.nan
    (got,) = run.run(None, feed | {"x": x})
    odd = np.isnan(unblocked(got, 16)[0])
    assert odd[:, 3:6, 5:8].all()
    odd[:, 3:6, 5:8] = False
    assert not odd.any()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"block": 4}, "block 8 or 16"),
        ({"strides": [3, 3]}, "stride 1 or 2"),
        ({"strides": [1, 2]}, "stride 1 or 2"),
        ({"pads": [-1, 0, 0, 0]}, "Stem:"),
        ({"kernel_shape": [0, 3]}, "a kernel of"),
        ({"kernel_shape": [65, 1]}, "a kernel of"),
        ({"kernel_shape": None}, "kernel_shape is missing"),
        ({"after": 4}, "unknown kind"),
        ({"after": TABLE}, "after_table is missing"),
        ({"after": LEAKY}, "after_slope"),
    ],
)
def test_wrong_attributes_are_refused(change: dict[str, Any], text: str) -> None:
    given = {"block": 16, "kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "after": 0}
    kept = {k: v for k, v in (given | change).items() if v is not None}
    with pytest.raises(Exception, match=text):
        session("Stem", ["x", "w", "b"], **kept)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": (1, 4, 9, 9)}, "does not fit the weights"),
        ({"x": (3, 9, 9)}, "does not fit the weights"),
        ({"w": (32, 3, 3, 2)}, "does not fit the weights"),
        ({"b": (24,)}, "does not fit the weights"),
        ({"x": (1, 60, 9, 9), "w": (32, 60, 3, 3)}, "does not fit the weights"),  # 540 numbers of a window
        ({"x": (1, 3, 0, 9)}, "smaller than the kernel"),
    ],
)
def test_wrong_shapes_are_refused(change: dict[str, tuple[int, ...]], text: str) -> None:
    shapes = {"x": (1, 3, 9, 9), "w": (32, 3, 3, 3), "b": (32,)} | change
    run = session(
        "Stem", list(shapes), block=16, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], after=0
    )
    with pytest.raises(Exception, match=text):
        run.run(None, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


# ---- which convolutions


def network(text: str, channels: int = 3, **weights: tuple[int, ...] | np.ndarray) -> Ways:
    graph = f"(float[n, {channels}, h, k] x) => (float[n, c, p, q] y) {{ {text} }}"
    return ways(build(graph, **weights), which=(WAY,))


FIRES = {
    "3x3": ("y = Conv<pads=[1,1,1,1]>(x, w)", {"w": (32, 3, 3, 3)}),
    "stride and bias": ("y = Conv<pads=[0,0,1,1], strides=[2,2]>(x, w, b)", {"w": (32, 3, 3, 3), "b": (32,)}),
    "5x7": ("y = Conv(x, w)", {"w": (32, 3, 5, 7)}),
    "relu": ("c = Conv(x, w) y = Relu(c)", {"w": (32, 3, 3, 3)}),
    "table": ("c = Conv(x, w) y = edgeacts.Mish(c)", {"w": (32, 3, 3, 3)}),
    "outputs that fill no block": ("c = Conv(x, w) y = Conv(c, v)", {"w": (40, 3, 3, 3), "v": (32, 40, 1, 1)}),
}  # fmt: skip
QUIET = {
    "stride 3": ("y = Conv<strides=[3,3]>(x, w)", {"w": (32, 3, 3, 3)}),
    "two strides": ("y = Conv<strides=[1,2]>(x, w)", {"w": (32, 3, 3, 3)}),
    "dilations": ("y = Conv<dilations=[2,2]>(x, w)", {"w": (32, 3, 3, 3)}),
    "a large window": ("y = Conv<pads=[8,8,8,8]>(x, w)", {"w": (32, 3, 14, 14)}),
    "an activation that we have not": ("c = Conv(x, w) y = Sigmoid(c)", {"w": (32, 3, 3, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRES)
def test_the_first_convolution_becomes_ours(name: str) -> None:
    text, weights = FIRES[name]
    tried = network(text, **weights)
    assert "Stem" in tried.operators(WAY)
    tried.check({"x": normal(2, 3, 19, 23)}, {"x": normal(1, 3, 15, 15)})


@pytest.mark.parametrize("name", QUIET)
def test_other_convolutions_of_images_stay(name: str) -> None:
    text, weights = QUIET[name]
    tried = network(text, **weights)
    assert "Stem" not in tried.operators(WAY)
    tried.check({"x": normal(2, 3, 19, 23)})


def test_a_convolution_of_whole_blocks_is_no_stem() -> None:
    tried = network("y = Conv<pads=[1,1,1,1]>(x, w)", channels=16, w=(32, 16, 3, 3))
    assert "Stem" not in tried.operators(WAY)
    tried.check({"x": normal(2, 16, 9, 9)})


def test_where_the_activation_went_is_said() -> None:
    tried = network("c = Conv(x, w) y = edgeacts.Mish(c)", w=(32, 3, 3, 3))
    assert list(tried.kernels(WAY).values()) == ["first convolution, on its output"]


# ---- means over the pixels

BEHIND = "c = Conv<pads=[1,1,1,1]>(x, w) "
POOLED = {
    "the last two": ("m = ReduceMean<keepdims=1>(c, a)", [2, 3]),
    "from the end": ("m = ReduceMean(c, a)", [-1, -2]),
    "one from each end": ("m = ReduceMean(c, a)", [2, -1]),
}
KEPT = {
    "the channels too": ("m = ReduceMean(c, a)", [1, 2, 3]),
    "rows alone": ("m = ReduceMean(c, a)", [2]),
    "channels and rows": ("m = ReduceMean(c, a)", [1, 2]),
    "a sum": ("m = ReduceSum(c, a)", [2, 3]),
}


@pytest.mark.parametrize("name", POOLED)
def test_means_over_the_pixels_stay_in_the_blocked_layout(name: str) -> None:
    mean, axes = POOLED[name]
    tried = network(f"{BEHIND}{mean} y = Conv(m, v)", w=(32, 3, 3, 3), v=(32, 32, 1, 1), a=np.array(axes))
    assert "GlobalAveragePool" in tried.operators(WAY)
    assert "ReorderOutput" not in tried.operators(WAY)[:-1]
    tried.check({"x": normal(2, 3, 9, 14)})


@pytest.mark.parametrize("name", KEPT)
def test_other_means_stay(name: str) -> None:
    mean, axes = KEPT[name]
    tried = network(f"{BEHIND}{mean} y = Add(c, m)", w=(32, 3, 3, 3), a=np.array(axes))
    assert "GlobalAveragePool" not in tried.operators(WAY)
    tried.check({"x": normal(2, 3, 9, 14)})


def test_a_mean_without_its_axes_stays() -> None:
    tried = network(f"{BEHIND} m = ReduceMean<keepdims=0>(c, a) z = Mul(m, m) y = Reshape(z, s)",
                    w=(32, 3, 3, 3), a=np.array([2, 3]), s=np.array([0, 32, 1, 1]))  # fmt: skip
    assert "GlobalAveragePool" not in tried.operators(WAY)
    tried.check({"x": normal(2, 3, 9, 14)})


def test_a_mean_over_the_last_axes_of_another_rank_stays() -> None:
    text = "(float[2, 3, 4, 5, 6] x) => (float[2, 3, 4, 1, 1] y) { y = ReduceMean(x, a) }"
    tried = ways(build(text, a=np.array([-1, -2])), which=(WAY,))
    assert tried.operators(WAY) == ["ReduceMean"]
    tried.check({"x": normal(2, 3, 4, 5, 6)})
