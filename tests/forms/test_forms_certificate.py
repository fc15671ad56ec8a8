"""The certificate: changed coefficients, wrong ends and poles are refused; what is sound is not."""

from dataclasses import replace

import numpy as np
import pytest

from edgeacts.activations import activation
from edgeacts.definition import Activation, X, sigmoid
from edgeacts.forms.certificate import certify, is_sound, value_and_rounding
from edgeacts.forms.families import Writer
from edgeacts.forms.generating import generated_forms, subject_of
from edgeacts.program import Program

SILU = Activation("silu_here", X * sigmoid(X), "test")


def nish_form() -> Program:
    program = generated_forms(activation("nish"), None, 1e-3)[0].program
    assert program is not None
    return program


def changed(program: Program, place: int, factor: float) -> Program:
    steps = list(program.steps)
    steps[place] = replace(steps[place], value=float(np.float32(steps[place].value) * np.float32(factor)))
    return replace(program, steps=tuple(steps))


def constants(program: Program) -> list[int]:
    return [i for i, s in enumerate(program.steps) if s.op == "constant" and s.value != 0.0]


def test_unchanged_form_passes() -> None:
    assert certify(nish_form(), subject_of(activation("nish"), {})) <= 1e-3


@pytest.mark.parametrize("factor", [0.95, 1.05, -1.0])
def test_changed_coefficient_fails(factor: float) -> None:
    program, subject = nish_form(), subject_of(activation("nish"), {})
    users = {i: [s.op for s in program.steps if i in s.args] for i in constants(program)}
    coefficients = [i for i, ops in users.items() if "max" not in ops and "min" not in ops]
    assert len(coefficients) >= 4
    for place in coefficients:
        assert certify(changed(program, place, factor), subject) > 1e-3, program.steps[place]


def test_changed_clamp_fails() -> None:
    program, subject = nish_form(), subject_of(activation("nish"), {})
    (low,) = [i for i in constants(program) if any(s.op == "max" and i in s.args for s in program.steps)]
    assert certify(changed(program, low, 0.5), subject) > 1e-3


def test_form_of_another_function_fails() -> None:
    assert certify(nish_form(), subject_of(activation("mish"), {})) > 0.1


def write(how: str) -> Program:
    w = Writer()
    x = w.x()
    if how == "silu":
        gate = w.emit("div", w.number(1.0), w.emit("add", w.number(1.0), w.emit("exp", w.emit("neg", x))))
        outer, _ = w.ends(-30.0, 30.0, keep=(False, True))
        inner = w.emit("exp", w.emit("neg", w.most(-30.0, x)))
        gate = w.emit("div", w.number(1.0), w.emit("add", w.number(1.0), inner))
        return w.finish(w.emit("mul", outer, gate))
    if how == "zero times infinity":
        gate = w.emit("div", w.number(1.0), w.emit("add", w.number(1.0), w.emit("exp", w.emit("neg", x))))
        return w.finish(w.emit("mul", x, gate))
    if how == "swallows NaN":
        return w.finish(w.emit("select", w.emit("lt", x, w.number(1e30)), write_into(w, x), w.number(0.0)))
    if how == "unknown operator":
        return w.finish(w.emit("mul", x, w.emit("sigmoid", w.most(-30.0, x))))
    if how == "pole":
        inner = w.least(5.0, w.most(-5.0, x))
        return w.finish(w.emit("mul", x, w.emit("div", inner, inner)))
    raise AssertionError(how)


def write_into(w: Writer, x: int) -> int:
    return w.emit("mul", x, w.number(1.0))


def test_rational_in_an_exponential_passes() -> None:
    assert certify(write("silu"), subject_of(SILU, {})) < 3e-6


@pytest.mark.parametrize("how", ["zero times infinity", "swallows NaN", "unknown operator", "pole"])
def test_unsound_program_is_refused(how: str) -> None:
    assert certify(write(how), subject_of(SILU, {})) == float("inf")


def test_why_zero_times_infinity_is_refused() -> None:
    subject = subject_of(SILU, {})
    assert is_sound(write("silu"), subject)
    assert not is_sound(write("zero times infinity"), subject)


def test_rounding_bound_holds_and_is_no_tenfold() -> None:
    """Running error analysis of a Horner scheme, against float32 itself."""
    w = Writer()
    program = w.finish(w.horner([0.3, -1.7, 0.9, 2.3, -0.4, 1.0], w.x()))
    x = np.linspace(-3, 3, 20_001).astype(np.float32)
    exact, bound = value_and_rounding(program, x.astype(np.float64))
    from edgeacts.numpy_reading import NUMPY

    off = np.abs(np.asarray(program.run(NUMPY, {"x": x}), np.float32) - exact)
    assert np.all(off <= bound)
    assert off.max() > 0.1 * bound.max()
    wanted = np.polynomial.polynomial.polyval(
        x.astype(np.float64), np.float32([0.3, -1.7, 0.9, 2.3, -0.4, 1.0])
    )
    np.testing.assert_allclose(exact, wanted, rtol=1e-12, atol=1e-12)


def test_leading_one_costs_no_multiplication() -> None:
    w = Writer()
    assert w.finish(w.horner([2.0, 3.0, 1.0], w.x())).operators() == ("add", "mul", "add")
    w = Writer()
    assert w.finish(w.horner([2.0, 3.0, 4.0], w.x())).operators() == ("mul", "add", "mul", "add")
