"""Training with the kernels: the same numbers as the formula within the tables' bounds, and the formula wherever they cannot be used."""

import copy

import pytest
import torch
from torch import Tensor, nn

from edgeacts import native
from edgeacts.activations import names
from edgeacts.definition import Activation, X
from edgeacts.modules import ActivationModule
from edgeacts.training_kernel import SMALLEST, KernelReading, gomp_parallel, kernel_reading

pytestmark = pytest.mark.skipif(not native.available(), reason=str(native.missing()))

COUNT = 3 * SMALLEST + 77
INF, NAN = float("inf"), float("nan")
KINKS = [0.0, -0.0, 3.0, -3.0, 6.0, -6.0]


def sample(*, shape: tuple[int, ...] = (COUNT,), extremes: bool = True) -> Tensor:
    x = 4 * torch.randn(shape, generator=torch.Generator().manual_seed(3))
    if extremes:
        x.view(-1)[: len(KINKS)] = torch.tensor(KINKS)
        x.view(-1)[-4:] = torch.tensor([3e38, -3e38, 1e-29, -1e-29])
    return x


def run(module: nn.Module, x: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor, list[Tensor]]:
    leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    for parameter in module.parameters():
        parameter.grad = None
    y = module(leaf)
    y.backward(torch.ones_like(y) if weight is None else weight)
    return y.detach(), leaf.grad, [p.grad.clone() for p in module.parameters()]


def close(a: Tensor, b: Tensor, x: Tensor, within: float) -> None:
    scale = x.abs().clamp(min=1).nan_to_num(1.0, 3e38)
    off = torch.where(a == b, torch.zeros_like(a), (a - b).abs() / scale)
    assert torch.equal(a.isnan(), b.isnan())
    assert float(off.nan_to_num(0.0, INF).max()) <= within


class Spy:
    """Counts what the kernel did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[bool] = []
        plain = KernelReading.run

        def watched(reading: KernelReading, *arguments: object) -> Tensor | None:
            result = plain(reading, *arguments)  # type: ignore[arg-type]
            self.done.append(result is not None)
            return result

        monkeypatch.setattr(KernelReading, "run", watched)


@pytest.mark.parametrize("name", names())
def test_value_and_gradient_are_the_formulas(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    module, x = ActivationModule(name), sample()
    weight = torch.rand(COUNT, generator=torch.Generator().manual_seed(4))
    y, grad, of_parameters = run(module, x, weight)
    assert all(spy.done)
    assert len(spy.done) >= 1
    true_y, true_grad, true_parameters = run(copy.deepcopy(module).eval(), x, weight)
    close(y, true_y, x, 1.5e-6)
    close(grad, true_grad, torch.ones_like(x), 5e-6)
    for a, b in zip(of_parameters, true_parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "hardswish"])
def test_derivatives_that_jump_keep_the_formulas_value_at_the_jump(name: str) -> None:
    module, x = ActivationModule(name), torch.tensor(KINKS).repeat(SMALLEST)
    _, grad, _ = run(module, x)
    _, wanted, _ = run(copy.deepcopy(module).eval(), x)
    torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", names())
def test_nan_and_infinities(name: str) -> None:
    x = torch.tensor([NAN, INF, -INF, 1.0]).repeat(SMALLEST)
    module = ActivationModule(name)
    y, grad, _ = run(module, x)
    true_y, true_grad, _ = run(copy.deepcopy(module).eval(), x)
    torch.testing.assert_close(y, true_y, rtol=1e-6, atol=1e-6, equal_nan=True)
    torch.testing.assert_close(grad, true_grad, rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("alpha", [0.0, 0.15, 0.9, -0.4, 1.3])
def test_a_trained_slope_follows_the_parameter(alpha: float) -> None:
    """The table of SAU is combined anew for each value of alpha."""
    module, x = ActivationModule("sau", alpha=alpha), sample(extremes=False)
    weight = torch.rand(COUNT, generator=torch.Generator().manual_seed(6))
    y, grad, (along,) = run(module, x, weight)
    true_y, true_grad, (true_along,) = run(copy.deepcopy(module).eval(), x, weight)
    close(y, true_y, x, 1.5e-6)
    close(grad, true_grad, torch.ones_like(x), 5e-6)
    assert float(along) == pytest.approx(float(true_along), rel=1e-5)


def test_several_threads_give_the_same_numbers() -> None:
    before, module, x = torch.get_num_threads(), ActivationModule("sau"), sample(shape=(40 * SMALLEST,))
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(run(module, x))
    finally:
        torch.set_num_threads(before)
    (y1, g1, p1), (y2, g2, p2) = results
    assert torch.equal(y1, y2)
    assert torch.equal(g1, g2)
    assert torch.equal(p1[0], p2[0])


def test_torchs_own_threads_are_found() -> None:
    assert gomp_parallel() is not None or "OpenMP" not in torch.__config__.parallel_info()


def usual() -> Tensor:
    return sample(extremes=False)


FALLBACKS = {
    "float64": (lambda: usual().double(), {}),
    "float16": (lambda: usual().half(), {}),
    "a few elements": (lambda: usual()[: SMALLEST - 1], {}),
    "every second": (lambda: usual()[::2][: SMALLEST + 5], {}),
    "per channel": (lambda: sample(shape=(4, 3, 64, 64), extremes=False), {"alpha": "channel"}),
}


@pytest.mark.parametrize("case", FALLBACKS)
def test_the_formula_is_used_otherwise(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, trainable = FALLBACKS[case]
    spy = Spy(monkeypatch)
    module = ActivationModule("sau", 3, trainable=trainable)
    x = make()
    module.to(x.dtype if x.dtype == torch.float64 else torch.float32)
    leaf = x.clone().requires_grad_() if case != "every second" else x.requires_grad_()
    module(leaf if case != "every second" else leaf[:]).sum().backward()
    assert not any(spy.done)


@pytest.mark.parametrize("mode", ["eval", "no_grad", "no gradient wanted"])
def test_what_does_not_train_is_computed_by_the_formula(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    module, x = ActivationModule("mish"), usual()
    if mode == "eval":
        module.eval()(x.requires_grad_())
    elif mode == "no_grad":
        with torch.no_grad():
            module(x.requires_grad_())
    else:
        module(x)
    assert spy.done == []


def test_double_backward_uses_the_formula_and_is_right() -> None:
    module, x = ActivationModule("mish"), usual().requires_grad_()
    (first,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    reference = copy.deepcopy(module).eval()
    (wanted,) = torch.autograd.grad(reference(x).sum(), x, create_graph=True)
    (wanted,) = torch.autograd.grad(wanted.sum(), x)
    torch.testing.assert_close(second, wanted, rtol=1e-4, atol=1e-5)


# torch.compile loads torch's own modules, which warn of each other's old names.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_under_compile_the_formula_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError("the kernel was called")

    monkeypatch.setattr(native, "apply_at", fails)
    torch._dynamo.reset()
    compiled = torch.compile(ActivationModule("mish"), backend="aot_eager", fullgraph=True)
    x = usual().requires_grad_()
    (grad,) = torch.autograd.grad(compiled(x).sum(), x)
    close(grad, run(ActivationModule("mish").eval(), usual())[1], torch.ones_like(grad), 1e-6)


def test_a_gradient_of_another_layout_uses_the_formula() -> None:
    x = sample(shape=(2, 8, 32, 48), extremes=False).to(memory_format=torch.channels_last)
    weight = torch.rand(2, 8, 32, 48)
    _, grad, _ = run(ActivationModule("nish"), x, weight)
    _, wanted, _ = run(ActivationModule("nish").eval(), x, weight)
    close(grad, wanted, torch.ones_like(x), 5e-6)


def test_a_refused_table_falls_back_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """x² has no straight tails."""
    spy = Spy(monkeypatch)
    square = Activation("square_of_x", X**2, "this test")
    y, grad, _ = run(ActivationModule(square), usual())
    assert not any(spy.done)
    torch.testing.assert_close(y, usual() ** 2)
    torch.testing.assert_close(grad, 2 * usual())


def test_without_kernels_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = run(ActivationModule("gelu").eval(), usual())
    monkeypatch.setattr(native, "available", lambda: False)
    y, grad, _ = run(ActivationModule("gelu"), usual())
    assert torch.equal(y, wanted[0])
    assert torch.equal(grad, wanted[1])


def test_only_the_input_is_saved() -> None:
    saved: list[Tensor] = []
    x = usual().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ActivationModule("mish")(x)
    assert [t.data_ptr() for t in saved] == [x.data_ptr()]


def test_readings_are_shared() -> None:
    module = ActivationModule("mish")
    assert kernel_reading(module.evaluation.activation, ()) is module.training_evaluation.kernel
