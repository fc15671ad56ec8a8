"""Products of an image and one pixel, as squeeze-and-excitation has them: the kernel, and which become it."""

import numpy as np
import pytest
from accelerating import Ways, build, normal, ways
from blocked_layout import blocked
from one_node import session

pytestmark = pytest.mark.usefixtures("one_thread")

WAY = "all+products"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("block", [8, 16])
def test_an_image_times_a_pixel(block: int, threads: int) -> None:
    run = session("Scale", ["x", "s"], threads, block=block)
    for batch, blocks, height, width in ((1, 1, 1, 1), (2, 3, 5, 7), (1, 9, 28, 28)):
        x = normal(batch, blocks * block, height, width, seed=1)
        s = normal(batch, blocks * block, 1, 1, seed=2)
        (got,) = run.run(None, {"x": blocked(x, block), "s": blocked(s, block)})
        np.testing.assert_array_equal(got, blocked(x * s, block))


def test_an_empty_batch_stays_empty() -> None:
    got = session("Scale", ["x", "s"], block=16).run(
        None, {"x": np.zeros((0, 32, 3, 4), np.float32), "s": np.zeros((0, 32, 1, 1), np.float32)}
    )
    assert got[0].shape == (0, 32, 3, 4)


@pytest.mark.parametrize(
    ("x", "s"),
    [
        ((1, 24, 3, 3), (1, 24, 1, 1)),
        ((1, 32, 3, 3), (1, 16, 1, 1)),
        ((2, 32, 3, 3), (1, 32, 1, 1)),
        ((1, 32, 3, 3), (1, 32, 3, 3)),
        ((32, 3, 3), (32, 1, 1)),
    ],
)
def test_wrong_shapes_are_refused(x: tuple[int, ...], s: tuple[int, ...]) -> None:
    run = session("Scale", ["x", "s"], block=16)
    with pytest.raises(Exception, match="one pixel of as many channels"):
        run.run(None, {"x": np.zeros(x, np.float32), "s": np.zeros(s, np.float32)})


def test_a_wrong_block_is_refused() -> None:
    with pytest.raises(Exception, match="block 8 or 16"):
        session("Scale", ["x", "s"], block=12)


def network(text: str, **weights: tuple[int, ...] | np.ndarray) -> Ways:
    graph = f"""(float[n, 3, h, k] x) => (float[n, c, p, q] y) {{
        a = Conv<pads=[1,1,1,1]>(x, w) {text} }}"""
    kept = {"w": (64, 3, 3, 3), "v": (64, 64, 1, 1), "u": (64, 64, 1, 1)} | weights
    return ways(build(graph, **kept), which=(WAY,))


SQUEEZED = "g = GlobalAveragePool(a) r = Conv(g, v) s = Sigmoid(r)"
FIRES = {
    "the image first": f"{SQUEEZED} m = Mul(a, s) y = Conv(m, u)",
    "the pixel first": f"{SQUEEZED} m = Mul(s, a) y = Conv(m, u)",
    "a mean": "g = ReduceMean(a, axes) r = Conv(g, v) s = Sigmoid(r) m = Mul(a, s) y = Conv(m, u)",
    "two layers between": "g = GlobalAveragePool(a) r = Conv(g, v) e = Relu(r) f = Conv(e, u) s = HardSigmoid(f) "
    "m = Mul(a, s) y = Conv(m, u)",
    "an activation with a table": "g = GlobalAveragePool(a) r = Conv(g, v) s = edgeacts.Mish(r) m = Mul(a, s) y = Conv(m, u)",
    "two readers": f"{SQUEEZED} m = Mul(a, s) b = Conv(m, u) c = Conv(m, v) y = Add(b, c)",
}  # fmt: skip
QUIET = {
    "two images": "r = Conv(a, v) s = Sigmoid(r) m = Mul(a, s) y = Conv(m, u)",
    "read by another as well": f"{SQUEEZED} m = Mul(a, s) b = Conv(m, u) e = Exp(m) y = Add(b, e)",
    "the output of the graph": f"{SQUEEZED} y = Mul(a, s)",
    "a sum": f"{SQUEEZED} m = Add(a, s) y = Conv(m, u)",
    "a pixel with itself": f"{SQUEEZED} m = Mul(s, s) y = Conv(m, u)",
    "a constant pixel": "m = Mul(a, k) y = Conv(m, u)",
    "a pixel of an image": "g = MaxPool<kernel_shape=[3,3], strides=[9,9]>(a) r = Conv(g, v) m = Mul(a, r) y = Conv(m, u)",
}  # fmt: skip


@pytest.mark.parametrize("name", FIRES)
def test_products_with_a_pixel_stay_in_the_blocked_layout(name: str) -> None:
    tried = network(FIRES[name], axes=np.array([2, 3]))
    assert tried.operators(WAY).count("Scale") == 1
    assert "Mul" not in tried.operators(WAY)
    tried.check({"x": normal(2, 3, 9, 14)}, {"x": normal(1, 3, 5, 5)})


@pytest.mark.parametrize("name", QUIET)
def test_other_products_stay(name: str) -> None:
    tried = network(QUIET[name], k=(1, 64, 1, 1))
    assert "Scale" not in tried.operators(WAY)
    tried.check({"x": normal(2, 3, 9, 9)})


def test_channels_that_fill_no_block() -> None:
    tried = network(
        "b = Conv(a, i) g = GlobalAveragePool(b) r = Conv(g, e) s = Sigmoid(r) m = Mul(b, s) y = Conv(m, o)",
        i=(40, 64, 1, 1), e=(40, 40, 1, 1), o=(64, 40, 1, 1),
    )  # fmt: skip
    assert tried.operators(WAY).count("Scale") == 1
    tried.check({"x": normal(2, 3, 9, 14)})
