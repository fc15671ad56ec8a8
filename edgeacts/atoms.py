"""σ(u), softplus(u), Φ(u), sech²(u): SymPy functions whose derivatives stay accurate where the textbook forms cancel or overflow.

A definition may be written with SymPy's own functions (`exp`, `log`, `tanh`, `Max`, ...). `stabilise` rewrites what is
numerically fragile into these atoms: log(1 + e^u), 1/(1 + e^u), tanh (whose derivative SymPy writes as 1 - tanh²,
which cancels), Min and Max (whose derivative SymPy writes with Heaviside, which is 1/2 at a tie).
"""

from typing import Any

import sympy

X = sympy.Symbol("x", real=True)


class sigmoid(sympy.Function):  # type: ignore[misc]  # noqa: N801  # SymPy's functions are lower case
    """σ(u) = 1 / (1 + e^-u)."""

    @classmethod
    def eval(cls, u: Any) -> Any:
        """Exact values at 0 and at the infinities."""
        return {sympy.S.Zero: sympy.Rational(1, 2), sympy.oo: sympy.S.One, -sympy.oo: sympy.S.Zero}.get(u)

    def fdiff(self, argindex: int = 1) -> Any:
        """σ'(u) = σ(u)·σ(-u), without cancellation."""
        return sigmoid(self.args[0]) * sigmoid(-self.args[0])

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return _latex_call(r"\sigma", printer._print(self.args[0]), exp)


class softplus(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """softplus(u) = ln(1 + e^u)."""

    @classmethod
    def eval(cls, u: Any) -> Any:
        """Exact values at the infinities."""
        return {sympy.oo: sympy.oo, -sympy.oo: sympy.S.Zero}.get(u)

    def fdiff(self, argindex: int = 1) -> Any:
        """softplus'(u) = σ(u)."""
        return sigmoid(self.args[0])

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return _latex_call(r"\operatorname{softplus}", printer._print(self.args[0]), exp)


class sech2(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """sech²(u) = 1 / cosh²(u) = 1 - tanh²(u)."""

    def fdiff(self, argindex: int = 1) -> Any:
        """-2·tanh(u)·sech²(u)."""
        return -2 * stable_tanh(self.args[0]) * sech2(self.args[0])

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return _latex_call(r"\operatorname{sech}^2", printer._print(self.args[0]), exp)


class stable_tanh(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """tanh(u) with the derivative sech²(u)."""

    @classmethod
    def eval(cls, u: Any) -> Any:
        """Exact value at 0."""
        return sympy.S.Zero if u == 0 else None

    def fdiff(self, argindex: int = 1) -> Any:
        """sech²(u)."""
        return sech2(self.args[0])

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return _latex_call(r"\tanh", printer._print(self.args[0]), exp)


class normal_cdf(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """Φ(u) = erfc(-u/√2)/2. SymPy turns erfc(-u) into 2 - erfc(u), which cancels for negative u; this stays as it is."""

    def fdiff(self, argindex: int = 1) -> Any:
        """φ(u) = e^(-u²/2)/√(2π)."""
        return sympy.exp(-(self.args[0] ** 2) / 2) / sympy.sqrt(2 * sympy.pi)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return _latex_call(r"\Phi", printer._print(self.args[0]), exp)


class maximum(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """max(a, b); at a tie the derivative is a's."""

    def fdiff(self, argindex: int = 1) -> Any:
        """1 for the argument that is taken, 0 for the other."""
        a, b = self.args
        return sympy.Piecewise((int(argindex == 1), b <= a), (int(argindex == 2), True))


class minimum(sympy.Function):  # type: ignore[misc]  # noqa: N801
    """min(a, b); at a tie the derivative is a's."""

    def fdiff(self, argindex: int = 1) -> Any:
        """1 for the argument that is taken, 0 for the other."""
        a, b = self.args
        return sympy.Piecewise((int(argindex == 1), b >= a), (int(argindex == 2), True))


def _latex_call(name: str, argument: str, power: str | None) -> str:
    call = rf"{name}\left({argument}\right)"
    return call if power is None else rf"{{{call}}}^{{{power}}}"


# What lambdify needs to evaluate the atoms with mpmath.
MPMATH_ATOMS = {
    "sigmoid": lambda u: 1 / (1 + _mp().exp(-u)),
    "softplus": lambda u: _mp().log1p(_mp().exp(u)),
    "sech2": lambda u: _mp().sech(u) ** 2,
    "stable_tanh": lambda u: _mp().tanh(u),
    "normal_cdf": lambda u: _mp().erfc(-u / _mp().sqrt(2)) / 2,
    "maximum": max,
    "minimum": min,
}


def _mp() -> Any:
    import mpmath

    return mpmath.mp


def stabilise(expression: Any) -> Any:
    """The same function, written so that float arithmetic neither overflows nor cancels where it need not."""
    return sympy.sympify(expression).replace(lambda e: bool(e.args), _stabilise_node)


def _stabilise_node(node: Any) -> Any:
    if isinstance(node, sympy.tanh):
        return stable_tanh(node.args[0])
    if isinstance(node, sympy.DiracDelta):  # the derivative of sign(u), which is 0 but at the jump
        return sympy.S.Zero
    if isinstance(node, sympy.Max | sympy.Min):
        return _extremum(node)
    if isinstance(node, sympy.log) and (exponent := _one_plus_exp(node.args[0])) is not None:
        return softplus(exponent)
    if isinstance(node, sympy.Pow) and (exponent := _one_plus_exp(node.base)) is not None:
        return sigmoid(-exponent) ** -node.exp if node.exp.is_negative else node
    if isinstance(node, sympy.Mul):
        return _exp_times_sigmoid(node)
    return node


def _one_plus_exp(node: Any) -> Any:
    """`u` when the node is 1 + e^u, otherwise None."""
    if isinstance(node, sympy.Add) and len(node.args) == 2 and sympy.S.One in node.args:
        other = next(a for a in node.args if a != 1)
        if isinstance(other, sympy.exp):
            return other.args[0]
    return None


def _exp_times_sigmoid(node: Any) -> Any:
    """e^u·σ(-u) = σ(u)."""
    for factor in node.args:
        if isinstance(factor, sympy.exp) and sigmoid(-factor.args[0]) in node.args:
            u = factor.args[0]
            rest = [a for a in node.args if a not in (factor, sigmoid(-u))]
            return sympy.Mul(sigmoid(u), *rest)
    return node


def _extremum(node: Any) -> Any:
    """Max and Min as nested two-argument atoms, the arguments without x first: they win ties, as in torch's ReLU."""
    atom = maximum if isinstance(node, sympy.Max) else minimum
    arguments = sorted(node.args, key=lambda a: (a.has(X), sympy.default_sort_key(a)))
    result = arguments[0]
    for argument in arguments[1:]:
        result = atom(result, argument)
    return result
