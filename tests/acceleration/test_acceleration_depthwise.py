"""The depthwise convolution of the kernels against torch: models of one node, on blocked tensors of both block sizes."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from accelerating import CPU, build, normal, ways
from blocked_layout import CLIP, ENDS, LEAKY, TABLE, attributes, blocked, function, mish, unblocked
from onnx import helper
from onnx.helper import make_tensor_value_info as value
from torch.nn import functional as F

from edgeacts.acceleration.compiling import kernel_options

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Job:
    kernel: int = 3
    stride: int = 1
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)  # top, left, bottom, right
    size: tuple[int, int] = (7, 9)
    channels: int = 16
    batch: int = 1
    bias: bool = True
    sum: bool = False
    before: str = "none"
    after: str = "none"

    @property
    def out(self) -> tuple[int, int]:
        top, left, bottom, right = self.pads
        h, w = self.size
        return tuple((n - self.kernel) // self.stride + 1 for n in (h + top + bottom, w + left + right))


def session(inputs: int, threads: int = 1, **given: Any) -> Any:
    names = ["x", "w", "b", "s"][:inputs]
    node = helper.make_node("Depthwise", names, ["y"], domain="edgeacts.kernels", **given)
    graph = helper.make_graph([node], "g", [value(n, 1, None) for n in names], [value("y", 1, None)])
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("edgeacts.kernels", 1)],
        ir_version=9,
    )
    return ort.InferenceSession(model.SerializeToString(), kernel_options(threads), providers=CPU)


def data(job: Job) -> dict[str, np.ndarray]:
    found = {
        "x": normal(job.batch, job.channels, *job.size, seed=1),
        "w": normal(job.channels, 1, job.kernel, job.kernel, seed=2, scale=1),
        "b": normal(job.channels, seed=3, scale=float(job.bias)),
    }
    return found | ({"s": normal(job.batch, job.channels, *job.out, seed=4)} if job.sum else {})


def expected(job: Job, given: dict[str, np.ndarray]) -> np.ndarray:
    x, w, b, s = (torch.from_numpy(given[n]).double() if n in given else None for n in "xwbs")
    top, left, bottom, right = job.pads
    x = F.pad(function(job.before, x), (left, right, top, bottom))
    y = F.conv2d(x, w, b, job.stride, groups=job.channels)
    return function(job.after, y if s is None else y + s).numpy()


def given_attributes(job: Job, block: int) -> dict[str, Any]:
    return {
        "kernel_shape": [job.kernel] * 2, "strides": [job.stride] * 2, "pads": list(job.pads), "block": block,
        **attributes("before", job.before), **attributes("after", job.after),
    }  # fmt: skip


def assert_right(job: Job, block: int, threads: int = 1) -> None:
    given = data(job)
    feed = {k: v if k == "b" else blocked(v, block) for k, v in given.items() if k != "w"}
    feed["w"] = blocked(given["w"].reshape(1, job.channels, job.kernel, job.kernel), block).reshape(
        given["w"].shape
    )
    (got,) = session(len(feed), threads, **given_attributes(job, block)).run(None, feed)
    want = expected(job, given)
    assert got.shape == want.shape, job
    # 25 products of numbers up to about 10, and a table's 1e-6 of each.
    np.testing.assert_allclose(unblocked(got, block), want, rtol=1e-5, atol=6e-5, err_msg=str(job))


SIZES = [(1, 1), (1, 2), (2, 1), (3, 3), (5, 4), (7, 9), (4, 31), (33, 6), (16, 16)]
PADS = [(0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (0, 1, 2, 3), (3, 2, 1, 0), (0, 0, 1, 1), (4, 0, 0, 5)]


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_sizes_and_pads(kernel: int, stride: int, block: int) -> None:
    tried = 0
    for index, (size, pads) in enumerate(itertools.product(SIZES, PADS)):
        if size[0] + pads[0] + pads[2] < kernel or size[1] + pads[1] + pads[3] < kernel:
            continue
        before, after = ("table", "none") if index % 2 else ("none", "table")
        assert_right(Job(kernel, stride, pads, size, before=before, after=after), block)
        tried += 1
    assert tried > 30


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("before", ENDS)
def test_activations_batches_channels_bias_and_summand(before: str, block: int) -> None:
    grid = itertools.product(ENDS, [16, 32, 48], [1, 3], [True, False], [True, False])
    for index, (after, channels, batch, bias, summand) in enumerate(grid):
        kernel, stride = (3, 5)[index % 2], (1, 2)[index // 2 % 2]
        pads = (kernel // 2,) * 4
        assert_right(Job(kernel, stride, pads, (6, 7), channels, batch, bias, summand, before, after), block)


def test_24_channels_in_blocks_of_8() -> None:
    assert_right(Job(channels=24, batch=3, sum=True, before="table", after="leaky"), 8)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_large_images_are_cut_into_rows(kernel: int, stride: int, threads: int) -> None:
    """One block: pieces of rows, the last of them shorter; many: none."""
    for size, channels in (((67, 21), 16), ((131, 5), 16), ((64, 8), 32), ((40, 40), 128)):
        job = Job(kernel, stride, (0, 1, 2, 1), size, channels, sum=True, before="table", after="table")
        assert_right(job, 16, threads)


def test_inputs_of_other_shapes_follow_one_another() -> None:
    """The memory that a thread keeps does not show from one image to the next."""
    job = Job(5, 1, (2, 2, 2, 2), before="table")
    run = session(3, **given_attributes(job, 16)).run
    for size in ((30, 40), (3, 3), (9, 50), (2, 70), (3, 3)):
        now = Job(5, 1, (2, 2, 2, 2), size, before="table")
        given = data(now)
        feed = {
            "x": blocked(given["x"], 16),
            "b": given["b"],
            "w": blocked(given["w"].reshape(1, 16, 5, 5), 16),
        }
        feed["w"] = feed["w"].reshape(16, 1, 5, 5)
        (got,) = run(None, feed)
        np.testing.assert_allclose(unblocked(got, 16), expected(now, given), rtol=1e-5, atol=6e-5)


def test_an_empty_batch_stays_empty() -> None:
    run = session(3, **given_attributes(Job(), 16)).run
    feed = {**data(Job()), "x": np.zeros((0, 16, 5, 6), np.float32)}
    assert run(None, feed)[0].shape == (0, 16, 5, 6)


def test_nan_and_infinity_stay_in_their_window() -> None:
    job = Job(size=(9, 9), before="table", after="table")
    given = data(job)
    given["x"][0, 3, 4, 4], given["x"][0, 5, 4, 4] = np.nan, np.inf
    feed = {"x": blocked(given["x"], 16), "b": given["b"], "w": blocked(given["w"].reshape(1, 16, 3, 3), 16)}
    (got,) = session(3, **given_attributes(job, 16)).run(None, feed | {"w": feed["w"].reshape(16, 1, 3, 3)})
    odd = ~np.isfinite(unblocked(got, 16)[0])
    assert odd[3].sum() == 9
    assert odd[[c for c in range(16) if c not in (3, 5)]].sum() == 0
    assert odd[5, 3:6, 3:6].any()
    assert odd[5].sum() <= 9


GOOD = given_attributes(Job(), 16)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kernel_shape": [3, 5]}, "kernel 3x3 or 5x5"),
        ({"kernel_shape": [7, 7]}, "kernel 3x3 or 5x5"),
        ({"kernel_shape": [0, 0]}, "kernel 3x3 or 5x5"),
        ({"kernel_shape": [3]}, "kernel_shape is missing or has a wrong length"),
        ({"kernel_shape": [3, 3, 3]}, "kernel_shape"),
        ({"strides": [1, 2]}, "stride 1 or 2"),
        ({"strides": [0, 0]}, "stride 1 or 2"),
        ({"strides": [3, 3]}, "stride 1 or 2"),
        ({"pads": [1, 1]}, "pads is missing or has a wrong length"),
        ({"strides": None}, "strides is missing or has a wrong length"),
        ({"pads": [-1, 0, 0, 0]}, "Depthwise"),
        ({"pads": [10**9, 0, 0, 0]}, "Depthwise"),
        ({"block": 4}, "block 8 or 16"),
        ({"block": 0}, "block 8 or 16"),
        ({"block": None}, "block"),
        ({"before": 4}, "unknown kind"),
        ({"before": -1}, "unknown kind"),
        ({"after": None}, "after"),
        ({"before": TABLE}, "before_table is missing"),
        ({"after": TABLE, "after_table": [1.0, 2.0]}, "after_table is no table"),
        ({"after": TABLE, "after_table": [9.0, *mish().numbers.tolist()[1:]]}, "after_table is no table"),
        ({"after": CLIP}, "after_clip is missing"),
        ({"after": CLIP, "after_clip": [1.0]}, "two bounds"),
        ({"after": LEAKY}, "after_slope"),
    ],
)  # fmt: skip
def test_wrong_attributes_are_refused(change: dict[str, Any], text: str) -> None:
    given = {k: v for k, v in (GOOD | change).items() if v is not None}
    with pytest.raises(Exception, match=text):
        session(3, **given)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": (1, 8, 5, 5)}, "does not fit the weights"),
        ({"x": (1, 32, 5, 5)}, "does not fit the weights"),
        ({"x": (16, 5, 5)}, "does not fit the weights"),
        ({"w": (16, 1, 5, 5)}, "does not fit the weights"),
        ({"w": (0, 1, 3, 3)}, "does not fit the weights"),
        ({"b": (8,)}, "the bias does not fit"),
        ({"b": (0,)}, "the bias does not fit"),
        ({"s": (1, 16, 5, 6)}, "summand has another shape"),
        ({"s": (16,)}, "summand has another shape"),
        ({"x": (1, 16, 0, 5)}, "smaller than the kernel"),
    ],
)
def test_wrong_shapes_are_refused(change: dict[str, tuple[int, ...]], text: str) -> None:
    shapes = {"x": (1, 16, 5, 5), "w": (16, 1, 3, 3), "b": (16,)} | change
    given = GOOD | {"pads": [0, 1, 0, 1]} if text.startswith("smaller") else GOOD
    with pytest.raises(Exception, match=text):
        session(len(shapes), **given).run(None, {k: np.ones(v, np.float32) for k, v in shapes.items()})


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 1, 2, 3), (2, 0, 1, 1)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_same_as_the_runtimes_own(kernel: int, pads: tuple[int, ...]) -> None:
    """Through ONNX Runtime's optimizer: weights, pads and block are as it lays them out."""
    tried = ways(
        build(
            f"""(float[n, 3, h, k] x) => (float[n, 32, p, q] y) {{ a = Conv<pads=[1,1,1,1]>(x, w)
            b = edgeacts.Mish(a) c = Conv<pads=[{",".join(map(str, pads))}], strides=[2,2], group=32>(b, d, e)
            y = edgeacts.Nish(c) }}""",
            w=(32, 3, 3, 3), d=(32, 1, kernel, kernel), e=(32,),
        )
    )  # fmt: skip
    assert "Depthwise" in tried.operators("activated")
    tried.check(*({"x": normal(n, 3, h, k)} for n, h, k in ((1, 9, 14), (3, 20, 5), (2, 65, 7))))
