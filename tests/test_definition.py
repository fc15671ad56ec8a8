"""`Activation`: what it refuses and in which words, values of parameters, forms, derivatives, LaTeX."""

import copy
import pickle
from typing import Any

import pytest
import sympy
from sympy import Piecewise, Rational, exp

from edgeacts.atoms import sech2
from edgeacts.definition import Activation, Fact, Form, Parameter, X, normal_cdf, sigmoid, softplus
from edgeacts.errors import EdgeactsError, UsageError

K = Parameter("k", 0.5, samples=(2.0,))
P = Parameter("p", 3.0, trainable="layer")


def make(**changes: Any) -> Activation:
    given = {"name": "mine", "formula": K.symbol * X + P.symbol, "source": "here", "parameters": (K, P)}
    return Activation(**{**given, **changes})


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "Mine"}, "activation name 'Mine': use lower-case letters, digits and _, a letter first"),
        ({"name": "2nd"}, "activation name '2nd': use lower-case"),
        ({"name": "my-act"}, "activation name 'my-act': use lower-case"),
        ({"name": ""}, "activation name '': use lower-case"),
        ({"operator": "My Act"}, "activation mine: operator 'My Act' is not a name ONNX can hold"),
        (
            {"parameters": (K, K, P)},
            r"activation mine: parameter names must differ .*, not \['k', 'k', 'p'\]",
        ),
        ({"parameters": (K, P, Parameter("x", 1.0))}, "must differ from each other and from x and y"),
        ({"parameters": (K, P, Parameter("y", 1.0))}, "must differ from each other and from x and y"),
        ({"parameters": (K, P, Parameter("my k", 1.0))}, "parameter name 'my k': use letters, digits and _"),
        (
            {"forms": (Form("f", 0, "a", native="Relu"), Form("f", 0, "b", expression=X))},
            r"activation mine: form names must differ from each other, not \['f', 'f'\]",
        ),
        (
            {"forms": (Form("f", 0, "neither"),)},
            "mine: form 'f' needs an expression, a native operator or a program, one of them",
        ),
        (
            {"forms": (Form("f", 0, "both", native="Relu", expression=X),)},
            "needs an expression, a native operator or a program",
        ),
        (
            {"parameters": (K,)},
            r"activation mine: k\*x \+ p uses p, which is neither X \(edgeacts.definition.X\)",
        ),
        ({"parameters": ()}, "uses k, p, which is neither X"),
        ({"formula": sympy.Symbol("x") * 2}, r"activation mine: 2\*x uses x, which is neither X"),
        ({"left": sympy.Symbol("q")}, "activation mine: q uses q, which is neither"),
        ({"saturation": (sympy.Symbol("q"), 1)}, "activation mine: q uses q, which is neither"),
        ({"saturation32": (0, sympy.Symbol("q"))}, "activation mine: q uses q, which is neither"),
        ({"forms": (Form("f", 0, "why", expression=sympy.Symbol("q")),)}, "activation mine: q uses q, which"),
        (
            {"parameters": (K, Parameter("p", 1.0, trainable="row"))},  # type: ignore[arg-type]
            "activation mine: trainable='row' of p: use None, 'layer' or 'channel'",
        ),
    ],
    ids=lambda v: str(v)[:40],
)
def test_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_same_without_the_fault_is_taken() -> None:
    """The pair to the refusals."""
    mine = make(
        left=K.symbol * X, saturation=(-1 / K.symbol, P.symbol), saturation32=(-1, 1), operator="My_Act2"
    )
    assert (mine.name, mine.operator) == ("mine", "My_Act2")


def test_operator_is_the_camel_case_of_the_name() -> None:
    assert make(name="leaky_relu").operator == "LeakyRelu"
    assert make(name="a2_b").operator == "A2B"


# ---- values


def test_values() -> None:
    assert make().values() == {"k": 0.5, "p": 3.0}
    assert make().values({"p": 1}) == {"k": 0.5, "p": 1.0}
    with pytest.raises(UsageError, match="activation mine has no parameter 'q'; it has: k, p"):
        make().values({"q": 1})


def test_fix_replaces_symbols_everywhere() -> None:
    fixed = make(
        left=K.symbol * X + P.symbol,
        right=X,
        saturation=(-K.symbol, P.symbol),
        saturation32=(-P.symbol, K.symbol),
    ).fix(k=0.15)
    assert fixed.parameters == (P,)
    assert fixed.formula == Rational(3, 20) * X + P.symbol  # the decimal digits, not the binary fraction
    assert fixed.left == Rational(3, 20) * X + P.symbol
    assert fixed.right == X
    assert fixed.saturation == (-Rational(3, 20), P.symbol)
    assert fixed.saturation32 == (-P.symbol, Rational(3, 20))
    assert make().fix(k=1, p=2).formula == X + 2
    assert make().fix() == make().fix()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_fix_takes_numbers_only(value: float) -> None:
    with pytest.raises(UsageError, match=f"a parameter cannot be {value}"):
        make().fix(k=value)
    with pytest.raises(UsageError, match="activation mine has no parameter 'q'"):
        make().fix(q=1.0)


# ---- forms


def test_forms() -> None:
    cheap = Form("cheap", K.symbol / 100, "close", expression=X)
    mine = make(forms=(cheap,))
    assert mine.form("cheap") is cheap
    assert mine.form_names() == ("cheap", "exact")
    assert (mine.form("exact").bound, mine.form("exact").expression) == (0.0, mine.formula)
    assert cheap.bound_at({"k": 0.5, "p": 9.0}) == pytest.approx(0.005)
    with pytest.raises(UsageError, match="activation mine has no form 'dear'; it has: cheap, exact"):
        mine.form("dear")


def test_a_form_may_be_a_better_exact() -> None:
    """An expression named "exact" replaces the formula, and is listed once."""
    shorter = Form("exact", 0.0, "shorter", expression=X)
    mine = make(forms=(shorter, Form("other", 0.0, "native", native="Relu")))
    assert mine.form_names() == ("exact", "other")
    assert mine.form("exact") is shorter


# ---- expressions


def test_derivatives_by_x_and_by_parameters() -> None:
    mine = make(formula=sympy.tanh(K.symbol * X) + P.symbol * X**2)
    assert mine.derivative() == mine.stable
    assert mine.derivative("x") == K.symbol * sech2(K.symbol * X) + 2 * P.symbol * X
    assert mine.derivative("k") == X * sech2(K.symbol * X)
    assert mine.derivative("p", "x") == mine.derivative("x", "p") == 2 * X


def test_latex() -> None:
    """As it was written, and its derivative in the stable atoms."""
    assert make(formula=X / (1 + exp(-X)), parameters=()).latex() == r"\frac{x}{1 + e^{- x}}"
    assert make(formula=softplus(X), parameters=()).latex(1) == r"\sigma\left(x\right)"
    assert make(formula=X * normal_cdf(X), parameters=()).latex() == r"x \Phi\left(x\right)"


# ---- an immutable value


def test_equality_hash_and_copies() -> None:
    first, second = make(), make()
    assert first == second
    assert hash(first) == hash(second)
    assert first != make(formula=K.symbol * X)
    assert copy.deepcopy(first) is first
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301  # written on this line
    with pytest.raises(AttributeError):
        first.name = "other"  # type: ignore[misc]


def test_facts_have_a_reason_and_a_tolerance() -> None:
    fact = Fact(1.0, 2.0, "by hand")
    assert (fact.order, fact.within, dict(fact.parameters)) == (0, 5e-7, {})


def test_a_number_may_stand_for_an_expression() -> None:
    mine = make(formula=Piecewise((1, X > 0), (sigmoid(X), True)), parameters=(), left=0, right=1)
    assert (mine.left, mine.right) == (sympy.S.Zero, sympy.S.One)
    assert make(formula=1, parameters=()).formula == 1


def test_errors_are_of_one_family() -> None:
    assert issubclass(UsageError, EdgeactsError)
    assert issubclass(UsageError, ValueError)
