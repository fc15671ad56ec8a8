"""Expression -> program: what steps it has, that equal parts are shared, and that every reading computes the same."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import onnx
import onnxruntime
import pytest
import sympy
import torch
from onnx import TensorProto, helper
from sympy import And, Eq, Ne, Or, Piecewise, Rational, cos, erf, exp, sin, sqrt

from edgeacts import forms
from edgeacts.activations import activation
from edgeacts.atoms import MPMATH_ATOMS, X, maximum, normal_cdf, sech2, sigmoid, softplus
from edgeacts.cpu_reading import CPU, CpuOps
from edgeacts.errors import UsageError
from edgeacts.numpy_reading import NUMPY, NUMPY_CAPPED
from edgeacts.program import OPERATORS, Program, _Builder, compile_program
from edgeacts.torch_reading import TORCH, DoubleOps, TorchOps

A, B = sympy.symbols("a b", real=True)


# ---- compiling


@pytest.mark.parametrize(
    ("expression", "operators"),
    [
        (X + 1, "add"),
        (1 - X, "sub"),
        (-X, "neg"),
        (-X - 1, "neg sub"),
        (X - A, "sub"),
        (2 * X, "mul"),
        (X / A, "div"),
        (1 / X, "div"),
        (X**2, "square"),
        (X**3, "square mul"),
        (X**4, "square square"),
        (X**7, "square mul square mul"),
        (X**-2, "square div"),
        (X ** Rational(5, 2), "pow"),
        (sqrt(X), "sqrt"),
        (X * sigmoid(X), "sigmoid mul"),
        (X / (1 + X**2), "square add div"),
        (Piecewise((X, X > 0), (A * X, True)), "mul lt select"),
        (Piecewise((1, And(X > 0, X <= 3)), (0, True)), "lt le and select"),
        (Piecewise((1, Or(X > 0, Eq(X, -1))), (0, True)), "eq lt or select"),
    ],
    ids=str,
)
def test_steps(expression: sympy.Expr, operators: str) -> None:
    assert sorted(compile_program(expression).operators()) == sorted(operators.split())


def test_equal_parts_are_computed_once() -> None:
    program = compile_program(exp(X) / (1 + exp(X)) + sin(exp(X)))
    assert program.operators().count("exp") == 1
    assert len({(s.op, s.args, repr(s.value)) for s in program.steps}) == len(program.steps)


def test_numbers_and_truth_values_do_not_mix() -> None:
    """0 and False are equal in Python."""
    builder = _Builder()
    places = [builder.constant(v) for v in (0.0, False, 1.0, True, 0.0, False)]
    assert places == [0, 1, 2, 3, 0, 1]
    assert [s.value for s in builder.steps] == [0.0, False, 1.0, True]
    assert [type(s.value) for s in builder.steps] == [float, bool, float, bool]


def test_inputs_are_named_x_first() -> None:
    assert compile_program(A * X + B).inputs == ("x", "a", "b")
    assert compile_program(B + A).inputs == ("a", "b")
    assert compile_program(sympy.S(2)).inputs == ()


def test_a_shared_step_may_be_the_result() -> None:
    program = compile_program(sigmoid(X))
    assert program.steps[-1].op == "sigmoid"
    assert compile_program(X).run(NUMPY, {"x": 3.0}) == 3.0
    assert compile_program(sympy.pi).run(NUMPY, {}) == pytest.approx(np.pi)


def test_parameters_are_multiplied_before_x() -> None:
    """A product of two parameters is a number, not a tensor."""
    first = next(s for s in compile_program(X * A * B).steps if s.op == "mul")
    names = [compile_program(X * A * B).steps[i].value for i in first.args]
    assert names == ["a", "b"]


def test_x_joins_after_the_division() -> None:
    """(x·u)/v overflows where x·(u/v) does not."""
    big = np.array([1e30], np.float32)
    value = compile_program(X * A / (A + 1)).run(NUMPY, {"x": big, "a": np.float32(1e30)})
    assert value == pytest.approx(1e30)


def test_intermediate_results_are_dropped() -> None:
    """A result is let go after its last use, so that a large tensor's memory is returned."""
    alive: list[int] = []

    class Counted:
        count = 0

        def __init__(self) -> None:
            Counted.count += 1

        def __del__(self) -> None:
            Counted.count -= 1

    def step(*_: Any) -> Counted:
        alive.append(Counted.count)
        return Counted()

    program = compile_program(sin(cos(sin(cos(sin(X))))))
    result = program.run(dict.fromkeys(OPERATORS, step), {"x": 0})
    assert max(alive) == 1
    assert isinstance(result, Counted)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (sympy.gamma(X), r"a formula cannot use gamma \(in gamma\(x\)\): write it with .*tanh"),
        (
            Piecewise((X, Ne(X, 0)), (0, True)),
            r"a Piecewise condition cannot be .*: use <, <=, >, >=, Eq, And, Or",
        ),
        (Piecewise((X, X > 0)), r"the last branch of a Piecewise needs the condition True, not x > 0"),
        (sympy.zoo, "a formula cannot use the number zoo: it is not real"),
        (2 * sympy.I * X, r"a formula cannot use the number 2\*I: it is not real"),
    ],
    ids=str,
)
def test_what_cannot_be_read(expression: sympy.Expr, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        compile_program(expression)


# ---- the tables


def test_every_reading_has_every_operator() -> None:
    for table in (
        NUMPY,
        NUMPY_CAPPED,
        TORCH,
        CPU,
        *(t for o in (TorchOps, DoubleOps, CpuOps) for t in (o.table, o.capped_table)),
    ):
        assert set(table) == set(OPERATORS)
    assert set(forms.ONNX) | set(forms.SEVERAL) == set(OPERATORS)
    assert not set(forms.ONNX) & set(forms.SEVERAL)


POSITIVE = {"log", "sqrt", "pow"}
BOOLEAN_ARGUMENTS = {"and": (0, 1), "or": (0, 1), "select": (0,)}
BOOLEAN_RESULT = {"lt", "le", "eq", "and", "or"}


def arguments(op: str) -> list[np.ndarray]:
    random = np.random.default_rng(sorted(OPERATORS).index(op))
    values = [random.normal(0, 3, 200).astype(np.float32) for _ in range(OPERATORS[op])]
    if op in POSITIVE:
        values = [np.abs(v) + np.float32(0.1) for v in values]
    if op in ("eq", "le", "max", "min"):
        values[1][::3] = values[0][::3]
    for i in BOOLEAN_ARGUMENTS.get(op, ()):
        values[i] = values[i] > 0
    return values


def close(got: np.ndarray, true: np.ndarray) -> None:
    assert got.shape == true.shape
    np.testing.assert_allclose(got.astype(np.float64), true.astype(np.float64), rtol=3e-6, atol=3e-7)


@pytest.mark.parametrize("op", OPERATORS)
def test_torch_agrees_with_numpy(op: str) -> None:
    values = arguments(op)
    got = TORCH[op](*[torch.from_numpy(v) for v in values])
    close(got.numpy(), NUMPY[op](*values))


@pytest.mark.parametrize("op", OPERATORS)
def test_cpu_agrees_with_numpy(op: str) -> None:
    """Conditions are 0.0 and 1.0 there."""
    values = arguments(op)
    tensors = [torch.from_numpy(v.astype(np.float32)) for v in values]
    got = CPU[op](*tensors)
    assert got.dtype == torch.float32
    close(got.numpy(), NUMPY[op](*values))


@pytest.mark.parametrize(
    ("op", "low", "high"),
    [
        ("sigmoid", -80, -5),
        ("softplus", -80, -5),
        ("sech2", -40, -3),
        ("sech2", 3, 40),
        ("normal_cdf", -8, -3),
        ("erfc", 2, 8),
    ],
)
def test_tails_are_right_relatively(op: str, low: float, high: float) -> None:
    """Where 1 - tanh², log(1 + e^u) or 1 + erf would have lost every digit."""
    u = np.linspace(low, high, 41).astype(np.float32)
    with mpmath.workdps(60):
        true = np.array([float(_TRUE[op](mpmath.mpf(float(v)))) for v in u])
    np.testing.assert_allclose(NUMPY[op](u.astype(np.float64)), true, rtol=1e-12)
    for table in (TORCH, CPU):
        np.testing.assert_allclose(
            table[op](torch.from_numpy(u)).numpy(), true, rtol=4e-5
        )  # ULP of u times u
        np.testing.assert_allclose(table[op](torch.from_numpy(u).double()).numpy(), true, rtol=1e-12)
    if op in ("softplus", "sech2"):  # ONNX Runtime's Sigmoid and Erf are right absolutely only
        np.testing.assert_allclose(run_in_onnxruntime(op, [u]), true, rtol=4e-5)


_TRUE: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda u: 1 / (1 + mpmath.exp(-u)),
    "softplus": lambda u: mpmath.log(1 + mpmath.exp(u)),
    "sech2": lambda u: 1 / mpmath.cosh(u) ** 2,
    "normal_cdf": mpmath.ncdf,
    "erfc": mpmath.erfc,
}


@pytest.mark.parametrize("op", [o for o, n in OPERATORS.items() if n == 2 and o not in ("and", "or")])
@pytest.mark.parametrize("number_first", [True, False])
def test_one_argument_may_be_a_number(op: str, number_first: bool) -> None:
    array, number = arguments(op)[0], 1.5
    order = (lambda a: (number, a)) if number_first else (lambda a: (a, number))
    true = NUMPY[op](*order(array))
    close(CPU[op](*order(torch.from_numpy(array))).numpy(), true)
    close(TORCH[op](*order(torch.from_numpy(array))).numpy(), true)


@pytest.mark.parametrize("pair", [(0.0, 1.0), (1.0, 0.0), (0.25, -3.0), (2.0, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_selection_between_numbers(pair: tuple[float, float], dtype: type) -> None:
    condition = np.arange(10) % 3 == 0
    true = np.where(condition, *pair).astype(dtype)
    got = CPU["select"](torch.from_numpy(condition.astype(dtype)), *pair).numpy()
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, true)
    plain = (TorchOps if dtype == np.float32 else DoubleOps).table["select"](
        torch.from_numpy(condition), *pair
    )
    assert plain.numpy().dtype == dtype
    np.testing.assert_array_equal(plain.numpy(), true)


def test_selection_keeps_every_bit() -> None:
    """NaN and infinities in the branch that is not taken stay out, in the one taken they come through."""
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42, 3e38], np.float32)
    plain = np.full_like(odd, 7)
    for take in (0.0, 1.0):
        got = CPU["select"](torch.full((6,), take), torch.from_numpy(odd), torch.from_numpy(plain)).numpy()
        assert got.tobytes() == (odd if take else plain).tobytes()


def run_in_onnxruntime(op: str, values: list[np.ndarray]) -> np.ndarray:
    builder = forms.functions._Builder(activation("relu"), ())
    builder.operator(op, [f"i{k}" for k in range(len(values))], capped=False)
    builder.rename_last("y")
    kinds = [TensorProto.BOOL if v.dtype == bool else TensorProto.FLOAT for v in values]
    graph = helper.make_graph(
        builder.nodes,
        op,
        [helper.make_tensor_value_info(f"i{k}", kind, [None]) for k, kind in enumerate(kinds)],
        [
            helper.make_tensor_value_info(
                "y", TensorProto.BOOL if op in BOOLEAN_RESULT else TensorProto.FLOAT, [None]
            )
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {f"i{k}": v for k, v in enumerate(values)})[0]


@pytest.mark.parametrize("op", OPERATORS)
def test_onnx_agrees_with_numpy(op: str) -> None:
    values = arguments(op)
    close(run_in_onnxruntime(op, values), NUMPY[op](*values))


@pytest.mark.parametrize(
    "capped", [NUMPY_CAPPED, TorchOps.capped_table, CpuOps.capped_table], ids=["numpy", "torch", "cpu"]
)
def test_capped_exponential(capped: Any) -> None:
    """Products of two stay finite; below the cap it is e^u; NaN stays NaN."""
    make: Callable[[list[float]], Any] = np.float32 if capped is NUMPY_CAPPED else torch.tensor
    u = make([1.0, 44.5, 1e30, np.inf, -np.inf, np.nan])
    y = np.asarray(capped["exp"](u))
    assert y[0] == pytest.approx(np.e)
    assert np.isfinite(y[:5] * y[:5]).all()
    assert y[1:4].min() > 1e19
    assert (y[4], np.isnan(y[5])) == (0, True)


# ---- whole programs, in numpy and torch

WHOLE = [
    X * softplus(X) / (1 + sech2(X)),
    Piecewise((X, X > 1), (sqrt(X**2 + 1), And(X <= 1, X > -1)), (normal_cdf(X), True)),
    maximum(maximum(0, X), A * X) ** 3 - erf(X) * sin(X) + cos(A) / (1 + exp(-X)) ** 2,
]


@pytest.mark.parametrize("expression", WHOLE, ids=str)
def test_whole_programs_equal_sympy(expression: sympy.Expr) -> None:
    program: Program = compile_program(expression)
    x = np.linspace(-4, 4, 33)
    f = sympy.lambdify([X, A], expression, modules=[MPMATH_ATOMS, "mpmath"])
    true = np.array([float(f(v, 0.3)) for v in x])
    np.testing.assert_allclose(program.run(NUMPY, {"x": x, "a": 0.3}), true, rtol=1e-13, atol=1e-14)
    tensors = {"x": torch.from_numpy(x), "a": torch.tensor(0.3, dtype=torch.float64)}
    np.testing.assert_allclose(program.run(TORCH, tensors).numpy(), true, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(program.run(CPU, tensors).numpy(), true, rtol=1e-13, atol=1e-14)
