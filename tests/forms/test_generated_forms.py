"""Fitted forms: each is within its certified bound in float32, with and without fused multiply-adds, and ends as it should."""

from functools import cache

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray
from own_activations import OWN
from tuning_files import shipped_entries

from edgeacts.activations import activation
from edgeacts.definition import Activation, Form
from edgeacts.forms.certificate import certify
from edgeacts.forms.generating import LEVELS, generated_forms, subject_of
from edgeacts.forms.tuned import form_of
from edgeacts.numpy_reading import NUMPY
from edgeacts.oracles import float64, high_precision
from edgeacts.program import Program, Step
from edgeacts.quotient import fma

Floats = NDArray[np.float32]
EXTREMES = (
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-38,
    -1e-38,
    88.8,
    -88.8,
    104.0,
    -104.0,
    1e4,
    -1e4,
    1e10,
    -1e10,
    3e38,
    -3e38,
)
GRID = np.unique(np.concatenate([np.linspace(-30, 30, 60_001), np.geomspace(1e-6, 1, 301), EXTREMES])).astype(np.float32)  # fmt: skip


@cache
def shipped() -> dict[str, tuple[Activation, Form]]:
    """Every fitted form of the table that ships with edgeacts, by activation and name."""
    found = {}
    for entry in shipped_entries():
        for one in entry.activations:
            definition = activation(one.activation)
            found |= {
                f"{one.activation} {t.name}": (definition, form_of(definition, t))
                for t in one.forms
                if t.steps
            }
    return found


@cache
def own(name: str, level: float = 1e-3) -> tuple[Form, ...]:
    return generated_forms(OWN[name].activation, None, level)


SHIPPED = sorted(shipped())
GENERATED = ("elu", "gompertz", "softplus_plus", "bell", "tanh_by_exp")


def run(program: Program, x: Floats) -> Floats:
    """Each operation rounded to float32."""
    with np.errstate(all="ignore"):
        return np.asarray(program.run(NUMPY, {"x": x}), np.float32)


def run_fused(program: Program, x: Floats) -> Floats:
    """The same with each sum of a product rounded once, as vector units do."""
    values: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for step in program.steps:
            if step.op == "input":
                values.append(x)
            elif step.op == "constant":
                values.append(np.float32(step.value))
            elif step.op == "add" and (product := _product(program, step)) is not None:
                a, b, c = product
                values.append(fma(values[a], values[b], values[c]))
            else:
                values.append(np.asarray(NUMPY[step.op](*[values[i] for i in step.args]), np.float32))
    return values[-1]


def _product(program: Program, step: Step) -> tuple[int, int, int] | None:
    for one, other in (step.args, step.args[::-1]):
        if program.steps[one].op == "mul":
            return (*program.steps[one].args, other)
    return None


def error(definition: Activation, x: Floats, y: Floats) -> float:
    return float(np.max(np.abs(y - float64(definition, x)) / np.maximum(1.0, np.abs(x))))


@pytest.mark.parametrize("key", SHIPPED)
def test_shipped_form_is_within_its_bound(key: str) -> None:
    definition, form = shipped()[key]
    assert form.program is not None
    for y in (run(form.program, GRID), run_fused(form.program, GRID)):
        assert error(definition, GRID, y) <= form.bound


@pytest.mark.parametrize("key", SHIPPED)
def test_shipped_bound_is_what_the_certificate_says(key: str) -> None:
    definition, form = shipped()[key]
    assert form.program is not None
    assert certify(form.program, subject_of(definition, {})) == pytest.approx(form.bound, rel=1e-3)


@pytest.mark.parametrize("key", SHIPPED)
def test_shipped_form_at_infinities_and_nan(key: str) -> None:
    definition, form = shipped()[key]
    assert form.program is not None
    y = run(form.program, np.array([np.nan, np.inf, -np.inf], np.float32))
    expected = float64(definition, np.array([np.nan, np.inf, -np.inf]))
    assert np.isnan(y[0])
    assert y[1] == expected[1] or abs(y[1] - expected[1]) <= 10 * form.bound
    # Where the function ends as 0, the value where the gate was cut: at most the bound times that x.
    assert y[2] == expected[2] or abs(y[2] - expected[2]) <= 60 * form.bound


@pytest.mark.parametrize("x", [-9.0, -4.5, -1.0, -0.125, 0.75, 1.5, 6.0])
@pytest.mark.parametrize("name", ["mish", "tanhexp", "nish", "silu", "gelu"])
def test_shipped_forms_against_mpmath(name: str, x: float) -> None:
    exact = high_precision(activation(name), mpmath.mpf(x))
    forms = [form for key, (_, form) in shipped().items() if key.split()[0] == name]
    assert forms
    for form in forms:
        assert form.program is not None
        assert abs(float(exact) - float(run(form.program, np.array([x], np.float32))[0])) <= form.bound * max(
            1, abs(x)
        )


def test_bounds_are_not_vacuous() -> None:
    """What is certified for an error that fits leave is about that error: no more than 40 % and the rounding over it."""
    for key, (definition, form) in shipped().items():
        assert form.program is not None
        if form.bound > 5e-6 and "exponential" not in key:
            assert error(definition, GRID, run(form.program, GRID)) > 0.6 * (form.bound - 1e-6), key


# ---- other people's activations


@pytest.mark.parametrize("name", GENERATED)
def test_own_activation_gets_forms(name: str) -> None:
    definition = OWN[name].activation
    forms = own(name)
    assert forms
    x = GRID[np.abs(GRID) < 1e30]  # softplus_plus has 1.5 times as much
    for form in forms:
        assert form.bound <= 1e-3
        assert form.program is not None
        for y in (run(form.program, x), run_fused(form.program, x)):
            assert error(definition, x, y) <= form.bound, form.name
        ends = run(form.program, np.array([np.nan, np.inf, -np.inf], np.float32))
        assert np.isnan(ends[0])
        np.testing.assert_allclose(ends[1:], [OWN[name].right, OWN[name].left], atol=1e-2)


@pytest.mark.parametrize("name", ["softsign", "snake", "relu_squared", "squares", "wavy_left", "log_sign"])
def test_activation_without_forms(name: str) -> None:
    """Tails that are no lines, or are reached too slowly, and kinks inside the range: none rather than wrong ones."""
    assert own(name) == ()


def test_forms_follow_the_parameters() -> None:
    definition = OWN["parametric"].activation
    one, other = (generated_forms(definition, {"k": k}, 1e-3)[0] for k in (1.5, 0.5))
    assert one.program is not None
    fixed = definition.fix(k=1.5)
    assert error(fixed, GRID, run(one.program, GRID)) <= one.bound
    assert error(definition.fix(k=0.5), GRID, run(one.program, GRID)) > 10 * one.bound
    assert one.program != other.program


def test_no_forms_for_less_than_rounding() -> None:
    assert generated_forms(activation("nish"), None, 0.9 * LEVELS[-1]) == ()
    assert generated_forms(activation("nish"), None, 0.0) == ()


def test_formula_of_exponentials_becomes_one_exponential() -> None:
    forms = {f.name: f for f in own("mish_by_log")}
    program = forms["exponential"].program
    assert program is not None
    assert [op for op in program.operators() if op in ("exp", "div")] == ["exp", "div"]
    assert error(activation("mish"), GRID, run(program, GRID)) <= forms["exponential"].bound < 3e-6
    assert "exponential" not in {f.name for f in own("elu")}
