"""Rationals in eˣ: formulas of tanh, sigmoid, softplus and exponentials with one exponential and one division."""

from __future__ import annotations

from typing import Any

import sympy

from edgeacts.atoms import X, sigmoid
from edgeacts.definition import Activation, Form
from edgeacts.forms.certificate import certify
from edgeacts.forms.families import Writer
from edgeacts.program import Program
from edgeacts.tables.subject import Subject

_U = sympy.Symbol("u", positive=True)
_MOST = 6  # degree in eˣ
_LARGEST = 80.0  # e^80 still fits into float32, with room for a sum


def exponential_form(activation: Activation, subject: Subject) -> Form | None:
    """x·P(eˣ)/Q(eˣ) where the formula (without parameters) is that, with its certified bound; None where it is not."""
    rational = _rational(activation.formula)
    if rational is None or (subject.left, subject.right) != ((0.0, 0.0), (1.0, 0.0)):
        return None
    rows = [[float(c) for c in reversed(sympy.Poly(part, _U).all_coeffs())] for part in rational]
    degree = max(len(row) for row in rows) - 1
    if not 1 <= degree <= _MOST:
        return None
    program = _write(rows, subject, degree)
    bound = certify(program, subject)
    what = f"x·({rational[0]})/({rational[1]})".replace("**", "^")
    return Form("exponential", bound, f"{what} with u = e^x", program=program)


def _rational(formula: Any) -> tuple[Any, Any] | None:
    """Numerator and denominator of formula/x as polynomials in u = eˣ."""
    if formula.has(
        sympy.Piecewise, sympy.Max, sympy.Min, sympy.Abs, sympy.erf, sympy.sin, sympy.cos, sympy.atan
    ):
        return None
    gate = sympy.expand_mul(formula / X).replace(sigmoid, lambda u: 1 / (1 + sympy.exp(-u)))
    gate = gate.rewrite(sympy.exp).subs(sympy.exp(X), _U)
    try:
        gate = sympy.cancel(sympy.together(sympy.expand_power_exp(gate)))
    except (sympy.PolynomialError, NotImplementedError, ZeroDivisionError):
        # SymPy refuses so, from different depths, what is no quotient of polynomials: there is no form of this kind then.
        return None
    if gate.free_symbols != {_U}:
        return None
    above, below = sympy.fraction(gate)
    if not (above.is_polynomial(_U) and below.is_polynomial(_U)):
        return None
    return sympy.expand(above), sympy.expand(below)


def _write(rows: list[list[float]], subject: Subject, degree: int) -> Program:
    w = Writer()
    lo, hi = subject.ends(1e-9)
    outer, inner = w.ends(lo, min(hi, _LARGEST / degree), keep=(False, True))
    u = w.emit("exp", inner)
    lead = rows[1][-1]
    above, below = ([c / lead for c in row] for row in rows)
    return w.finish(w.emit("mul", outer, w.emit("div", w.horner(above, u), w.horner(below, u))))
