"""ActivationModule's values and derivatives: every half-precision number, a dense float32 grid, the extremes, torch's own ops."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tolerances import TORCH, condition, slack, ulp, worst
from torch import Tensor

from edgeacts.activations import activation, names
from edgeacts.definition import Activation
from edgeacts.modules import ActivationModule
from edgeacts.oracles import float64, high_precision
from edgeacts.plan import parameter_samples

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = [
    pytest.param(n, v, id=f"{n}-{','.join(f'{k}={x:g}' for k, x in v.items())}")
    for n in names()
    for v in parameter_samples(activation(n))
]
INF, NAN = float("inf"), float("nan")


def fixed(name: str, values: dict[str, float]) -> ActivationModule:
    module = ActivationModule(name, trainable=dict.fromkeys(values), **values)
    return module.eval()  # the formula; while training, the kernel's table: tests/test_training_kernel.py


def value_and_derivative(module: torch.nn.Module, x: Tensor) -> list[NDArray[np.float64]]:
    leaf = x.detach().clone().requires_grad_()
    y = module(leaf)
    assert y.dtype == x.dtype
    (grad,) = torch.autograd.grad(y, leaf, torch.ones_like(y))
    assert grad.dtype == x.dtype
    return [t.detach().double().numpy() for t in (y, grad)]


def rounded(values: NDArray[np.float64], dtype: torch.dtype) -> NDArray[np.float64]:
    return torch.from_numpy(values).to(dtype).double().numpy()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(("name", "values"), CASES)
def test_every_half_precision_number(name: str, values: dict[str, float], dtype: torch.dtype) -> None:
    x = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(dtype)
    assert int(x.isnan().sum()) > 200
    wide, kind = x.double().numpy(), str(dtype).removeprefix("torch.")
    for order, got in enumerate(value_and_derivative(fixed(name, values), x)):
        true = float64(activation(name), wide, order, **values)
        assert np.array_equal(np.isnan(got), np.isnan(wide))
        forgiven = slack(name, wide, order, "float32")
        off, where = worst(got, rounded(true, dtype), true, kind, wide, forgiven)
        assert off <= TORCH[kind].ulp, f"order {order}: {off:.3g} ULP at {where}"


def grid(name: str, values: dict[str, float]) -> NDArray[np.float32]:
    """Even steps where it bends (in units of 1/n and 1/β), and both signs of every magnitude from 1e-44 to 3e38."""
    random = np.random.default_rng(7)
    steepness = abs(values.get("n", values.get("beta", 1.0))) or 1.0
    bend = np.concatenate([np.linspace(-120, 120, 30_001), np.linspace(-10, 10, 30_001)])
    sign = random.choice([-1.0, 1.0], 10_000)
    return np.concatenate(
        [bend / steepness, np.linspace(-10, 10, 2001), sign * 10 ** random.uniform(-44, 38.4, 10_000)]
    ).astype(np.float32)


@pytest.mark.parametrize(("name", "values"), CASES)
def test_float32_is_within_a_few_ulp(name: str, values: dict[str, float]) -> None:
    x = grid(name, values)
    wide = x.astype(np.float64)
    true = [float64(activation(name), wide, order, **values) for order in range(3)]
    for order, got in enumerate(value_and_derivative(fixed(name, values), torch.from_numpy(x))):
        scale, forgiven = condition(wide, true, order), slack(name, wide, order, "float32")
        off, where = worst(got, rounded(true[order], torch.float32), scale, "float32", wide, forgiven)
        assert off <= TORCH["float32"].ulp, f"order {order}: {off:.3g} ULP at {where}"


@pytest.mark.parametrize(("name", "values"), CASES)
def test_float64_is_within_a_few_ulp_of_mpmath(name: str, values: dict[str, float]) -> None:
    random = np.random.default_rng(8)
    steepness = abs(values.get("n", values.get("beta", 1.0))) or 1.0
    x = np.concatenate([random.uniform(-9, 9, 40), random.uniform(-40, 40, 20)]) / steepness
    a = activation(name)
    true = [np.array([float(high_precision(a, float(p), order, **values)) for p in x]) for order in range(3)]
    for order, got in enumerate(value_and_derivative(fixed(name, values), torch.from_numpy(x))):
        scale, forgiven = condition(x, true, order), slack(name, x, order, "float64")
        off, where = worst(got, true[order], scale, "float64", x, forgiven)
        assert off <= TORCH["float64"].ulp, f"order {order}: {off:.3g} ULP at {where}"


def far_out(a: Activation, x: float, order: int, values: dict[str, float]) -> float:
    """mpmath's value at x; beyond ±1e5 on the line through ±1e4 and ±2e4, where e^(e^x) is still a number."""
    if abs(x) <= 1e5:
        return float(high_precision(a, x, order, **values))
    near, far = (high_precision(a, np.sign(x) * p, order, **values) for p in (1e4, 2e4))
    slope = (far - near) / (np.sign(x) * 1e4)
    if np.isinf(x):
        return float(near) if abs(slope) < 1e-30 else float(mpmath.sign(slope * x)) * INF
    return float(near + slope * (mpmath.mpf(x) - np.sign(x) * 1e4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("name", "values"), CASES)
def test_extremes(name: str, values: dict[str, float], dtype: torch.dtype) -> None:
    finite = [s * m for s in (-1.0, 1.0) for m in (3e38, 1e30, 1e19, 1e10, 65504.0, 1e3)]
    x = torch.tensor([-INF, INF, *finite], dtype=dtype)  # the halves take some of these for infinities
    for order, got in enumerate(value_and_derivative(fixed(name, values), x)):
        wide, kind = x.double().numpy(), str(dtype).removeprefix("torch.")
        true = np.array([far_out(activation(name), p, order, values) for p in wide.tolist()])
        forgiven = slack(name, wide, order, "float64" if kind == "float64" else "float32")
        off, where = worst(got, rounded(true, dtype), true, kind, wide, forgiven)
        assert off <= TORCH[kind].ulp, f"order {order}: {off:.3g} ULP at {where}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("name", "values"), CASES)
def test_nan_in_gives_nan_out_and_nothing_else_does(
    name: str, values: dict[str, float], dtype: torch.dtype
) -> None:
    x = torch.tensor([NAN, 1.0, -NAN, -INF, INF, 0.0, -0.0, -5.0], dtype=dtype)
    for got in value_and_derivative(fixed(name, values), x):
        assert np.isnan(got).tolist() == [True, False, True] + [False] * 5


# catalogue name -> torch's own op: values and gradients, kinks included
OWN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "gelu": F.gelu,
    "mish": F.mish,
}
KINKS = {"relu": [0], "relu6": [0, 6], "leaky_relu": [0], "hardswish": [-3, 3]}


@pytest.mark.parametrize("name", OWN)
def test_equals_torchs_own_op(name: str) -> None:
    points = [*np.linspace(-30, 30, 2001), *KINKS.get(name, []), -0.0, 1e-300, -1e-300, 1e3, -1e3]
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    mine, theirs = ActivationModule(name)(x), OWN[name](x)
    torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=1e-15)
    weight = torch.linspace(0.5, 2, x.numel(), dtype=torch.float64)
    grads = [torch.autograd.grad(y, x, weight)[0] for y in (mine, theirs)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", KINKS)
def test_gradient_at_a_kink_is_torchs(name: str) -> None:
    x = torch.tensor(KINKS[name], dtype=torch.float32)
    (_, mine), (_, theirs) = (value_and_derivative(m, x) for m in (ActivationModule(name), _Own(OWN[name])))
    np.testing.assert_allclose(mine, theirs, rtol=1e-7)


class _Own(torch.nn.Module):
    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


def test_parameters_reach_the_value() -> None:
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    torch.testing.assert_close(ActivationModule("silu", beta=1.702)(x), x * torch.sigmoid(1.702 * x))
    torch.testing.assert_close(ActivationModule("leaky_relu", negative_slope=0.3)(x), F.leaky_relu(x, 0.3))
    torch.testing.assert_close(
        ActivationModule("sau", alpha=0.4, trainable={"alpha": None})(x),
        F.leaky_relu(x, 0.4),
        atol=2e-5,
        rtol=0,
    )


def test_half_types_are_computed_in_float32() -> None:
    """In float16 itself, SAU's n²x² overflows from x = 0.013 on, and mish loses 2 % near -10."""
    x = torch.tensor([-10.4, -0.5, 0.02, 0.7], dtype=torch.float16)
    for name in ("sau", "mish"):
        true = float64(activation(name), x.double().numpy())
        np.testing.assert_array_less(
            np.abs(ActivationModule(name)(x).double().detach().numpy() - true), 0.51 * ulp(true, "float16")
        )
