"""Activations of INT8 graphs: each fires or must not, in pairs; what is computed is what the runtime computes without kernels."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from accelerating import WAYS, normal, ways
from int8_graphs import Graph

from edgeacts import native
from edgeacts.acceleration.int8_sites import find_int8_sites
from edgeacts.circumstances import cpu
from edgeacts.native import int8

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not native.available(), reason=str(native.missing())),
]
X = {"x": normal(2, 8, 9, 9)}
TABLE, IN_PLACE = "int8 table", "int8 table, in place"
BEFORE, AFTER = "int8 depthwise, on its input", "int8 depthwise, on its output"
SILU = "s = Sigmoid (a) b = Mul (a, s)"
HARDSWISH = "p = Add (a, three) c = Clip (p, none, six) m = Mul (a, c) b = Div (m, six)"
NUMBERS = {"three": np.float32(3), "none": np.float32(0), "six": np.float32(6)}


def middle(make: Callable[[Graph], Graph], **settings: object) -> onnx.ModelProto:
    """Convolution, what is tried, convolution."""
    return make(Graph(**settings).conv(16, 3)).conv(8).model()  # type: ignore[arg-type]


FIRES: dict[str, tuple[str, Callable[[Graph], Graph]]] = {
    "function": ("Mish", lambda g: g.act("Mish")),
    "function with a parameter": ("Silu", lambda g: g.nodes_of("b = edgeacts.Silu <beta = 2.0> (a)")),
    "function of one LeakyRelu": ("LeakyRelu", lambda g: g.nodes_of("b = LeakyRelu <alpha = 0.15> (a)")),
    "two in a row": ("Nish TanhExp", lambda g: g.act("Nish").act("TanhExp")),
    "native Mish": ("Mish", lambda g: g.nodes_of("b = Mish (a)")),
    "native HardSwish": ("HardSwish", lambda g: g.nodes_of("b = HardSwish (a)")),
    "native Gelu": ("Gelu", lambda g: g.nodes_of("b = Gelu (a)")),
    "decomposed SiLU": ("Mul Sigmoid", lambda g: g.nodes_of(SILU)),
    "decomposed HardSwish": ("Add Clip Mul Div", lambda g: g.nodes_of(HARDSWISH, **NUMBERS)),
    "decomposed Mish": ("Mish", lambda g: g.nodes_of("p = Softplus (a) t = Tanh (p) b = Mul (t, a)")),
    "constant of one dimension": ("x", lambda g: g.nodes_of("e = Elu (a) b = Mul (e, k)", k=np.float32([1.5]))),
    "another zero point": ("Mish", lambda g: g.act("Mish", 0.03, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_fires_exactly(name: str, dtype: type) -> None:
    model = middle(FIRES[name][1], dtype=dtype)
    done = ways(model)
    assert len(done.sites) == 1
    for way in WAYS:
        assert list(done.kernels(way).values()) == [IN_PLACE]
        assert done.placed[way][0].layout == "channels last"
        assert done.placed[way][0].exact
        assert done.operators(way).count("LookupInPlace") == 1
        assert not {"Sigmoid", "Mish", "Tanh", "Exp", "QLinearLeakyRelu"} & set(done.operators(way))
    done.check_exactly(X)


def test_inner_operators_with_scales_of_their_own_are_one_table() -> None:
    """What onnxruntime.quantization makes of a decomposed SiLU: Sigmoid between its own DequantizeLinear and QuantizeLinear."""

    def quantized_inside(g: Graph) -> Graph:
        a = g.value
        g.float_nodes("b = Sigmoid (a)").quantize(1 / 255, 0 if g.dtype == np.uint8 else -128)
        g.value = g.add("Mul", a, g.value)
        return g.quantize(0.04)

    model = middle(quantized_inside)
    done = ways(model)
    assert [site.form for site in done.sites] == ["Sigmoid Mul"]
    assert list(done.kernels("none").values()) == [IN_PLACE]
    done.check_exactly(X)


def test_a_value_dequantized_for_each_of_its_readers_is_one() -> None:
    def twice(g: Graph) -> Graph:
        dequantize = g.nodes[-1]
        again = g.add("DequantizeLinear", *dequantize.input)
        s = g.add("Sigmoid", g.value)
        g.value = g.add("Mul", again, s)
        return g.quantize(0.04)

    done = ways(middle(twice))
    assert len(done.placed["none"]) == 1
    done.check_exactly(X)


def test_a_shared_activation_is_computed_for_all_its_readers() -> None:
    """The convolution's output is read by the activation and by Concat: the table must not write over it."""
    g = Graph().conv(8, 3)
    before = g.value
    g.act("Mish")
    g.value = g.add("Concat", g.value, before, axis=1)
    g.channels = 16
    done = ways(g.quantize(0.08).conv(8).model())
    assert list(done.kernels("none").values()) == [TABLE]
    done.check_exactly(X)


def test_a_branch_in_float_keeps_its_operators() -> None:
    """One reader takes the activation in float, another quantized: a table for the latter, the function for the former."""
    g = Graph().conv(8, 3).float_nodes("b = edgeacts.TanhExp (a)")
    raw = g.value
    done = ways(g.quantize(0.04).conv(8).model(raw))
    assert sorted(done.kernels("none").values()) == [TABLE, "table"]
    done.check(X)


def other_source(g: Graph) -> Graph:
    """A gate: the sigmoid of one tensor times another."""
    a = g.value
    g.conv(16)
    g.value = g.add("Mul", a, g.add("Tanh", g.value))
    return g.quantize(0.04)


def dynamic(g: Graph) -> Graph:
    """The scale of the activation's output depends on the input."""
    g.float_nodes("b = edgeacts.Mish (a)")
    scale = g.add("Mul", g.add("ReduceMax", g.add("Abs", g.value), keepdims=0), g.constant(1 / 120))
    zero = g.constant(128, np.uint8)
    g.value = g.add("DequantizeLinear", g.add("QuantizeLinear", g.value, scale, zero), scale, zero)
    return g


CHANNELS = np.linspace(0.03, 0.06, 16)
MUST_NOT: dict[str, Callable[[Graph], Graph]] = {
    "scales per channel before": lambda g: g.quantize(CHANNELS, axis=1).act("Mish"),
    "scales per channel behind": lambda g: g.float_nodes("b = edgeacts.Mish (a)").quantize(CHANNELS, axis=1),
    "a scale that depends on the input": dynamic,
    "a parameter per channel": lambda g: g.nodes_of("e = Elu (a) b = Mul (e, k)", k=20 * CHANNELS.astype(np.float32).reshape(16, 1, 1)),
    "another tensor": lambda g: other_source(g),
    "sixteen bits": lambda g: g.quantize(1e-4, dtype=np.uint16).act("Mish"),
    "not entry by entry": lambda g: g.nodes_of("b = Softmax <axis = 1> (a)", 0.003, 0),
    "other types in and out": lambda g: g.float_nodes("b = edgeacts.Mish (a)").quantize(0.04, dtype=np.int8),
    "ReLU, which costs nothing": lambda g: g.nodes_of("b = Relu (a)", 0.03, 0),
    "clipping, which costs nothing": lambda g: g.nodes_of("b = Clip (a, none, six)", 0.03, 0, **NUMBERS),
    "nothing": lambda g: g,
}  # fmt: skip


@pytest.mark.parametrize("name", MUST_NOT)
def test_must_not_fire(name: str) -> None:
    model = middle(MUST_NOT[name])
    done = ways(model)
    for way in WAYS:
        assert not any(placed.exact for placed in done.placed[way])
        assert not any("Lookup" in operator for operator in done.operators(way))
    done.check(X)


def test_a_gate_is_a_table_by_itself_where_it_is_quantized() -> None:
    g = Graph().conv(16, 3)
    a = g.value
    g.conv(16).nodes_of("b = Sigmoid (a)", 1 / 255, 0)
    g.value = g.add("Mul", a, g.value)
    done = ways(g.quantize(0.04).conv(8).model())
    assert [site.operator for site in done.sites] == ["Sigmoid"]
    done.check_exactly(X)


def test_behind_a_layer_in_float_the_activation_is_a_table_of_float32() -> None:
    """A mixed model: float convolution and activation, then quantized; the INT8 part before keeps its bytes."""
    g = Graph().conv(16, 3).act("Nish")
    weight = g.constant(g.random.standard_normal((8, 16, 1, 1)) / 4)
    g.value = g.add("Conv", g.value, weight)
    g.channels = 8
    g.float_nodes("b = edgeacts.Mish (a)")
    done = ways(g.quantize(0.04).conv(8).model())
    kernels = done.kernels("none")
    assert sorted(k.split(",")[0] for k in kernels.values()) == [TABLE, "table"]
    for session in done.sessions.values():  # a last bit of the float part may decide between two steps
        wanted, got = done.stock.run(None, X)[0], session.run(None, X)[0]
        steps = np.abs(wanted - got) / 0.05
        assert steps.max() <= 1.01
        assert (steps > 0.5).mean() < 0.01


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_depthwise_convolutions_are_the_runtimes_bytes(size: int, stride: int, dtype: type) -> None:
    zero = 37 if dtype == np.uint8 else -21
    g = Graph(dtype=dtype).conv(24).act("Mish", 0.03, zero)
    g.conv(24, size, stride, groups=24, scale=0.03, zero=zero).act("TanhExp", 0.02).conv(8)
    done = ways(g.model())
    assert list(done.kernels("activated").values()) == [BEFORE, AFTER]
    assert list(done.kernels("none").values()) == [IN_PLACE, IN_PLACE]
    done.check_exactly(X, {"x": normal(1, 8, 9, 9, seed=5, scale=1.0)})


def test_depthwise_without_an_activation_is_replaced_when_all_are() -> None:
    g = Graph().conv(20, 3).conv(20, 3, groups=20).conv(8)
    done = ways(g.model())
    assert "Depthwise8" not in done.operators("activated")
    assert done.operators("all").count("Depthwise8") == 1
    done.check_exactly(X)


@pytest.mark.parametrize("groups", [10, 4])
def test_other_groups_stay_with_the_runtime(groups: int) -> None:
    g = Graph().conv(20).act("Mish").conv(20, 3, groups=groups).conv(8)
    done = ways(g.model())
    assert "Depthwise8" not in done.operators("all")
    done.check_exactly(X)


def test_between_two_depthwise_convolutions_an_activation_goes_into_one() -> None:
    g = Graph().conv(16).act("Mish").conv(16, 3, groups=16).act("Nish").conv(16, 3, groups=16).conv(8)
    done = ways(g.model())
    assert list(done.kernels("activated").values()) == [BEFORE, AFTER]
    assert done.operators("all").count("Depthwise8") == 2
    done.check_exactly(X)


def test_an_activation_read_twice_stays_outside_the_convolution() -> None:
    g = Graph().conv(16).act("Mish")
    a = g.value
    g.conv(16, 3, groups=16)
    g.value = g.add("Add", g.value, a)
    done = ways(g.quantize(0.06).conv(8).model())
    assert list(done.kernels("all").values()) == [IN_PLACE]
    done.check_exactly(X)


def test_threads_give_the_same_bytes() -> None:
    g = Graph(side=33).conv(16).act("Mish").conv(16, 3, groups=16).act("Nish").conv(8)
    feed = {"x": normal(2, 8, 33, 33)}
    ways(g.model(), threads=2).check_exactly(feed)


def test_the_model_is_not_changed_and_types_are_kept() -> None:
    model = middle(FIRES["decomposed SiLU"][1])
    before = model.SerializeToString(deterministic=True)
    marked, sites = find_int8_sites(model)
    assert model.SerializeToString(deterministic=True) == before
    assert [n.op_type for n in marked.graph.node].count("Sigmoid") == 0
    (site,) = sites
    assert site.lookup is not None
    assert site.lookup.shape == (256,)
    assert site.lookup.dtype == np.uint8
    every = (np.arange(256) - 127) * np.float32(0.05)
    true = np.clip(np.rint(every / (1 + np.exp(-every)) / 0.04) + 127, 0, 255)
    assert np.abs(site.lookup - true).max() <= 1


CONVOLUTIONS = ("convolutions",)
saturating = pytest.mark.skipif(
    not native.available() or int8.isa() != "avx2" or any("vnni" in feature for feature in cpu()[1]),
    reason="only where ONNX Runtime's products of bytes saturate, without VNNI, there is a kernel for them",
)


@saturating
@pytest.mark.parametrize(
    ("size", "stride", "out"), [(1, 1, 8), (1, 1, 21), (1, 2, 16), (3, 1, 24), (3, 2, 40)]
)
def test_convolutions_of_all_channels_are_the_runtimes_bytes(size: int, stride: int, out: int) -> None:
    """Any kernel, padding and number of channels; weights of eight bits, whose products saturate here."""
    g = Graph(seed=size + out)
    g.limit = 127
    g.conv(out, size, stride).act("Mish").conv(12)
    done = ways(g.model(), which=CONVOLUTIONS)
    assert list(done.kernels("convolutions").values()) == ["int8 convolution, on its output"]
    assert done.operators("convolutions").count("Convolution8") == 2
    done.check_exactly(X, {"x": normal(1, 8, 9, 9, seed=5, scale=4.0)})


@saturating
def test_threads_share_a_convolution() -> None:
    g = Graph(side=33).conv(16, 3).act("Mish").conv(8)
    done = ways(g.model(), threads=2, which=CONVOLUTIONS)
    done.check_exactly({"x": normal(2, 8, 33, 33)})


def test_a_mean_over_the_pixels_stays_the_runtimes() -> None:
    """A pool would add in another order, and a classifier in float shows that."""
    g = Graph().conv(16).act("Mish")
    g.value = g.add("ReduceMean", g.value, g.constant([2, 3], np.int64), keepdims=1)
    done = ways(g.model())
    assert all("GlobalAveragePool" not in done.operators(way) for way in done.models)
    done.check_exactly({"x": normal(4, 8, 9, 9, seed=3)})
