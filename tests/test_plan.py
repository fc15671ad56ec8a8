"""Plans: tails that are found, guards that are chosen, and formulas of users' own with no wrong value or NaN anywhere."""

from typing import Any

import numpy as np
import pytest
import sympy
import torch
from own_activations import OWN, Own
from sympy import Abs, Eq, Heaviside, Piecewise, atan, exp, sin, sqrt

from edgeacts.activations import activation, names
from edgeacts.definition import Activation, Parameter, X, sigmoid
from edgeacts.errors import UsageError
from edgeacts.modules import ActivationModule
from edgeacts.numpy_reading import NUMPY
from edgeacts.oracles import float64, high_precision
from edgeacts.plan import FAR, NumpyOps, Plan, asymptotes, parameter_samples, plan

pytestmark = pytest.mark.usefixtures("one_thread")
INF = np.inf


def line(a: Activation, side: int) -> Any:
    found = asymptotes(a)[side]
    return None if found is None else sympy.simplify(found)


# ---- tails


@pytest.mark.parametrize(
    ("formula", "left", "right"),
    [
        (X * sigmoid(X), 0, X),
        (X / (1 + Abs(X)), -1, 1),
        ((sqrt(X**2 + 1) - 1) / 2 + X, X / 2 - sympy.Rational(1, 2), 3 * X / 2 - sympy.Rational(1, 2)),
        (X + exp(-X), None, X),
        (exp(-exp(-X)), 0, 1),
        (sin(X), None, None),
        (X + sin(X), None, None),
        (X**2, None, None),
        (sqrt(Abs(X)), None, None),
        (Piecewise((X, X > 100), (0, True)), 0, X),
        (sympy.S(4), 4, 4),
        (X / 3, X / 3, X / 3),
    ],
    ids=str,
)
def test_tails_are_found_from_the_formula(formula: Any, left: Any, right: Any) -> None:
    own = Activation("own", formula, "here")
    for side, expected in ((0, left), (1, right)):
        assert line(own, side) == (None if expected is None else sympy.simplify(expected))


def test_irrational_tails() -> None:
    left, right = asymptotes(Activation("own", X * (atan(X) / sympy.pi + sympy.Rational(1, 2)), "here"))
    assert float(left) == pytest.approx(-1 / np.pi, rel=1e-15)
    assert float(right.subs(X, 0)) == pytest.approx(-1 / np.pi, rel=1e-15)


@pytest.mark.parametrize("name", names())
def test_declared_tails_are_the_formulas(name: str) -> None:
    """What the catalogue's files declare, against what is found from the formula at each sample of the parameters."""
    a = activation(name)
    for values in parameter_samples(a):
        fixed = a.fix(**values)
        declared = asymptotes(fixed)
        bare = Activation(a.name, fixed.formula, a.source)
        for given, found in zip(declared, asymptotes(bare), strict=True):
            assert given is not None
            assert found is not None
            difference = sympy.lambdify([X], given - found)
            assert abs(difference(0.0)) < 1e-12
            assert abs(difference(1e6)) < 1e-6


@pytest.mark.parametrize("name", names())
def test_declared_saturation_holds(name: str) -> None:
    """Beyond it, the value is the tail's to the last bit of its type."""
    a = activation(name)
    for limits, bits in ((a.saturation, 53), (a.saturation32 or a.saturation, 24)):
        if limits is None:
            continue
        for values in parameter_samples(a):
            symbols = {p.symbol: values[p.name] for p in a.parameters}
            if values.get("beta") == 0:
                continue
            for side, limit in enumerate(limits):
                x = float(sympy.sympify(limit).subs(symbols))
                tail = sympy.sympify(asymptotes(a)[side]).subs(symbols)
                difference = abs(float(high_precision(a, x, **values) - tail.subs(X, x)))
                assert difference <= 2.0**-bits * abs(x), (values, x)


# ---- guards


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_guards_that_were_chosen_are_needed(name: str, order: int) -> None:
    """Every evaluation runs them: one less must give a wrong value somewhere (the silent alternative is a slower program)."""
    a = activation(name)
    if a.parameters:
        a = a.fix(**a.values())
    chosen = plan(a, ("x",) * order)
    x = np.array(
        [
            -INF,
            -3e38,
            -1e20,
            -3e3,
            -400,
            -120,
            -90,
            -60,
            -30,
            30,
            60,
            90,
            120,
            400,
            3e3,
            1e20,
            3e38,
            INF,
            np.nan,
        ]
    )
    lesser = []
    if chosen.left is not None:
        lesser.append(Plan(chosen.program, None, chosen.right, chosen.capped, chosen.repair_nan))
    if chosen.right is not None:
        lesser.append(Plan(chosen.program, chosen.left, None, chosen.capped, chosen.repair_nan))
    if chosen.repair_nan:
        lesser.append(Plan(chosen.program, chosen.left, chosen.right, chosen.capped, repair_nan=False))
    for candidate in lesser:
        wrong = False
        for dtype in (np.float32, np.float64):
            with np.errstate(all="ignore"):
                got = np.broadcast_to(candidate.run(NumpyOps, x.astype(dtype), {}), x.shape)
                true = np.broadcast_to(chosen.run(NumpyOps, x.astype(dtype), {}), x.shape)
            wrong |= not np.allclose(got, true, rtol=1e-4, atol=1e-5, equal_nan=True)
        assert wrong


def test_relu_needs_no_guard_at_all() -> None:
    """The pair to the test above: guards are not put on what is right without."""
    chosen = plan(activation("relu"))
    assert (chosen.left, chosen.right, chosen.capped, chosen.repair_nan) == (None, None, False, False)


def test_guards_of_naive_formulas() -> None:
    assert plan(OWN["tanh_by_exp"].activation).capped or plan(OWN["tanh_by_exp"].activation).right is not None
    own = plan(OWN["pade_gate"].activation)
    assert own.left is not None
    assert not own.left.flat  # the formula cancels there: its tail is written out
    assert plan(OWN["sigmoid_by_exp"].activation).left is not None


def test_cuts_are_where_the_type_saturates() -> None:
    """float32 is cut before float64: evaluating further out only meets slow subnormal numbers."""
    left = plan(activation("tanhexp")).left
    assert left is not None
    single, double = (left.cut[size].run(NUMPY, {}) for size in (4, 8))
    assert -120 < single < -100
    assert -800 < double < -700
    slow = plan(OWN["softsign"].activation, ("x",)).right
    assert slow is not None
    assert 1e8 < slow.cut[4].run(NUMPY, {}) <= FAR


def test_nan_is_repaired_where_a_comparison_loses_it() -> None:
    for name in ("relu", "nish", "leaky_relu", "hardswish"):
        for order in (0, 1):
            with np.errstate(all="ignore"):
                a = activation(name)
                y = plan(a.fix(**a.values()), ("x",) * order).run(NumpyOps, np.array([np.nan, 1.0]), {})
            assert np.isnan(np.broadcast_to(y, 2)).tolist() == [True, False]


# ---- formulas of one's own, in float64 and in torch

POINTS = np.concatenate([np.linspace(-30, 30, 31), [-1e3, -100, -0.37, 0.21, 100, 1e3]])
FAR_OUT = np.array([-INF, -3e38, -1e30, -1e19, 1e19, 1e30, 3e38, INF])


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_own_formula_equals_mpmath(own: Own) -> None:
    for order in (0, 1):
        true = np.array(
            [float(high_precision(own.activation, p, order)) for p in np.float32(POINTS).astype(float)]
        )
        within = (
            own.within * (np.maximum(1, np.abs(POINTS)) if order == 0 else 10) * np.maximum(1, np.abs(true))
        )
        np.testing.assert_allclose(
            float64(own.activation, np.float32(POINTS).astype(float), order), true, rtol=1e-10, atol=1e-10
        )
        x = torch.tensor(POINTS, dtype=torch.float32, requires_grad=True)
        y = ActivationModule(own.activation)(x)
        got = y if order == 0 else torch.autograd.grad(y.sum(), x)[0]
        assert (np.abs(got.detach().double().numpy() - true) <= within).all(), np.abs(
            got.detach().numpy() - true
        ).max()


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_own_formula_far_out(own: Own) -> None:
    """Its tails as worked out by hand; no NaN where there is a limit, neither in the value nor in the derivative."""
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([*FAR_OUT, np.nan], dtype=dtype, requires_grad=True)
        y = ActivationModule(own.activation)(x)
        (slope,) = torch.autograd.grad(y, x, torch.ones_like(y))
        y, slope = y.detach().numpy(), slope.numpy()
        assert np.isnan(y[-1])
        assert np.isnan(slope[-1])
        for limit, side in ((own.left, slice(0, 4)), (own.right, slice(4, 8))):
            if limit is None:
                continue
            assert not np.isnan(y[side]).any()
            assert not np.isnan(slope[side]).any()
            if np.isinf(limit):
                assert (np.sign(y[side]) == np.sign(limit)).all()
                assert y[side][0 if side.start == 0 else -1] == limit
                assert (
                    np.abs(y[side]).min() > 40
                    if own.activation.name == "log_sign"
                    else np.abs(y[side]).min() > 4e18
                )
            else:
                np.testing.assert_allclose(y[side], limit, atol=1e-6)
                np.testing.assert_allclose(slope[side], 0, atol=1e-6)


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_gradient_of_own_formula(own: Own) -> None:
    x = 2 * torch.randn(6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x = torch.where((x % 1).abs() < 0.05, x + 0.1, x).requires_grad_()  # kinks are at whole numbers
    assert torch.autograd.gradcheck(ActivationModule(own.activation), (x,))
    assert torch.autograd.gradgradcheck(ActivationModule(own.activation), (x,))


@pytest.mark.parametrize("name", ["parametric", "snake"])
def test_own_formula_with_a_trained_parameter(name: str) -> None:
    """The naive gradient of x·tanh(k·eˣ) is NaN from x = 89 on; exponentials are capped when no tail is declared."""
    module = ActivationModule(OWN[name].activation, 2, trainable={"k": "channel"})
    x = torch.tensor([[-500.0, -3.0], [2.0, 95.0], [300.0, 1e4]], requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()
    assert module.k.grad.isfinite().all()
    assert module.k.grad.abs().max() > 0


def test_at_a_jump_and_at_a_single_point() -> None:
    step = Activation("own", Piecewise((1, Eq(X, 0)), (sin(X) / X, True)), "here")
    y = ActivationModule(step)(torch.tensor([0.0, 1.0, -INF, INF, float("nan")]))
    np.testing.assert_allclose(y.numpy(), [1, np.sin(1), 0, 0, np.nan], atol=1e-6)


def test_unknown_function_says_what_to_use_instead() -> None:
    with pytest.raises(
        UsageError, match=r"a formula cannot use Heaviside \(in Heaviside\(x\)\): write it with"
    ):
        ActivationModule(Activation("own", Heaviside(X), "here"))
    assert (
        ActivationModule(Activation("own", Piecewise((0, X < 0), (1, True)), "here"))(torch.tensor(2.0)) == 1
    )


def test_parameter_samples() -> None:
    a = Activation(
        "own", X, "here", (Parameter("p", 1.0, samples=(2.0, 3.0)), Parameter("q", 5.0, samples=(6.0,)))
    )
    assert parameter_samples(a) == [
        {"p": 1.0, "q": 5.0},
        {"p": 2.0, "q": 5.0},
        {"p": 3.0, "q": 5.0},
        {"p": 1.0, "q": 6.0},
    ]
