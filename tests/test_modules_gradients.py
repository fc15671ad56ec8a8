"""ActivationModule's backward: what it saves, gradient checks of first and second order, trained parameters."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from edgeacts.activations import activation, names
from edgeacts.autograd import BLOCK
from edgeacts.definition import Activation, Parameter, X, sigmoid
from edgeacts.errors import UsageError
from edgeacts.modules import ActivationModule
from edgeacts.oracles import high_precision

pytestmark = pytest.mark.usefixtures("one_thread")
PARAMETERS = [(n, p.name) for n in names() for p in activation(n).parameters]
KINKS = {"relu": (0.0,), "relu6": (0.0, 6.0), "leaky_relu": (0.0,), "hardswish": (-3.0, 3.0), "nish": (0.0,)}


def points(name: str, *, count: int = 24) -> Tensor:
    """Random float64 numbers, none near a kink (gradcheck moves by 1e-6); SAU with n = 2 bends where they are."""
    x = 3.5 * torch.randn(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for kink in KINKS.get(name, ()):
        x = torch.where((x - kink).abs() < 0.05, x + 0.2, x)
    return x.requires_grad_()


def wide(name: str) -> dict[str, float]:
    return {"n": 2.0} if name == "sau" else {}


# ---- what is saved


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4, 4), (BLOCK + 3,)], ids=str)
@pytest.mark.parametrize("name", names())
def test_saves_its_input_and_nothing_else(name: str, shape: tuple[int, ...]) -> None:
    module = ActivationModule(name, trainable={p.name: None for p in activation(name).parameters})
    x = torch.randn(shape, requires_grad=True)
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        y = module(x)
    assert len(saved) == 1
    assert saved[0].untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert saved[0].shape == x.shape
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_with_a_trained_parameter_that_is_saved_too() -> None:
    module, x, saved = ActivationModule("sau", 3), torch.randn(2, 3, requires_grad=True), list[Tensor]()
    with saved_tensors_hooks(lambda t: (saved.append(t), t)[1], lambda t: t):
        module(x)
    assert [t.data_ptr() for t in saved] == [x.data_ptr(), module.alpha.data_ptr()]


def test_without_gradients_nothing_is_saved() -> None:
    saved: list[Tensor] = []
    with torch.no_grad(), saved_tensors_hooks(lambda t: (saved.append(t), t)[1], lambda t: t):
        y = ActivationModule("mish")(torch.randn(4, requires_grad=True))
    assert not saved
    assert not y.requires_grad


def test_input_changed_in_place_is_noticed() -> None:
    """The input is kept by reference: a change would give the gradient of another input."""
    x = torch.randn(5, requires_grad=True)
    hidden = x * 1
    y = ActivationModule("tanhexp")(hidden)
    hidden.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


# ---- gradient checks


@pytest.mark.parametrize("name", names())
def test_gradcheck(name: str) -> None:
    module = ActivationModule(
        name, trainable={p.name: None for p in activation(name).parameters}, **wide(name)
    )
    assert torch.autograd.gradcheck(module, points(name))
    assert torch.autograd.gradgradcheck(module, points(name, count=8))


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("mode", ["layer", "channel"])
def test_gradcheck_of_a_trained_parameter(name: str, parameter: str, mode: Any) -> None:
    """x and the parameter together, first and second order, against finite differences."""
    given = wide(name) if parameter != "n" else {"n": 2.0}
    trainable = {p.name: mode if p.name == parameter else None for p in activation(name).parameters}
    module = ActivationModule(name, 3, trainable=trainable, **given).double()
    start = getattr(module, parameter).detach()
    value = (
        start + torch.linspace(-0.1, 0.2, start.numel(), dtype=torch.float64).view(start.shape)
    ).requires_grad_()

    def run(x: Tensor, v: Tensor) -> Tensor:
        return torch.func.functional_call(module, {parameter: v}, (x,))

    x = points(name).detach().view(2, 3, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(run, (x, value))
    few = points(name, count=6).detach().view(2, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(run, (few, value))


@pytest.mark.parametrize("beta", [1.0, 0.25, 1e-3, 0.0, -1e-3, -0.5, 2.0])
def test_beta_may_cross_zero(beta: float) -> None:
    """β is trained through 0, where the asymptotes change sides."""
    module = ActivationModule("silu", trainable={"beta": "layer"}, beta=beta).double()
    x = torch.tensor([-9.0, -1.5, -1e-3, 0.0, 0.5, 4.0], dtype=torch.float64, requires_grad=True)
    y = module(x)
    torch.testing.assert_close(y, x * torch.sigmoid(beta * x))
    y.sum().backward()
    gate = torch.sigmoid(beta * x.detach())
    torch.testing.assert_close(x.grad, gate + beta * x.detach() * gate * (1 - gate))
    torch.testing.assert_close(module.beta.grad, (x.detach() ** 2 * gate * (1 - gate)).sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("beta", [1.0, 0.0, -0.5])
def test_beta_at_the_extremes(beta: float, dtype: torch.dtype) -> None:
    module = ActivationModule("silu", trainable={"beta": "layer"}, beta=beta).to(dtype)
    x = torch.tensor([-3e38, -1e20, -1e4, 1e4, 1e20, 3e38], dtype=dtype, requires_grad=True)
    y = module(x)
    side = {1.0: (0.0, 1.0), 0.0: (0.5, 0.5), -0.5: (1.0, 0.0)}[beta]
    slope = torch.where(x.detach() < 0, side[0], side[1]).to(dtype)
    torch.testing.assert_close(y.detach(), slope * x.detach())
    y.backward(torch.ones_like(y))
    torch.testing.assert_close(x.grad, slope)
    assert not module.beta.grad.isnan()


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.3, 0.15])
def test_alpha_of_sau(alpha: float) -> None:
    """∂f/∂α = x·Φ(-nx), from mpmath's difference of two formulas (f is linear in α)."""
    sau = activation("sau")
    module = ActivationModule("sau", alpha=alpha, n=1.5).double()
    x = points("sau").detach()
    module(x).sum().backward()
    true = sum(
        high_precision(sau, v, alpha=alpha + 1, n=1.5) - high_precision(sau, v, alpha=alpha, n=1.5)
        for v in x.tolist()
    )
    assert float(module.alpha.grad) == pytest.approx(float(true), rel=1e-12)
    with torch.no_grad():
        got = module(x)
    torch.testing.assert_close(
        got,
        torch.tensor(
            [float(high_precision(sau, v, alpha=alpha, n=1.5)) for v in x.tolist()], dtype=got.dtype
        ),
    )


def test_alpha_at_one_makes_sau_the_identity_and_a_bump() -> None:
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    bump = x * torch.exp(-((2 * x) ** 2) / 2) * (2 / torch.pi) ** 0.5 / 4
    torch.testing.assert_close(ActivationModule("sau", alpha=1.0, n=2.0).double()(x), x + bump)


def test_each_channel_gets_its_own_gradient() -> None:
    module = ActivationModule("sau", 3, trainable={"alpha": "channel"})
    assert module.alpha.shape == (3,)
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    x[:, 1] = x[:, 1].abs() + 0.1  # all positive: α does not matter there
    module(x).sum().backward()
    expected = x.clamp(max=0).sum(dim=(0, 2, 3))
    torch.testing.assert_close(module.alpha.grad, expected, atol=1e-3, rtol=1e-4)
    assert module.alpha.grad[1] == 0


@pytest.mark.parametrize("shape", [(3,), (4, 3), (4, 3, 2), (4, 3, 2, 2), (2, 3, 2, 2, 2)], ids=str)
def test_the_channel_is_dimension_one(shape: tuple[int, ...]) -> None:
    module = ActivationModule("leaky_relu", 3, trainable={"negative_slope": "channel"})
    with torch.no_grad():
        module.negative_slope.copy_(torch.tensor([0.1, 0.2, 0.3]))
    y = module(torch.full(shape, -1.0))
    assert y.shape == shape
    got = y.movedim(1 if len(shape) > 1 else 0, 0).reshape(3, -1)
    torch.testing.assert_close(got, torch.tensor([[-0.1], [-0.2], [-0.3]]).expand(got.shape))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradient_of_a_parameter_in_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    """5000 equal terms: a half type would stop adding long before."""
    module = ActivationModule("silu", trainable={"beta": "layer"})
    module(torch.full((5000,), 1.5, dtype=dtype)).sum(dtype=torch.float32).backward()
    gate = 1 / (1 + torch.exp(torch.tensor(-1.5)))
    assert float(module.beta.grad) == pytest.approx(5000 * 2.25 * float(gate * (1 - gate)), rel=1e-4)


def test_a_definition_with_a_parameter_of_ones_own() -> None:
    k = Parameter("k", 0.7, trainable="layer")
    mine = Activation(
        "mine", X * sigmoid(k.symbol * X) + k.symbol * X**2 / (1 + X**2), "here", parameters=(k,)
    )
    module = ActivationModule(mine).double()
    x = torch.linspace(-4, 4, 17, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, v: Tensor) -> Tensor:
        return torch.func.functional_call(module, {"k": v}, (x,))

    value = module.k.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(run, (x, value))
    assert torch.autograd.gradgradcheck(run, (x.detach()[:5].requires_grad_(), value))


# ---- wrong use


def test_unknown_parameter() -> None:
    with pytest.raises(UsageError, match="activation sau has no parameter 'beta'; it has: alpha, n"):
        ActivationModule("sau", beta=1.0)
    with pytest.raises(UsageError, match="activation relu has no parameter 'slope'; it has: none"):
        ActivationModule("relu", trainable={"slope": "layer"})


def test_channel_needs_a_count() -> None:
    with pytest.raises(UsageError, match="sau: alpha is trained per channel, so `channels` is needed"):
        ActivationModule("sau", trainable={"alpha": "channel"})
    assert ActivationModule("sau", 4, trainable={"alpha": "channel"}).alpha.shape == (4,)


def test_unknown_mode() -> None:
    with pytest.raises(UsageError, match="sau: trainable={'alpha': 'row'}: use None, 'layer' or 'channel'"):
        ActivationModule("sau", trainable={"alpha": "row"})  # type: ignore[dict-item]


def test_wrong_channel_count_is_no_silent_broadcast() -> None:
    module = ActivationModule("sau", 3, trainable={"alpha": "channel"})
    for shape in ((2, 5, 4, 4), (2, 1, 4, 4)):
        with pytest.raises(RuntimeError, match=r"size"):
            module(torch.randn(shape))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_integers_are_refused(dtype: torch.dtype) -> None:
    """Computed and rounded back, silu of 1, 2, 3 would be 0, 1, 2."""
    with pytest.raises(
        UsageError, match=rf"silu needs a floating-point input, not {dtype}: call \.float\(\)"
    ):
        ActivationModule("silu")(torch.ones(3, dtype=dtype))


def test_trained_parameter_with_a_name_that_modules_use() -> None:
    taken = Parameter("training", 1.0, trainable="layer")
    mine = Activation("mine", X * taken.symbol, "here", parameters=(taken,))
    with pytest.raises(UsageError, match="mine: a trained parameter cannot be called 'training'"):
        ActivationModule(mine)
    assert ActivationModule(mine, trainable={"training": None})(torch.tensor(2.0)) == 2
