"""Real runtimes and kernels: what is right passes, planted faults are found where they are, refusals say why."""

from dataclasses import replace

import numpy as np
import pytest
from sympy import Piecewise, Rational, exp

from edgeacts import native
from edgeacts.activations import activation
from edgeacts.conformance import kernels, measure, measure_conformance
from edgeacts.conformance.candidates import candidates
from edgeacts.conformance.kernels import applied, instruction_sets
from edgeacts.definition import Activation, Form, X
from edgeacts.errors import CheckFailed, UsageError
from edgeacts.piecewise import Table
from edgeacts.records import ConformanceRecord, ConformanceRow
from edgeacts.tables import NotTabulated, compile_table

FEW = 64
HAS_KERNELS = pytest.mark.skipif(not native.available(), reason=str(native.missing()))


def rows(record: ConformanceRecord, **wanted: str) -> list[ConformanceRow]:
    return [r for r in record.rows if all(getattr(r, k) == v for k, v in wanted.items())]


def one(record: ConformanceRecord, **wanted: str) -> ConformanceRow:
    (found,) = rows(record, **wanted)
    return found


def test_onnxruntime_forms_and_operators() -> None:
    record = measure_conformance("onnxruntime", ["mish", "silu"], ["float32"], mantissas=FEW)
    assert [(r.activation, r.kind, r.form, r.outcome) for r in record.rows] == [
        ("mish", "form", "ratio", "pass"),
        ("mish", "native", "native Mish", "pass"),
        ("mish", "form", "exact", "pass"),
        ("silu", "form", "exact", "pass"),
        ("silu", "native", "native Swish", record.rows[-1].outcome),
    ]
    assert record.rows[-1].outcome in ("reported", "refused")  # an operator of opset 24
    ratio = record.rows[0]
    assert ratio.executed_precision == "f32"
    assert ratio.value_count > 5000
    assert ratio.specials == {"nan": "nan", "+inf": "inf", "-inf": "-0", "+0": "0", "-0": "-0"}
    assert 0 < ratio.scaled_error < ratio.allowed == 4e-7 + 10 * 2**-24
    assert ratio.max_ulp < 100  # e^x is right to the last bits in the tail too
    assert record.runtime_version in record.circumstances.versions["onnxruntime"]
    assert ConformanceRecord.from_json(record.to_json()) == record


def test_an_operator_that_gives_nan_at_minus_infinity_is_told() -> None:
    record = measure_conformance("onnxruntime", ["hardswish"], ["float32"], mantissas=FEW)
    assert one(record, form="native HardSwish").specials["-inf"] == "nan, right: 0"
    assert one(record, form="exact").specials["-inf"] in ("0", "-0")


def test_a_form_wrong_beyond_8_is_found_there() -> None:
    gate = 1 / (1 + exp(-X))
    planted = Form(
        "planted",
        1e-7,
        "wrong beyond 8",
        expression=X * gate * Piecewise((1, X <= 8), (1 + Rational(1, 10**4), True)),
    )
    sound = Form("sound", 1e-7, "right", expression=X * gate)
    mine = replace(activation("silu").fix(beta=1.0), left=0, right=X, forms=(planted, sound))
    record = measure_conformance("onnxruntime", [mine], ["float32"], mantissas=FEW)
    bad, good = one(record, form="planted"), one(record, form="sound")
    assert (bad.outcome, good.outcome) == ("fail", "pass")
    assert bad.scaled_error == pytest.approx(1e-4, rel=0.01)
    assert "allowed are 7e-07" in bad.reason
    beyond = measure_conformance("onnxruntime", [_positive(mine)], ["float32"], mantissas=FEW)
    assert one(beyond, form="planted").worst_x > 8  # without the tail on the left, whose ULP are tiny


def _positive(mine: Activation) -> Activation:
    """max(0, x) times the gate: nothing on the left."""
    kept = {f.name: f for f in mine.forms}
    positive = lambda e: Piecewise((e, X > 0), (0, True))  # noqa: E731
    forms = tuple(replace(f, expression=positive(f.expression)) for f in kept.values())
    return replace(mine, name="mine", operator="Mine", formula=positive(mine.formula), forms=forms)


def test_float16_is_tried_in_full_and_the_executed_precision_told() -> None:
    record = measure_conformance("onnxruntime", ["tanhexp"], ["float16"], mantissas=FEW)
    row = record.rows[0]
    assert (row.value_count, row.dtype, row.outcome) == (63_488, "float16", "pass")
    assert "f32" in row.executed_precision or row.executed_precision == "f16"
    assert row.max_ulp >= 0.49


def test_a_constant_that_float16_cannot_hold_is_refused() -> None:
    record = measure_conformance("onnxruntime", ["sau"], ["float16"], mantissas=FEW)
    exact = one(record, form="exact")
    assert exact.outcome == "refused"
    assert exact.reason == "the constant -2e+08 of sau exact is -inf in float16: use another form"
    assert one(record, form="leaky LeakyRelu").outcome == "pass"
    assert (exact.value_count, exact.max_ulp, exact.specials) == (0, None, {})


def test_what_the_runtime_refuses_is_no_failure() -> None:
    """ONNX Runtime's CPU provider has no bfloat16 kernels; where it has one day, the rows are judged."""
    record = measure_conformance("onnxruntime", ["relu"], ["bfloat16"], mantissas=FEW)
    for row in record.rows:
        assert row.outcome in ("refused", "pass")
        if row.outcome == "refused":
            assert "cannot run the model: Could not find an implementation for" in row.reason


def test_an_oracle_in_doubt_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubtful(*_: object) -> None:
        raise CheckFailed("the float64 oracle of relu is off by 7 ULP")

    monkeypatch.setattr(measure.Truth, "check", doubtful)
    record = measure_conformance("onnxruntime", ["relu"], ["float32"], mantissas=FEW)
    assert record.rows == ()
    assert record.skipped == {"relu": "the float64 oracle of relu is off by 7 ULP"}


@HAS_KERNELS
def test_kernels_in_each_instruction_set() -> None:
    record = measure_conformance("accelerated", ["silu", "relu6"], mantissas=FEW)
    isas = instruction_sets()
    assert isas[0] == native.isa()
    assert "plain" in isas
    assert [r.form for r in record.rows] == [f"table {isa}" for isa in isas] * 2
    for row in record.rows:
        assert (row.kind, row.outcome, row.executed_precision) == ("kernel", "pass", "f32")
        assert row.allowed == compile_table(activation(row.activation)).bound
        assert ", right" not in "".join(row.specials.values())
    assert set(record.skipped) == {"float16", "bfloat16"}
    assert "the kernels compute float32" in record.skipped["float16"]
    assert native.version() in record.runtime_version


@HAS_KERNELS
def test_another_instruction_set_runs_in_its_own_process() -> None:
    """The plain kernels read the table's wide grid, AVX2 and NEON the narrow one: the last bits differ."""
    table, x = compile_table(activation("silu")), np.linspace(-20, 20, 4001).astype(np.float32)
    y = applied(table, x, "plain")
    np.testing.assert_allclose(y, table.read(x, "wide"), atol=2e-7, rtol=2e-7)
    if native.isa() in ("avx2", "neon"):
        assert (y != applied(table, x, native.isa())).any()
    else:
        assert native.isa() in ("plain", "avx512")


@HAS_KERNELS
def test_an_instruction_set_that_did_not_run_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "one_result", lambda *_, **__: {"isa": "other"})
    with pytest.raises(CheckFailed, match="EDGEACTS_ISA=nothing was asked for, other ran"):
        applied(compile_table(activation("silu")), np.zeros(3, np.float32), "nothing")


@HAS_KERNELS
def test_a_damaged_table_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(definition: Activation, order: int = 0, **values: float) -> Table:
        table = compile_table(definition, order, **values)
        grids = []
        for grid in (table.wide, table.narrow):
            wrong = grid.coefficients.copy()
            wrong[0, int(np.floor(2.5 / grid.step)) % grid.segments] += 1e-4
            grids.append(replace(grid, coefficients=wrong))
        assert table.quotient is not None
        top = table.quotient.numerator.copy()
        top[-1] += 5e-5 * table.quotient.denominator[-1]  # what the gate ends as
        return replace(table, wide=grids[0], narrow=grids[1], quotient=replace(table.quotient, numerator=top))

    monkeypatch.setattr(measure, "compile_table", damaged)
    record = measure_conformance("accelerated", ["mish"], ["float32"], mantissas=FEW)
    for row in record.rows:
        assert row.outcome == "fail"
        assert 2e-5 < row.scaled_error < 1.1e-4


@HAS_KERNELS
def test_what_has_no_table_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> Table:
        raise NotTabulated("mish jumps at x = 1")

    monkeypatch.setattr(measure, "compile_table", none)
    record = measure_conformance("accelerated", ["mish"], ["float32"], mantissas=FEW)
    assert {(r.outcome, r.reason) for r in record.rows} == {("refused", "mish jumps at x = 1")}


def test_openvino_in_every_type() -> None:
    pytest.importorskip("openvino", reason="openvino is an extra: pip install edgeacts[openvino]")
    record = measure_conformance("openvino", ["tanhexp", "hardswish"], mantissas=FEW)
    assert {r.dtype for r in record.rows} == {"float32", "float16", "bfloat16"}
    assert {r.outcome for r in record.rows} == {"pass"}
    sizes = {r.dtype: r.value_count for r in record.rows}
    assert (sizes["float16"], sizes["bfloat16"]) == (63_488, 65_280)
    assert all("int8" not in r.executed_precision for r in record.rows)


def test_models_hold_their_type_and_their_parameters() -> None:
    leaky = candidates(activation("sau"), {"alpha": 0.5, "n": 20000.0})[0]
    model = leaky.model("float16")
    assert leaky.form == "leaky LeakyRelu"
    assert {a.name: a.f for a in model.graph.node[0].attribute} == {"alpha": 0.5, "n": 20000.0}
    assert model.graph.input[0].type.tensor_type.elem_type == 10
    assert 6.0 in candidates(activation("relu6"), {})[0].constants()
    swish = candidates(activation("silu"), {"beta": 2.0})[-1].model("float32")
    assert (swish.graph.node[0].op_type, swish.opset_import[0].version) == ("Swish", 24)
    assert swish.graph.node[0].attribute[0].f == 2.0


def test_wrong_names_and_nothing_to_try() -> None:
    with pytest.raises(UsageError, match="unknown runtime 'onnx'"):
        measure_conformance("onnx")
    with pytest.raises(UsageError, match="unknown dtype 'float8'"):
        measure_conformance("onnxruntime", dtypes=["float8"])
    with pytest.raises(UsageError, match="unknown activation 'mishh'"):
        measure_conformance("onnxruntime", ["mishh"])
    for nothing in ({"activations": []}, {"dtypes": []}, {"mantissas": 0}):
        with pytest.raises(UsageError, match="nothing to try: give at least one activation"):
            measure_conformance("onnxruntime", **nothing)
