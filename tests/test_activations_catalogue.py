"""The catalogue: every fact holds in every evaluation; names are unique; where a paper is wrong, a test shows it."""

import importlib
import inspect
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy
import torch
from sympy import Rational, cos, erf, exp, pi, sin, sqrt, tanh

import edgeacts.activations as catalogue_module
from edgeacts.activations import activation, by_name, catalogue, names
from edgeacts.activations.sau import exact_convolution
from edgeacts.atoms import MPMATH_ATOMS
from edgeacts.definition import Activation, Fact, X, sigmoid
from edgeacts.errors import UsageError
from edgeacts.modules import ActivationModule
from edgeacts.oracles import float64, high_precision, minimum

FACTS = [
    pytest.param(n, f, id=f"{n} f{chr(39) * f.order}({f.x:g})") for n in names() for f in activation(n).facts
]
TEN = ("relu", "relu6", "leaky_relu", "silu", "hardswish", "gelu", "mish", "tanhexp", "nish", "sau")


# ---- facts, known from elsewhere than the formula


@pytest.mark.parametrize(("name", "fact"), FACTS)
def test_fact_in_float64(name: str, fact: Fact) -> None:
    got = float(float64(activation(name), fact.x, fact.order, **fact.parameters))
    assert got == pytest.approx(fact.y, rel=0, abs=fact.within), fact.why


@pytest.mark.parametrize(("name", "fact"), FACTS)
def test_fact_in_mpmath(name: str, fact: Fact) -> None:
    got = float(high_precision(activation(name), fact.x, fact.order, **fact.parameters))
    if fact.order and any(fact.x == kink for kink in {"relu": (0,), "relu6": (0, 6)}.get(name, ())):
        assert got in (0, 1, Rational(1, 2))  # at a kink SymPy's derivative is not torch's
        return
    assert got == pytest.approx(fact.y, rel=0, abs=fact.within), fact.why


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "fact"), FACTS)
def test_fact_in_torch(name: str, fact: Fact, dtype: torch.dtype) -> None:
    trained = dict.fromkeys((p.name for p in activation(name).parameters), None)
    x = torch.tensor([fact.x], dtype=dtype, requires_grad=True)
    y = ActivationModule(name, trainable=trained, **fact.parameters)(x)
    got = y if fact.order == 0 else torch.autograd.grad(y.sum(), x)[0]
    slack = 0 if dtype == torch.float64 else 3 * torch.finfo(dtype).eps * max(1, abs(fact.x))
    assert float(got.detach()) == pytest.approx(fact.y, rel=0, abs=fact.within + slack), fact.why


@pytest.mark.parametrize("name", names())
def test_every_definition_is_documented_and_has_facts(name: str) -> None:
    a = activation(name)
    assert len(a.facts) >= 3
    assert {f.order for f in a.facts} >= ({0} if name == "hardswish" else {0, 1})
    assert all(f.why and 0 <= f.within <= 0.01 for f in a.facts)
    assert len(a.source) > 10
    assert any(str(year) in a.source for year in range(2000, 2030)) or "Anagun" in a.source
    document = importlib.import_module(f"edgeacts.activations.{name}").__doc__
    assert document is not None
    assert "x" in document.splitlines()[0], "the first line holds the formula"
    assert a.latex()
    assert a.latex(1)


def test_one_file_each() -> None:
    folder = Path(inspect.getfile(catalogue_module)).parent
    assert sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__") == sorted(names())


# ---- the list


def test_names() -> None:
    assert names()[: len(TEN)] == TEN
    assert list(catalogue()) == list(names())
    assert all(activation(n).name == n for n in names())


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        activation("tanhexpp")
    assert (
        str(caught.value)
        == f"unknown activation 'tanhexpp': did you mean tanhexp? valid: {', '.join(names())}"
    )
    with pytest.raises(UsageError, match="unknown activation 'qqq': valid: relu, relu6"):
        activation("qqq")


def test_duplicate_name_names_both() -> None:
    first, second = Activation("twin", X, "paper A"), Activation("twin", 2 * X, "paper B", operator="Other")
    with pytest.raises(UsageError, match="activation 'twin' is defined twice: paper A and paper B"):
        by_name((first, second))
    assert list(by_name((first,))) == ["twin"]


def test_duplicate_operator_names_both() -> None:
    first, second = Activation("one", X, "a", operator="Same"), Activation("two", X, "b", operator="Same")
    with pytest.raises(UsageError, match="activations one and two both have operator Same"):
        by_name((first, second))


def test_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalogue()["mine"] = activation("relu")  # type: ignore[index]


# ---- where the papers are right, and where not


def at(expression: sympy.Expr, x: float, **values: float) -> float:
    names_, numbers = list(values), list(values.values())
    symbols = [sympy.Symbol(n, real=True) for n in names_]
    f = sympy.lambdify([X, *symbols], expression, modules=[MPMATH_ATOMS, "mpmath"])
    with mpmath.workdps(40):
        return float(f(mpmath.mpf(x), *map(mpmath.mpf, numbers)))


GRID = [-9.0, -4.5, -2.0, -1.0829, -0.5, -0.01, 0.3, 1.0, 3.0]


def test_tanhexp_derivative_is_the_papers() -> None:
    paper = tanh(exp(X)) - X * exp(X) * (tanh(exp(X)) ** 2 - 1)  # eq. 5
    for x in GRID:
        assert float(float64(activation("tanhexp"), x, 1)) == pytest.approx(at(paper, x), rel=1e-12)


def test_tanhexp_minimum_is_not_near_minus_1_1() -> None:
    """The paper's value -0.3532 is right, its place -1.100 is not: the slope there is -0.0073."""
    tanhexp = activation("tanhexp")
    found = minimum(tanhexp)
    assert found is not None
    assert found[0] == pytest.approx(-1.07886, abs=1e-5)
    assert found[1] == pytest.approx(-0.353286, abs=1e-6)
    assert high_precision(tanhexp, -1.100, order=1) < -0.007
    assert high_precision(tanhexp, -1.100) > found[1] + 1e-5


def test_mish_derivative_is_the_papers() -> None:
    omega = 4 * (X + 1) + 4 * exp(2 * X) + exp(3 * X) + exp(X) * (4 * X + 6)
    delta = 2 * exp(X) + exp(2 * X) + 2
    for x in GRID:
        assert float(float64(activation("mish"), x, 1)) == pytest.approx(
            at(exp(X) * omega / delta**2, x), rel=1e-10
        )


def test_nish_range_is_not_mishs() -> None:
    """The paper gives [≈ -0.31, ∞)."""
    found, mish = minimum(activation("nish")), minimum(activation("mish"))
    assert found is not None
    assert mish is not None
    assert found[1] == pytest.approx(-0.497371, abs=1e-6)
    assert found[1] < -0.31 - 0.18
    assert mish[1] == pytest.approx(-0.31, abs=2e-3)


def test_nish_eq_4_is_not_the_derivative() -> None:
    """Eq. 4, x(1-x)(1+cos x), literally or with σ(x) for x; the derivative is the one in the docstring."""
    literally = X * (1 - X) * (1 + cos(X))
    meant = sigmoid(X) * (1 - sigmoid(X)) * (1 + cos(X))
    right = sigmoid(X) * (1 - sigmoid(X)) * (X + sin(X)) + sigmoid(X) * (1 + cos(X))
    for x in (-4.5, -2.0, -0.5, -0.01):
        true = float(high_precision(activation("nish"), x, order=1))
        assert at(right, x) == pytest.approx(true, rel=1e-12)
        assert abs(at(literally, x) - true) > 0.05
        assert abs(at(meant, x) - true) > 0.02
    assert at(right, -1e-12) == pytest.approx(1, abs=1e-9)  # C¹
    assert at(meant, -1e-12) == pytest.approx(0.5, abs=1e-9)


def convolved(x: float, alpha: float, n: float) -> float:
    """∫ LeakyReLU(x - t)·φ_n(t) dt with the Gaussian of width 1/n, by quadrature."""
    with mpmath.workdps(25):
        a, width = mpmath.mpf(alpha), mpmath.mpf(n)

        def integrand(t: mpmath.mpf) -> mpmath.mpf:
            u = mpmath.mpf(x) - t
            density = width / mpmath.sqrt(2 * mpmath.pi) * mpmath.exp(-((width * t) ** 2) / 2)
            return (u if u > 0 else a * u) * density

        return float(mpmath.quad(integrand, sorted([-12 / width, mpmath.mpf(x), 12 / width])))


PAPER_3 = (
    sqrt(2 / pi) / (2 * sympy.Symbol("n", real=True)) * exp(-((sympy.Symbol("n", real=True) * X) ** 2) / 2)
)


def eq_3(*, centred: bool) -> sympy.Expr:
    n, alpha = sympy.symbols("n alpha", real=True)
    rest = (1 + alpha) / 2 * X + (1 - alpha) / 2 * X * erf(n * X / sqrt(2))
    return (X if centred else 1) * PAPER_3 + rest


@pytest.mark.parametrize(("alpha", "n"), [(0.15, 1.0), (0.0, 2.0), (-0.3, 1.0), (1.0, 3.0)])
def test_sau_eq_3_is_not_the_convolution(alpha: float, n: float) -> None:
    """The first term lacks the factor (1-α): `exact_convolution` has it, and quadrature agrees with that one."""
    for x in (-1.3, -0.2, 0.0, 0.4, 2.0):
        true = convolved(x, alpha, n)
        exact = exact_convolution(X, *sympy.symbols("alpha n", real=True))
        assert at(exact, x, alpha=alpha, n=n) == pytest.approx(true, rel=1e-12, abs=1e-12)
        missing = at(eq_3(centred=False), x, alpha=alpha, n=n) - true
        assert missing == pytest.approx(alpha * at(PAPER_3, x, n=n), abs=1e-12)
        if alpha and abs(x) < 1:
            assert abs(missing) > 0.005


def test_sau_is_the_centred_variant() -> None:
    for alpha, n in ((0.15, 20000.0), (-0.3, 1.0), (0.15, 1.0)):
        for x in (-3 / n, -0.7 / n, 0.0, 1.2 / n, 2.0):
            assert float(high_precision(activation("sau"), x, alpha=alpha, n=n)) == pytest.approx(
                at(eq_3(centred=True), x, alpha=alpha, n=n), rel=1e-12, abs=1e-20
            )
    assert float(float64(activation("sau"), 0.0, n=1.0)) == 0
    assert at(eq_3(centred=False), 0.0, alpha=0.15, n=1.0) == pytest.approx(0.3989, abs=1e-4)


def test_sau_eq_4_is_the_derivative_of_eq_3_only() -> None:
    n, alpha = sympy.symbols("n alpha", real=True)
    bump = exp(-(n**2) * X**2 / 2)
    eq_4 = (
        -(n**2) * X / (2 * n) * sqrt(2 / pi) * bump
        + (1 + alpha) / 2
        + (1 - alpha) / 2 * erf(n * X / sqrt(2))
        + n * (1 - alpha) / sqrt(2 * pi) * X * bump
    )
    assert sympy.simplify(sympy.diff(eq_3(centred=False), X) - eq_4) == 0
    at_half = float(high_precision(activation("sau"), 0.5, order=1, n=1.0))
    assert abs(at(eq_4, 0.5, alpha=0.15, n=1.0) - at_half) > 0.3


def test_sau_is_leaky_relu_within_its_forms_bound() -> None:
    """At n = 20000, 7.2e-6; the bound of the form "leaky" holds for any α and n, and is no more than 1 % too large."""
    sau, form = activation("sau"), activation("sau").form("leaky")
    for alpha in (0.15, 0.0, 1.0, -0.3, 0.9):
        for n in (1.0, 50.0, 20000.0):
            t = np.concatenate([np.linspace(-6, 6, 4001), [-1e3, 1e3]])
            x = t / n
            difference = float64(sau, x, alpha=alpha, n=n) - np.where(x > 0, x, alpha * x)
            worst = float(np.max(np.abs(difference)))
            bound = form.bound_at({"alpha": alpha, "n": n})
            assert worst <= bound
            assert worst >= 0.4 * bound or n == 1.0
    assert form.bound_at({"alpha": 0.15, "n": 20000.0}) == pytest.approx(7.2e-6, abs=5e-8)


def test_docstrings_say_where_the_papers_are_wrong() -> None:
    for name, words in {
        "tanhexp": ("-1.100", "-1.07886", "-0.353286"),
        "nish": ("-0.31", "-0.497371", "eq. 4 is not"),
        "sau": ("eq. 3", "is not", "(1-α)", "Eq. 4"),
    }.items():
        document = " ".join((importlib.import_module(f"edgeacts.activations.{name}").__doc__ or "").split())
        assert all(word in document for word in words), name
