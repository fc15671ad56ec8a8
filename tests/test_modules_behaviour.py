"""ActivationModule among torch's machinery: memory formats, large tensors, autocast, torch.compile, copies, transforms."""

import copy
import io
import pickle
import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgeacts.activations import activation, names
from edgeacts.autograd import BLOCK, evaluation
from edgeacts.definition import Activation, X
from edgeacts.errors import UsageError
from edgeacts.modules import ActivationModule, activation_factory

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = [(), (1,), (7,), (0,), (0, 3, 4, 4), (2, 3), (2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def same(a: Tensor, b: Tensor) -> None:
    """Equal up to what torch's vector and scalar loops differ by: 1 ULP in σ, against terms of size 1 in a derivative."""
    assert a.dtype == b.dtype
    few = 6 * torch.finfo(a.dtype).eps
    torch.testing.assert_close(a, b, rtol=few, atol=few, equal_nan=True)


def forward_backward(module: nn.Module, x: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    leaf = x.detach().requires_grad_()
    y = module(leaf)
    (grad,) = torch.autograd.grad(y, leaf, torch.ones_like(y) if weight is None else weight)
    return y.detach(), grad


# ---- shapes and memory formats


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", names())
def test_any_shape(name: str, shape: tuple[int, ...]) -> None:
    module, x = ActivationModule(name), torch.randn(shape)
    y, grad = forward_backward(module, x)
    assert y.shape == grad.shape == x.shape
    flat, flat_grad = forward_backward(module, x.reshape(-1))
    same(y.reshape(-1), flat)
    same(grad.reshape(-1), flat_grad)


@pytest.mark.parametrize("name", names())
def test_channels_last_stays_channels_last(name: str) -> None:
    module, x = ActivationModule(name), torch.randn(2, 3, 8, 9)
    last = x.to(memory_format=torch.channels_last)
    for got, expected in zip(forward_backward(module, last), forward_backward(module, x), strict=True):
        assert got.is_contiguous(memory_format=torch.channels_last)
        assert not got.is_contiguous()
        same(got.contiguous(), expected)


# ---- tensors larger than a block take another path: other loops, other code for comparisons and selections


def transposed(x: Tensor) -> Tensor:
    return x.reshape(3, -1).t()


def every_second(x: Tensor) -> Tensor:
    return torch.stack([x, torch.zeros_like(x)], dim=1)[:, 0]


def channels_last(x: Tensor) -> Tensor:
    return x.reshape(3, 8, 96, -1).to(memory_format=torch.channels_last)


def expanded(x: Tensor) -> Tensor:
    return x[:1000].expand(300, 1000)


LAYOUTS: list[Callable[[Tensor], Tensor]] = [torch.clone, transposed, every_second, channels_last, expanded]
EDGES = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 6.0, 3.0, -3.0, 1e-42, -1e-42]


def large(dtype: torch.dtype) -> Tensor:
    """3·8·96·129 = 297,216 numbers, more than two blocks and a bit; extremes in the first and in the last block."""
    x = 4 * torch.randn(3 * 8 * 96 * 129, generator=torch.Generator().manual_seed(5))
    assert 2 * BLOCK < x.numel() < 3 * BLOCK
    x[: len(EDGES)] = x[-len(EDGES) :] = torch.tensor(EDGES)
    return x.to(dtype)


@pytest.mark.parametrize("name", names())
def test_large_tensors_equal_small_ones(name: str) -> None:
    module = ActivationModule(name).eval()
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        values = large(dtype)
        for layout in LAYOUTS if dtype == torch.float32 else LAYOUTS[:1]:
            x = layout(values)
            assert x.numel() > BLOCK
            y, grad = forward_backward(module, x)
            assert y.shape == grad.shape == x.shape
            assert y.dtype == grad.dtype == dtype
            if layout is channels_last:
                assert y.is_contiguous(memory_format=torch.channels_last)
            for part in (slice(0, 997), slice(-1201, None)):
                small_y, small_grad = forward_backward(module, x.reshape(-1)[part])
                same(y.reshape(-1)[part], small_y)
                same(grad.reshape(-1)[part], small_grad)


@pytest.mark.parametrize("shape", [(BLOCK - 1,), (BLOCK,), (BLOCK + 1,), (2 * BLOCK + 1,)], ids=str)
def test_block_boundaries(shape: tuple[int, ...]) -> None:
    """The last block may hold one number; none is skipped or taken twice."""
    module = ActivationModule("nish").eval()
    x, weight = torch.randn(shape), torch.rand(shape)
    y, grad = forward_backward(module, x, weight)
    pieces = [forward_backward(module, a, b) for a, b in zip(x.split(5000), weight.split(5000), strict=True)]
    same(y, torch.cat([p[0] for p in pieces]))
    same(grad, torch.cat([p[1] for p in pieces]))


def test_incoming_gradient_of_another_layout() -> None:
    """channels_last input, contiguous gradient: element by element all the same."""
    x, weight = channels_last(large(torch.float32)), torch.rand(3, 8, 96, 129)
    _, grad = forward_backward(ActivationModule("tanhexp").eval(), x, weight)
    _, plain = forward_backward(ActivationModule("tanhexp").eval(), x.contiguous(), weight)
    same(grad.contiguous(), plain)


def test_large_tensors_with_a_trained_parameter() -> None:
    module = ActivationModule("sau", trainable={"alpha": "layer"}).double()
    x = torch.randn(2 * BLOCK + 5, dtype=torch.float64)
    module(x).sum().backward()
    assert float(module.alpha.grad) == pytest.approx(float(x.clamp(max=0).sum()), rel=1e-6)


def test_selection_between_numbers_keeps_double_precision() -> None:
    """torch.where(condition, 0.1, 0.3) alone would be float32."""
    step = activation("leaky_relu").fix(negative_slope=0.1)
    for count in (3, BLOCK + 3):
        slope = evaluation(step, ("x",)).raw(torch.full((count,), -1.0, dtype=torch.float64), ())
        assert slope.dtype == torch.float64
        assert slope[0] == slope[-1] == 0.1


def test_default_dtype_does_not_matter() -> None:
    x = torch.tensor([-1.0, 2.0])
    torch.set_default_dtype(torch.bfloat16)
    try:
        y, grad = forward_backward(ActivationModule("leaky_relu", negative_slope=0.1), x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert y.tolist() == pytest.approx([-0.1, 2.0], rel=1e-7)
    assert grad.tolist() == pytest.approx([0.1, 1.0], rel=1e-7)


# ---- autocast, compile, transforms


@pytest.mark.parametrize("name", names())
def test_autocast(name: str) -> None:
    """Behind a layer that autocast runs in bfloat16: the same as on that bfloat16 input without autocast."""
    torch.manual_seed(0)
    linear, module = nn.Linear(8, 16), ActivationModule(name, 16)
    x = torch.randn(4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = linear(x)
        y = module(hidden)
        y.float().square().sum().backward()
        assert module(x).dtype == torch.float32
    assert hidden.dtype == y.dtype == torch.bfloat16
    assert torch.equal(y, module(hidden.detach()))
    assert linear.weight.grad is not None
    assert linear.weight.grad.isfinite().all()
    assert linear.weight.grad.abs().max() > 0


# torch.compile loads torch's own modules, which warn of each other's old names.
compiles = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@compiles
@pytest.mark.parametrize("name", names())
def test_compile_without_graph_breaks(name: str) -> None:
    torch._dynamo.reset()
    module = ActivationModule(name, 4)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = 5 * torch.randn(2, 4, 6, 6)
    for got, expected in zip(forward_backward(compiled, x), forward_backward(module, x), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-7)


@compiles
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's inductor needs a C++ compiler")
def test_compile_with_inductor() -> None:
    torch._dynamo.reset()
    network = ActivationModule("nish")
    compiled = torch.compile(network, fullgraph=True)
    x = 3 * torch.randn(2, 30)
    for got, expected in zip(forward_backward(compiled, x), forward_backward(network, x), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*:DeprecationWarning"
)  # torch.func loads torch's own use of it
@pytest.mark.parametrize("name", names())
def test_func_transforms(name: str) -> None:
    """grad, vmap and their combination; jvp (forward mode) is not supported and says so."""
    module = ActivationModule(name)
    x = torch.randn(5, 3)
    y, grad = forward_backward(module, x)
    torch.testing.assert_close(torch.func.vmap(module)(x), y)
    torch.testing.assert_close(torch.func.grad(lambda v: module(v).sum())(x), grad)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(lambda v: module(v).sum()))(x), grad)
    torch.testing.assert_close(torch.func.jacrev(module)(x[0]), torch.diag(grad[0]))
    with pytest.raises(NotImplementedError, match="jvp"):
        torch.func.jvp(module, (x,), (x,))


def test_vmap_over_large_tensors() -> None:
    module, x = ActivationModule("tanhexp"), torch.randn(2, BLOCK + 9)
    torch.testing.assert_close(torch.func.vmap(module)(x), module(x))


def test_checkpointing_recomputes_the_same() -> None:
    module, x = ActivationModule("sau", 3), torch.randn(4, 3, requires_grad=True)
    y = torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(grad, forward_backward(module, x)[1])


def test_meta_device_gives_shapes() -> None:
    assert ActivationModule("mish")(torch.empty(4, 500, 500, device="meta")).shape == (4, 500, 500)


# ---- copies and files


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("way", ["deepcopy", "pickle", "save"])
def test_copies_are_equal_and_independent(name: str, way: str) -> None:
    trained = {p.name: "channel" for p in activation(name).parameters}
    module = ActivationModule(name, 3, trainable=trained)
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(torch.tensor([0.5, 1.0, 1.5]))
    if way == "deepcopy":
        twin = copy.deepcopy(module)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(module))  # noqa: S301  # written one line above
    else:
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)  # our own module, saved above
    x = torch.randn(2, 3, 4, 4)
    for got, expected in zip(forward_backward(twin, x), forward_backward(module, x), strict=True):
        assert torch.equal(got, expected)
    assert twin.activation == module.activation
    for p in twin.parameters():
        p.data.fill_(9.0)
    assert all(float(p.detach().max()) < 9 or name == "sau" for p in module.parameters())
    assert all(
        p.data_ptr() != q.data_ptr() for p, q in zip(module.parameters(), twin.parameters(), strict=True)
    )


def test_state_dict_round_trip() -> None:
    first = ActivationModule("sau", 3, trainable={"alpha": "channel"}, alpha=0.4)
    assert list(first.state_dict()) == ["alpha"]
    second = ActivationModule("sau", 3, trainable={"alpha": "channel"})
    assert second.frozen_values()["alpha"] == pytest.approx([0.15] * 3)
    second.load_state_dict(first.state_dict())
    assert second.frozen_values() == {"alpha": pytest.approx([0.4] * 3), "n": [20000.0]}
    assert not ActivationModule("mish").state_dict()
    with pytest.raises(RuntimeError, match="alpha"):
        ActivationModule("sau", trainable={"alpha": None}).load_state_dict(first.state_dict())


def test_what_is_trained_by_default() -> None:
    assert [n for n, _ in ActivationModule("sau").named_parameters()] == ["alpha"]
    assert not list(ActivationModule("sau", trainable={"alpha": None}).parameters())
    assert not list(ActivationModule("silu").parameters())


def test_printout_names_the_activation_and_its_values() -> None:
    assert repr(ActivationModule("silu", beta=1.702)) == "ActivationModule(silu, beta=1.702)"
    shown = repr(ActivationModule("sau", 4, trainable={"alpha": "channel"}))
    assert shown == "ActivationModule(sau, n=20000, alpha: trained, (4,))"


def test_two_modules_share_their_evaluation() -> None:
    assert ActivationModule("mish").evaluation is ActivationModule("mish").evaluation
    assert ActivationModule("silu").evaluation is not ActivationModule("silu", beta=2.0).evaluation


# ---- the factory


def test_factory_gives_a_fresh_module_each_time() -> None:
    make = activation_factory("sau", trainable={"alpha": "channel"}, alpha=0.3)
    first, second = make(2), make(5)
    assert (first.alpha.shape, second.alpha.shape) == ((2,), (5,))
    assert first.frozen_values()["alpha"] == pytest.approx([0.3, 0.3])
    assert make(2).alpha is not first.alpha


def test_factory_takes_a_definition_and_a_callable() -> None:
    mine = Activation("mine", X / (1 + X**2), "here")
    x = torch.tensor([2.0])
    assert activation_factory(mine)(1)(x).tolist() == pytest.approx([0.4])
    assert isinstance(activation_factory(lambda channels: nn.Identity())(3), nn.Identity)


def test_factory_refuses_early() -> None:
    with pytest.raises(UsageError, match="unknown activation 'tanexp': did you mean tanhexp"):
        activation_factory("tanexp")
    with pytest.raises(UsageError, match="activation mish has no parameter 'beta'"):
        activation_factory("mish", beta=1.0)


# ---- formulas at the edge of what a formula is


@pytest.mark.parametrize("formula", [X, 3 + 0 * X, -X, X**2 / X], ids=str)
@pytest.mark.parametrize("count", [5, BLOCK + 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_identity_and_constant(formula: object, count: int, dtype: torch.dtype) -> None:
    x = torch.randn(count, dtype=dtype)
    y, grad = forward_backward(ActivationModule(Activation("own", formula, "here")).eval(), x)
    slope = {"x": 1.0, "-x": -1.0, "3": 0.0}[str(Activation("own", formula, "here").formula)]
    assert torch.equal(grad, torch.full_like(x, slope))
    assert torch.equal(y, slope * x if slope else torch.full_like(x, 3.0))
    assert y.data_ptr() != x.data_ptr()


def test_leaky_relu_with_slope_one_is_the_identity() -> None:
    x = torch.randn(7)
    y, grad = forward_backward(ActivationModule("leaky_relu", negative_slope=1.0), x)
    assert torch.equal(y, x)
    assert torch.equal(grad, torch.ones_like(x))
