"""Which convolutions and fully connected layers become our own, through ONNX Runtime's optimizer: it fires, it must not fire."""

import numpy as np
import pytest
from accelerating import Ways, build, normal, ways

from edgeacts.acceleration.graph import attributes

pytestmark = pytest.mark.usefixtures("one_thread")

WAY = "all+products"
STEM = "a = Conv<pads=[1,1,1,1]>(x, w)"


def convolution(after: str, **weights: tuple[int, ...] | np.ndarray) -> Ways:
    """A stem that brings the blocked layout, then `after` from a to y."""
    text = f"(float[n, 3, h, k] x) => (float[n, c, p, q] y) {{ {STEM} {after} }}"
    return ways(build(text, w=(64, 3, 3, 3), **weights), which=(WAY,))


def check(tried: Ways) -> None:
    tried.check(*({"x": normal(n, 3, h, k)} for n, h, k in ((1, 9, 14), (3, 8, 5))))


FIRES = {
    "1x1": ("y = Conv(a, v)", {"v": (64, 64, 1, 1)}),
    "with bias": ("y = Conv(a, v, b)", {"v": (64, 64, 1, 1), "b": (64,)}),
    "relu": ("c = Conv(a, v) y = Relu(c)", {"v": (64, 64, 1, 1)}),
    "clip": ("c = Conv(a, v) y = Clip(c, l, u)", {"v": (64, 64, 1, 1), "l": np.float32(0), "u": np.float32(6)}),
    "slope": ("c = Conv(a, v) y = LeakyRelu<alpha=0.2>(c)", {"v": (64, 64, 1, 1)}),
    "table": ("c = Conv(a, v) y = edgeacts.Mish(c)", {"v": (64, 64, 1, 1)}),
    "residual": ("c = Conv(a, v) y = Add(c, a)", {"v": (64, 64, 1, 1)}),
    "channels that fill no block": ("c = Conv(a, v) y = Conv(c, u)", {"v": (40, 64, 1, 1), "u": (64, 40, 1, 1)}),
}  # fmt: skip
QUIET = {
    "stride": ("y = Conv<strides=[2,2]>(a, v)", {"v": (64, 64, 1, 1)}),
    "pads": ("y = Conv<pads=[1,1,1,1]>(a, v)", {"v": (64, 64, 1, 1)}),
    "3x3": ("y = Conv<pads=[1,1,1,1]>(a, v)", {"v": (64, 64, 3, 3)}),
    "1x3": ("y = Conv<pads=[0,1,0,1]>(a, v)", {"v": (64, 64, 1, 3)}),
    "groups": ("y = Conv<group=2>(a, v)", {"v": (64, 32, 1, 1)}),
    "one block of outputs": ("y = Conv(a, v)", {"v": (8, 64, 1, 1)}),
    "an activation that the runtime fuses and we have not": (
        "c = Conv(a, v) y = Sigmoid(c)", {"v": (64, 64, 1, 1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRES)
def test_convolutions_of_1x1_become_ours(name: str) -> None:
    after, weights = FIRES[name]
    tried = convolution(after, **weights)
    assert "Pointwise" in tried.operators(WAY)
    check(tried)


@pytest.mark.parametrize("name", QUIET)
def test_other_convolutions_stay(name: str) -> None:
    after, weights = QUIET[name]
    tried = convolution(after, **weights)
    assert "Pointwise" not in tried.operators(WAY)
    check(tried)


def test_where_the_activation_went_is_said() -> None:
    tried = convolution("c = Conv(a, v) y = edgeacts.Mish(c)", v=(64, 64, 1, 1))
    assert list(tried.kernels(WAY).values()) == ["1x1 convolution, on its output"]
    assert {place.layout for place in tried.placed[WAY]} == {"blocked"}


def test_the_activation_before_a_depthwise_convolution_goes_there() -> None:
    tried = convolution(
        "c = Conv(a, v) m = edgeacts.Mish(c) y = Conv<pads=[1,1,1,1], group=64>(m, d)",
        v=(64, 64, 1, 1), d=(64, 1, 3, 3),
    )  # fmt: skip
    assert [op for op in tried.operators(WAY) if op in ("Pointwise", "Depthwise")] == [
        "Pointwise",
        "Depthwise",
    ]
    assert list(tried.kernels(WAY).values()) == ["depthwise, on its input"]
    check(tried)


def test_each_convolution_fetches_the_weights_of_the_next() -> None:
    tried = convolution("c = Conv(a, v) r = Relu(c) y = Conv(r, u)", v=(64, 64, 1, 1), u=(32, 64, 1, 1))
    first, second = [node for node in tried.models[WAY].graph.node if node.op_type == "Pointwise"]
    assert first.input[4] == second.input[1]
    assert list(attributes(first)["fetch"].ints) == [0, 32 * 64, 0, 0]
    assert len(second.input) == 3


def classifier(layer: str, **weights: tuple[int, ...] | np.ndarray) -> Ways:
    return ways(build(f"(float[n, 256] x) => (float[n, c] y) {{ {layer} }}", **weights), which=(WAY,))


DENSE = {
    "transposed": ("y = Gemm<transB=1>(x, w, b)", {"w": (300, 256), "b": (300,)}),
    "as it is": ("y = Gemm(x, w, b)", {"w": (256, 300), "b": (300,)}),
    "without bias": ("y = Gemm<transB=1>(x, w)", {"w": (257, 256)}),
    "two": ("c = Gemm(x, w, b) y = Gemm(c, v, d)", {"w": (256, 256), "b": (256,), "v": (256, 512), "d": (512,)}),
}  # fmt: skip
NOT_DENSE = {
    "small": ("y = Gemm<transB=1>(x, w, b)", {"w": (255, 256), "b": (255,)}),
    "alpha": ("y = Gemm<alpha=0.5>(x, w, b)", {"w": (256, 300), "b": (300,)}),
    "beta": ("y = Gemm<beta=0.5>(x, w, b)", {"w": (256, 300), "b": (300,)}),
    "one bias for all": ("y = Gemm(x, w, b)", {"w": (256, 300), "b": (1,)}),
    "an activation": ("c = Gemm(x, w, b) y = Relu(c)", {"w": (256, 300), "b": (300,)}),
    "no weights": ("v = Mul(w, x) y = Gemm<transA=1>(x, v, b)", {"w": (1, 256), "b": (256,)}),
}


@pytest.mark.parametrize("name", DENSE)
def test_fully_connected_layers_become_ours(name: str) -> None:
    layer, weights = DENSE[name]
    tried = classifier(layer, **weights)
    assert tried.operators(WAY) == ["Dense"] * layer.count("Gemm")
    tried.check({"x": normal(1, 256)}, {"x": normal(6, 256)})
    kept = {tensor.name for tensor in tried.models[WAY].graph.initializer}
    assert not kept & set(weights)  # no second copy of the weights travels along


@pytest.mark.parametrize("name", NOT_DENSE)
def test_other_layers_stay(name: str) -> None:
    layer, weights = NOT_DENSE[name]
    tried = classifier(layer, **weights)
    assert "Dense" not in tried.operators(WAY)
    tried.check({"x": normal(256, 256, scale=0.1)})


def test_the_last_convolutions_fetch_what_a_layer_behind_them_reads() -> None:
    """Each as much as fits beside its own products; all of it together, no number twice."""
    tried = ways(
        build(
            f"""(float[1, 3, 28, 28] x) => (float[1, c] y) {{ {STEM} c = Conv(a, v) d = Conv(c, u)
            e = GlobalAveragePool(d) f = Flatten(e) y = Gemm(f, m, b) }}""",
            w=(64, 3, 3, 3), v=(64, 64, 1, 1), u=(64, 64, 1, 1), m=(64, 2000), b=(2000,),
        ),
        which=(WAY,),
    )  # fmt: skip
    nodes = [node for node in tried.models[WAY].graph.node if node.op_type == "Pointwise"]
    slices = sorted(tuple(attributes(node)["fetch"].ints[2:]) for node in nodes)
    assert len(slices) == 2
    most = 64 * 64 * 28 * 28 // 32
    assert slices == [(128_000 - 2 * most if 2 * most < 128_000 else 0, slices[0][1]), (128_000 - most, most)]
    assert sum(count for _, count in slices) == min(128_000, 2 * most)
    tried.check({"x": normal(1, 3, 28, 28)})
