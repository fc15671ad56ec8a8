"""Accelerated models against the models as they are: every shape of graph, each way forced, whatever it costs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from accelerating import WAYS, Ways, build, kit, normal, ways
from onnx import parser
from small_networks import alive
from torch import Tensor, nn

from edgeacts.acceleration.markers import Markers
from edgeacts.acceleration.sites import find_sites
from edgeacts.errors import DamagedFile
from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.modules import ActivationModule

pytestmark = pytest.mark.usefixtures("one_thread")

TABLE, IN_PLACE = "table", "table, in place"
PRODUCTS = ("1x1 convolution, on its output", "first convolution, on its output")
BEFORE, AFTER = "depthwise, on its input", "depthwise, on its output"


def conv(channels: int, out: int, size: int = 3, stride: int = 1, **more: Any) -> nn.Sequential:
    layer = nn.Conv2d(channels, out, size, stride, size // 2, bias=False, **more)
    return nn.Sequential(layer, nn.BatchNorm2d(out))


def sau(alpha: float) -> ActivationModule:
    """As trained: its α has moved away from where it began."""
    result = ActivationModule("sau", trainable={"alpha": "layer"}, n=2.0)
    result.alpha.data.fill_(alpha)
    return result


class Inverted(nn.Module):
    """Expansion, depthwise, projection, residual: activations before and inside the depthwise convolution, and after Add."""

    def __init__(self, kernel: int, stride: int, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(16, 32, 1), first, conv(32, 32, kernel, stride, groups=32), second, conv(32, 16, 1)
        )
        self.skip = nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)
        self.act = ActivationModule("mish")

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.skip(x))


class Mobile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            conv(3, 16, stride=2), ActivationModule("nish"),
            Inverted(3, 1, sau(0.05), sau(0.35)),
            Inverted(5, 2, nn.ReLU(), ActivationModule("silu", beta=2.0)),
            Inverted(3, 2, ActivationModule("tanhexp"), nn.ReLU6()),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(16, 12), ActivationModule("nish"), nn.Linear(12, 5))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.blocks(image).mean((2, 3)))


class Mixed(nn.Module):
    """Two inputs, two outputs; the shared module, Concat, batch norms that nothing folds, patches as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shared = conv(3, 16), ActivationModule("mish")
        self.left, self.right = conv(16, 16), nn.Conv2d(16, 16, 1)
        self.norm, self.last = nn.BatchNorm2d(32), sau(0.2)
        self.side = nn.Sequential(
            nn.Linear(10, 16), self.shared, nn.BatchNorm1d(16), ActivationModule("nish")
        )
        self.patches, self.token = nn.Conv2d(32, 24, 4, 4), nn.Linear(24, 8)

    def forward(self, image: Tensor, vector: Tensor | None = None) -> tuple[Tensor, Tensor]:
        vector = image.flatten(1)[:, :10] if vector is None else vector
        stem = self.stem(image)
        x = self.shared(stem)
        y = torch.cat([self.shared(self.left(x)) + stem, torch.sigmoid(self.right(x))], 1)
        y = self.last(self.norm(self.shared(y)))
        tokens = self.shared(self.patches(y).flatten(2).transpose(1, 2))
        tokens = self.shared(self.token(tokens))
        side = self.side(vector)
        return tokens.mean(1) + side[:, :8], side * x.mean((2, 3))


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Ways:
    path = tmp_path_factory.mktemp("mobile") / "mobile.onnx"
    to_onnx(alive(Mobile()), torch.randn(2, 3, 20, 20), path)
    return ways(path)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Ways:
    path = tmp_path_factory.mktemp("mixed") / "mixed.onnx"
    to_onnx(alive(Mixed()), (torch.randn(2, 3, 12, 12), torch.randn(2, 10)), path)
    return ways(path)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_mobile_network(mobile: Ways, batch: int) -> None:
    mobile.check({"image": normal(batch, 3, 20, 20, seed=batch, scale=1)})


def test_mobile_network_uses_every_kernel(mobile: Ways) -> None:
    assert all(site.marked for site in mobile.sites)
    alphas = [s.parameters["alpha"] for s in mobile.sites if s.operator == "SAU"]
    np.testing.assert_allclose(alphas, [0.05, 0.35], rtol=1e-6)
    counts = {way: [p.kernel for p in mobile.placed[way]] for way in WAYS}
    assert set(counts["none"]) == {TABLE, IN_PLACE}
    assert len(counts["none"]) == len(mobile.sites)
    for way, fused in (("activated", 3), ("all", 3)):
        assert mobile.operators(way).count("Depthwise") == fused
        assert counts[way].count(BEFORE) == 2  # the first SAU and TanhExp
        assert counts[way].count(AFTER) == 2  # the second SAU and SiLU
        assert len(counts[way]) == len(mobile.sites)
    assert "Depthwise" not in mobile.operators("none")


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_two_inputs_two_outputs(mixed: Ways, batch: int) -> None:
    mixed.check({"image": normal(batch, 3, 12, 12, scale=1), "vector": normal(batch, 10, seed=1)})


def test_mixed_network_is_accelerated_whole(mixed: Ways) -> None:
    assert len(mixed.sites) == 8
    assert sorted(mixed.kernels("none")) == sorted(site.name for site in mixed.sites)
    assert IN_PLACE in mixed.kernels("none").values()


def test_two_threads(mobile: Ways, tmp_path: Path) -> None:
    marked = build(_STEM + "y = edgeacts.Mish(b) }", w=(32, 3, 3, 3), d=(32, 1, 3, 3))
    ways(marked, threads=2).check({"x": normal(2, 3, 65, 40)})


# ---- one graph each

_STEM = """(float[n, 3, h, k] x) => (float[n, 32, p, q] y) {
    a = Conv<pads=[1,1,1,1]>(x, w)  b = Conv<pads=[1,1,1,1], group=32>(a, d) """
_PLAIN = "(float[n, 3, h, k] x) => (float[n, c, p, q] y)"
_CONV = {"w": (16, 3, 3, 3)}
_DEEP = {"w": (32, 3, 3, 3), "d": (32, 1, 3, 3)}

# name -> (graph, weights, kernels in the order of the sites for "none", and for "activated"; "" for what stays)
GRAPHS: dict[str, tuple[str, dict[str, Any], list[str], list[str]]] = {
    "conv": (_PLAIN + "{ a = Conv<pads=[1,1,1,1]>(x, w) y = edgeacts.Mish(a) }", _CONV, [IN_PLACE], [IN_PLACE]),
    "on the input": (_PLAIN + "{ a = edgeacts.Mish(x) y = Conv(a, w) }", _CONV, [TABLE], [TABLE]),
    "input to output": (_PLAIN + "{ y = edgeacts.Nish(x) }", {}, [TABLE], [TABLE]),
    "conv feeds activation and skip": (
        _PLAIN + "{ a = Conv<pads=[1,1,1,1]>(x, w) b = edgeacts.Mish(a) y = Add(b, a) }", _CONV, [TABLE], [TABLE],
    ),
    "conv feeds activation and a later sum": (
        _PLAIN + """{ a = Conv<pads=[1,1,1,1]>(x, w) b = edgeacts.Mish(a) c = Conv<pads=[1,1,1,1]>(b, v)
            e = Add(c, a) y = edgeacts.Nish(e) }""",
        {**_CONV, "v": (16, 16, 3, 3)}, [TABLE, TABLE], [TABLE, TABLE],
    ),
    "conv feeds activation and an output": (
        "(float[n, 3, h, k] x) => (float[n, c, p, q] y, float[n, c, p, q] a) "
        "{ a = Conv<pads=[1,1,1,1]>(x, w) y = edgeacts.Mish(a) }", _CONV, [TABLE], [TABLE],
    ),
    "conv feeds two activations": (
        _PLAIN + "{ a = Conv(x, w) b = edgeacts.Mish(a) c = edgeacts.Nish(a) y = Sub(b, c) }",
        _CONV, [TABLE, TABLE], [TABLE, TABLE],
    ),
    "same activation, other parameters": (
        _PLAIN + """{ a = Conv(x, w) b = edgeacts.SAU<alpha=0.1, n=2.0>(a) c = edgeacts.SAU<alpha=0.3, n=2.0>(b)
            e = edgeacts.SAU<alpha=0.2, n=2.0>(a) y = Concat<axis=1>(c, e) }""", _CONV, [TABLE] * 3, [TABLE] * 3,
    ),
    "activation used twice": (
        _PLAIN + "{ a = Conv(x, w) b = edgeacts.Mish(a) c = Conv(b, v) e = Conv(b, u) y = Mul(c, e) }",
        {**_CONV, "v": (16, 16, 3, 3), "u": (16, 16, 3, 3)}, [IN_PLACE], [IN_PLACE],
    ),
    "reshape between": (
        """(float[n, 3, 8, 8] x) => (float[n, c, 64] y, float[n, c, p, q] z) { a = Conv<pads=[1,1,1,1]>(x, w)
            s = Constant<value = int64[3] {0, 0, -1}>() b = Reshape(a, s) y = edgeacts.Mish(b) z = Tanh(a) }""",
        _CONV, [TABLE], [TABLE],
    ),
    "transpose between": (
        """(float[n, 3, h, k] x) => (float[n, p, q, c] y, float[n, c, p, q] z) { a = Conv(x, w)
            b = Transpose<perm=[0,2,3,1]>(a) y = edgeacts.Mish(b) z = Sigmoid(a) }""", _CONV, [TABLE], [TABLE],
    ),
    "reshape of a matrix product, both used": (
        """(float[n, 6, h, 9] x) => (float[m, 5] y, float[n, 6, h, 5] z) { a = MatMul(x, w)
            s = Constant<value = int64[2] {-1, 5}>() b = Reshape(a, s) y = edgeacts.Mish(b) z = Neg(a) }""",
        {"w": np.ones((9, 5), np.float32)}, [TABLE], [TABLE],
    ),
    "after concat": (
        _PLAIN + """{ a = Conv(x, w) b = Conv(x, v) c = Concat<axis=1>(a, b) e = edgeacts.Mish(c)
            y = Conv(e, u) }""", {"w": (16, 3, 3, 3), "v": (16, 3, 3, 3), "u": (8, 32, 1, 1)}, [TABLE], [TABLE],
    ),
    "activation before and after a depthwise convolution": (
        _STEM.replace("(a, d)", "(m, d)").replace(" b =", " m = edgeacts.Mish(a) b =") + "y = edgeacts.Nish(b) }",
        _DEEP, [IN_PLACE, IN_PLACE], [BEFORE, AFTER],
    ),
    "activation before a depthwise convolution and beside it": (
        _STEM.replace("(a, d)", "(m, d)").replace(" b =", " m = edgeacts.Mish(a) b =") + "y = Add(b, m) }",
        _DEEP, [IN_PLACE], [IN_PLACE],
    ),
    "clip after, table before a depthwise convolution": (
        _STEM.replace("(a, d)", "(m, d)").replace(" b =", " m = edgeacts.Mish(a) b =") + "y = edgeacts.Relu6(b) }",
        _DEEP, [IN_PLACE, ""], [BEFORE, ""],
    ),
    "two depthwise convolutions in a row": (
        _STEM + "m = edgeacts.Mish(b) c = Conv<pads=[2,0,1,3], strides=[2,2], group=32>(m, e) y = edgeacts.Nish(c) }",
        {**_DEEP, "e": (32, 1, 5, 5)}, [IN_PLACE, IN_PLACE], [AFTER, AFTER],
    ),
    "residual inside a depthwise convolution": (
        _STEM + "c = Add(b, a) y = edgeacts.Mish(c) }", _DEEP, [TABLE], [TABLE],
    ),
    "my own": (_PLAIN + "{ a = Conv(x, w) y = edgeacts.MineAllMine<k=2.0>(a) }", _CONV, [IN_PLACE], [IN_PLACE]),
    "refused, beside another": (
        _PLAIN + "{ a = Conv(x, w) b = edgeacts.Snake<k=1.5>(a) c = Conv(b, v) y = edgeacts.Mish(c) }",
        {**_CONV, "v": (16, 16, 1, 1)}, ["", IN_PLACE], ["", IN_PLACE],
    ),
    "on a constant": (
        _PLAIN + "{ a = Conv(x, w) b = edgeacts.Mish(s) c = Mul(a, b) y = edgeacts.Nish(c) }",
        {**_CONV, "s": (1, 16, 1, 1)}, ["", IN_PLACE], ["", IN_PLACE],
    ),
    "LeakyRelu of the model's own with markers' slopes": (
        _PLAIN + """{ a = Conv(x, w) b = LeakyRelu<alpha=0.375>(a) c = Conv(b, v) e = edgeacts.Mish(c)
            f = LeakyRelu<alpha=0.375244140625>(e) g = LeakyRelu(f) y = edgeacts.Nish(g) }""",
        {**_CONV, "v": (16, 16, 1, 1)}, [IN_PLACE, TABLE], [IN_PLACE, TABLE],
    ),
    "LeakyRelu with a marker's slope in a function of the user's": (
        _PLAIN + "{ a = Conv(x, w) b = edgeacts.Mish(a) c = user.Mine(b) y = edgeacts.Nish(c) }",
        _CONV, [IN_PLACE, TABLE], [IN_PLACE, TABLE],
    ),
    "LeakyRelu with a marker's slope in a branch": (
        _PLAIN + """{ a = Conv(x, w) b = edgeacts.Mish(a) t = Constant<value = bool {1}>()
            e = If(t)<then_branch = g1 () => (float[n, c, p, q] u) { u = LeakyRelu<alpha=0.375>(b) },
                      else_branch = g2 () => (float[n, c, p, q] v) { v = Identity(b) }>
            y = edgeacts.Nish(e) }""", _CONV, [IN_PLACE, TABLE], [IN_PLACE, TABLE],
    ),
    "matrix product feeds activation and skip": (
        "(float[n, 9] x) => (float[n, 12] y) { a = MatMul(x, w) b = edgeacts.Mish(a) y = Add(b, a) }",
        {"w": (9, 12)}, [TABLE], [TABLE],
    ),
    "Gemm feeds activation and an output": (
        """(float[n, 9] x) => (float[n, 12] y, float[n, 12] a) { a = Gemm(x, w, c) b = edgeacts.Mish(a)
            y = edgeacts.Nish(b) }""", {"w": (9, 12), "c": (12,)}, [TABLE, TABLE], [TABLE, TABLE],
    ),
    "convolution in one dimension feeds two activations": (
        """(float[n, 3, t] x) => (float[n, 16, u] y) { a = Conv(x, w) b = edgeacts.Mish(a) c = edgeacts.Nish(a)
            y = Sub(b, c) }""", {"w": (16, 3, 3)}, [TABLE, TABLE], [TABLE, TABLE],
    ),
    "matrix products": (
        """(float[n, 9] x) => (float[n, 4] y) { a = Gemm(x, w, b) c = edgeacts.SAU<alpha=0.2, n=2.0>(a)
            e = MatMul(c, v) f = edgeacts.Mish(e) g = Gemm<transB=1>(f, v) y = edgeacts.TanhExp(g) }""",
        {"w": (9, 12), "b": (12,), "v": (12, 12)}, [IN_PLACE] * 3, [IN_PLACE] * 3,
    ),
    "three dimensions": (
        """(float[n, t, 9] x) => (float[n, t, 12] y) { a = MatMul(x, w) b = Add(a, c) y = edgeacts.Mish(b) }""",
        {"w": (9, 12), "c": (12,)}, [TABLE], [TABLE],
    ),
    "convolution in one dimension": (
        """(float[n, 3, t] x) => (float[n, 16, u] y) { a = Conv(x, w) y = edgeacts.Mish(a) }""",
        {"w": (16, 3, 3)}, [IN_PLACE], [IN_PLACE],
    ),
    "one dimension": ("(float[n] x) => (float[n] y) { y = edgeacts.Mish(x) }", {}, [TABLE], [TABLE]),
    "batch norm that nothing folds": (
        _PLAIN + "{ a = Conv(x, w) r = Tanh(a) b = BatchNormalization(r, s, s, m, s) y = edgeacts.Mish(b) }",
        {**_CONV, "s": np.linspace(0.5, 2, 16), "m": (16,)}, [TABLE], [TABLE],
    ),
    "inside an If": (
        """(float[n, 3, h, k] x) => (float[n, c, p, q] y) { a = Conv(x, w) b = edgeacts.Mish(a)
            i = ReduceMax<keepdims=0>(x) z = Constant<value = float {5.0}>() t = Greater(i, z)
            e = If(t)<then_branch = g1 () => (float[n, c, p, q] u) { u = edgeacts.Nish(b) },
                      else_branch = g2 () => (float[n, c, p, q] v) { q = Neg(a) v = edgeacts.Mish(q) }>
            y = edgeacts.TanhExp(e) }""", _CONV, [TABLE, TABLE], [TABLE, TABLE],
    ),
    "ReLU only": (_STEM + "y = edgeacts.Relu(b) }", _DEEP, [""], [""]),
    "none at all": (_STEM + "y = Neg(b) }", _DEEP, [], []),
    "a slope before and a slope after a depthwise convolution": (
        _STEM.replace("(a, d)", "(m, d)").replace(" b =", " m = edgeacts.Sloped<slope=0.2>(a) b =")
        + "y = edgeacts.Sloped<slope=0.6>(b) }", _DEEP, ["", ""], [BEFORE, AFTER],
    ),
}  # fmt: skip

_MINE = '<opset_import: ["" : 20], domain: "user"> Mine (x) => (y) { y = LeakyRelu<alpha=0.375>(x) }'
_SLOPED = '<opset_import: ["" : 20], domain: "edgeacts"> Sloped <slope> (x) => (y) { y = LeakyRelu<alpha: float = @slope>(x) }'


def graph(name: str) -> onnx.ModelProto:
    text, weights, _, _ = GRAPHS[name]
    model = build(text, **weights)
    model.functions.extend(parser.parse_function(f) for f in (_MINE, _SLOPED))
    onnx.checker.check_model(model)
    return model


def feeds(model: onnx.ModelProto) -> list[dict[str, np.ndarray]]:
    """Of several batch sizes and, where they are open, other sizes; odd ones, wider than tall and taller than wide."""
    result = []
    for seed, sizes in enumerate(
        [{}, {"n": 7, "h": 5, "k": 9, "t": 33}, {"n": 1, "h": 19, "k": 6, "t": 3}, {"n": 2, "h": 32, "k": 32}]
    ):
        known = {"n": 2, "h": 12, "k": 13, "t": 6} | sizes
        shapes = {
            v.name: [d.dim_value or known[d.dim_param] for d in v.type.tensor_type.shape.dim]
            for v in model.graph.input
        }
        result.append({name: normal(*shape, seed=seed) for name, shape in shapes.items()})
    return result


@pytest.mark.parametrize("name", GRAPHS)
def test_graph(name: str) -> None:
    model = graph(name)
    tried = ways(model)
    for way in WAYS:
        placed = tried.kernels(way)
        found = [placed.get(site.name, "") for site in tried.sites]
        wanted = GRAPHS[name][2 if way == "none" else 3]
        if way.endswith("products"):  # a convolution of 1x1 takes the activation behind it along
            pairs = zip(found, wanted, strict=True)
            wanted = [f if f in PRODUCTS and w in (TABLE, IN_PLACE) else w for f, w in pairs]
        assert found == wanted, way
    tried.check(*feeds(model))


@pytest.mark.parametrize("name", ["ReLU only", "none at all", "residual inside a depthwise convolution"])
def test_depthwise_convolutions_without_tables(name: str) -> None:
    """With ReLU, with nothing and with a summand, every one that the kernel can do is replaced when all are asked for."""
    tried = ways(graph(name))
    assert ["Depthwise" in tried.operators(way) for way in WAYS] == [False, False, True, True]
    (node,) = (n for n in tried.models["all"].graph.node if n.op_type == "Depthwise")
    assert len(node.input) == (4 if "residual" in name else 3)


def test_what_no_kernel_takes_is_left_as_it_is() -> None:
    """Dilation, two channels a group, a 7x7 kernel."""
    tried = ways(
        build(
            """(float[n, 3, h, k] x) => (float[n, c, p, q] y) { a = Conv(x, w) b = edgeacts.Mish(a)
            c = Conv<group=32, dilations=[2,2], pads=[2,2,2,2]>(b, d) e = edgeacts.Nish(c)
            f = Conv<group=16, pads=[1,1,1,1]>(e, g) i = edgeacts.Mish(f)
            y = Conv<group=32, pads=[3,3,3,3]>(i, l) }""",
            w=(32, 3, 3, 3), d=(32, 1, 3, 3), g=(32, 2, 3, 3), l=(32, 1, 7, 7),
        )
    )  # fmt: skip
    assert "Depthwise" not in [op for way in WAYS for op in tried.operators(way)]
    assert len(tried.placed["all"]) == 3
    tried.check({"x": normal(2, 3, 14, 13)})


def test_channels_that_fill_no_block() -> None:
    """The runtime fills them up; what stands in the rest does not show."""
    tried = ways(
        build(
            """(float[n, 3, h, k] x) => (float[n, 24, p, q] y) { a = Conv<pads=[1,1,1,1]>(x, w)
            c = Conv<group=24, pads=[1,1,1,1]>(a, d, e) f = edgeacts.MineAllMine<k=2.0>(c)
            g = Conv<group=24, pads=[1,1,1,1]>(f, d, e) y = edgeacts.Mish(g) }""",
            w=(24, 3, 3, 3), d=(24, 1, 3, 3), e=(24,),
        )
    )  # fmt: skip
    assert tried.operators("all").count("Depthwise") == 2
    tried.check({"x": normal(2, 3, 14, 13)}, {"x": normal(3, 3, 5, 9)})


def test_layout_is_told() -> None:
    tried = ways(
        build(
            """(float[n, 3, 8, 8] x) => (float[n, c, p, q] y) { a = Conv(x, w) b = Conv(a, v) c = Add(a, b)
            e = edgeacts.Mish(c) f = Conv(e, v) i = edgeacts.Nish(f) j = Conv(i, v) m = Neg(j)
            y = edgeacts.TanhExp(m) }""",
            w=(16, 3, 3, 3), v=(16, 16, 1, 1),
        )
    )  # fmt: skip
    assert [p.layout for p in tried.placed["none"]] == ["plain", "blocked", "plain"]


def test_tables_that_cannot_be_read_are_named() -> None:
    model = graph("conv")
    next(p for p in model.metadata_props if p.key == "edgeacts.tables").value = '{"Mish": {"": {"name": 1}}}'
    with pytest.raises(DamagedFile, match="here: a table of edgeacts cannot be read"):
        find_sites(model, "here")


def test_no_two_sites_have_one_marker() -> None:
    model, sites = find_sites(kit(), "kit")
    markers = Markers(model, sites)
    markers.place(model)
    found = [site.name for node in model.graph.node if (site := markers.find(node))]
    assert found == [site.name for site in sites if site.marked]
    assert len(found) == len(set(found)) == 8


def test_exact_places_of_a_shared_input() -> None:
    """What another reader still needs is never written over."""
    for name in ("conv feeds activation and skip", "conv feeds two activations", "reshape between"):
        assert "TableInPlace" not in ways(graph(name)).operators("all")
