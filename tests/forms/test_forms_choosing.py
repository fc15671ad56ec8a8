"""Which form a runtime gets: by measurements, by its operations, and what tuning files may hold."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, inliner
from own_activations import OWN
from tuning_files import shipped_entries, tuned, tuning_file

from edgeacts.activations import activation, catalogue
from edgeacts.errors import DamagedFile, UsageError
from edgeacts.forms import DOMAIN, Choice, choose_for, choosing, function, operator_name, options
from edgeacts.forms.certificate import certify
from edgeacts.forms.generating import generated_forms, subject_of
from edgeacts.forms.tuned import fastest, form_of, measured, program_of, shipped_kinds, steps_of, user_file
from edgeacts.oracles import float64

RUNTIMES = ("openvino", "onnxruntime")


@pytest.fixture(autouse=True)
def _no_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEACTS_TUNING", raising=False)


# ---- what ships


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_bounds_that_ship_are_what_certifying_anew_gives(name: str) -> None:
    """They are believed: certifying took a third of a second of each process's first export."""
    definition, seen = activation(name), set()
    for entry in shipped_entries():
        for one in entry.activations:
            for form in one.forms if one.activation == name else ():
                if form.steps is not None and form.steps not in seen:
                    seen.add(form.steps)
                    subject = subject_of(definition, one.parameters)
                    bound = certify(program_of(form.steps), subject)
                    assert bound == pytest.approx(form.bound, rel=1e-3), (entry.runtime, form.name)


def test_only_what_ships_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(choosing, "certify", lambda *what: asked.append(what) or 0.0)
    choosing._certified.cache_clear()
    try:
        mish = activation("mish")
        choose_for(mish)
        assert not asked
        choose_for(mish, tuning=Path(shutil.copy(next(iter(shipped_kinds())), tmp_path / "copy.json")))
        assert asked
    finally:
        choosing._certified.cache_clear()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["mish", "tanhexp", "nish", "silu", "gelu", "sau"])
def test_catalogue_is_measured(name: str, runtime: str) -> None:
    known = measured(activation(name), {}, runtime=runtime, precision="f32")
    assert known is not None
    assert known.source == "edgeacts"
    assert known.entry.circumstances.cpu
    assert list(known.forms) == sorted(known.forms, key=lambda form: form.ratio)
    assert {"exact"} <= {form.name for form in known.forms}


@pytest.mark.parametrize("tolerance", [1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize(
    "name", ["mish", "tanhexp", "nish", "silu", "gelu", "sau", "relu", "relu6", "hardswish"]
)
def test_choice_is_within_the_tolerance_and_runs(name: str, tolerance: float) -> None:
    definition = activation(name)
    choice = choose_for(definition, runtime="openvino", tolerance=tolerance)
    assert choice.bound <= tolerance
    x = np.linspace(-20, 20, 4001).astype(np.float32)
    y = in_onnxruntime(choice, x)
    error = np.max(np.abs(y - float64(definition, x)) / np.maximum(1, np.abs(x)))
    assert error <= choice.bound + 6e-7


def in_onnxruntime(choice: Choice, x: np.ndarray) -> np.ndarray:
    definition = choice.activation
    node = helper.make_node(operator_name(definition), ["x"], ["y"], domain=DOMAIN, **definition.values())
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy"]
    model = helper.make_model(
        helper.make_graph([node], "one", values[:1], values[1:]),
        functions=[function(choice)],
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    model = inliner.inline_local_functions(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def test_larger_tolerance_is_no_slower() -> None:
    for name in ("mish", "tanhexp", "nish", "silu", "gelu"):
        costs = [
            min(o.cost for o in options(activation(name), runtime="openvino", tolerance=t).options)
            for t in (1e-6, 1e-5, 1e-4)
        ]
        assert costs == sorted(costs, reverse=True), name


def test_leaky_relu_stands_for_sau_and_sine_is_avoided() -> None:
    assert choose_for(activation("sau")).form.name == "leaky"
    program = choose_for(activation("nish")).form.program
    assert program is not None
    assert "sin" not in program.operators()
    assert choose_for(activation("mish"), runtime="onnxruntime").form.name != "native"


def test_zero_tolerance_is_the_formula() -> None:
    assert choose_for(activation("mish"), tolerance=0.0).form.name == "exact"
    assert choose_for(OWN["elu"].activation, tolerance=0.0).form.name == "exact"


def test_own_activation_is_chosen_by_its_operations() -> None:
    choice = choose_for(OWN["gompertz"].activation, tolerance=1e-3)
    assert choice.form.program is not None
    assert choice.bound <= 1e-3
    assert "expected" in choice.reason
    assert "by its operations" in choice.reason


def test_values_that_differ_keep_the_definitions_forms() -> None:
    """A fitted form is for one value of a parameter."""
    silu = activation("silu")
    assert choose_for(silu, [{"beta": 1.0}, {"beta": 1.5}]).form.name == "exact"
    both = choose_for(activation("sau"), [{"alpha": 0.1}, {"alpha": 0.3}])
    assert both.form.name == "leaky"
    assert dict(both.common) == {"n": 20000.0}


def test_other_value_of_a_parameter_is_not_the_measured_one() -> None:
    assert measured(activation("silu"), {"beta": 1.5}, runtime="openvino", precision="f32") is None
    choice = choose_for(activation("silu"), [{"beta": 1.5}], tolerance=1e-3)
    x = np.linspace(-20, 20, 2001).astype(np.float32)
    error = np.abs(in_onnxruntime(choice, x) - float64(activation("silu"), x, beta=1.5)) / np.maximum(
        1, np.abs(x)
    )
    assert error.max() <= choice.bound + 6e-7


def test_opset_without_the_operator() -> None:
    known = options(activation("gelu"), runtime="openvino", tolerance=1e-6, opset=19)
    assert "native" not in {o.form.name for o in known.options}


def test_half_precision_gets_no_float32_program() -> None:
    found = options(activation("nish"), runtime="openvino", precision="f16", tolerance=1e-4)
    assert {o.form.program for o in found.options} == {None}


# ---- tuning files


def test_file_given_comes_before_the_users_and_that_before_the_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tuning_file(tmp_path / "given.json", tuned("exact", 0.0, 1.1), tuned("native", 4e-7, 2.0))
    user_file().parent.mkdir(parents=True)
    tuning_file(user_file(), tuned("ratio", 4e-7, 1.1), tuned("native", 4e-7, 2.0))
    mish = activation("mish")
    assert choose_for(mish).form.name == "ratio"
    assert str(user_file()) in choose_for(mish).reason
    assert choose_for(mish, tuning=given).form.name == "exact"
    assert ", from edgeacts for CPUs with " in choose_for(mish, runtime="onnxruntime").reason
    monkeypatch.setenv("EDGEACTS_TUNING", str(given))
    assert choose_for(mish).form.name == "exact"


def test_as_fast_within_a_percent_means_the_smaller_error(tmp_path: Path) -> None:
    path = tuning_file(
        tmp_path / "t.json",
        tuned("ratio", 4e-7, 1.100),
        tuned("exact", 0.0, 1.105),
        tuned("native", 4e-7, 1.2),
    )
    assert choose_for(activation("mish"), tuning=path).form.name == "exact"
    forms = (tuned("a", 1e-6, 1.100), tuned("b", 1e-7, 1.112), tuned("c", 1e-5, 1.0))
    assert [getattr(fastest(forms, t), "name", None) for t in (1e-4, 2e-6, 5e-7, 1e-9)] == [
        "c",
        "a",
        "b",
        None,
    ]


def test_formula_that_changed_is_not_taken(tmp_path: Path) -> None:
    path = tuning_file(tmp_path / "t.json", tuned("exact", 0.0, 1.0), formula="x*tanh(log(2 + exp(x)))")
    known = measured(activation("mish"), {}, runtime="openvino", precision="f32", tuning=path)
    assert known is not None
    assert known.source == "edgeacts"


def test_damaged_coefficients_are_not_chosen(tmp_path: Path) -> None:
    """What a file says of an error is certified anew."""
    form = generated_forms(activation("nish"), None, 1e-3)[0]
    assert form.program is not None
    steps = steps_of(form.program)
    sound = tuning_file(
        tmp_path / "sound.json",
        tuned("fitted", form.bound, 1.1, steps=steps),
        tuned("exact", 0.0, 6.0),
        name="nish",
    )
    assert choose_for(activation("nish"), tuning=sound, tolerance=1e-3).form.program == form.program
    place = next(i for i, s in enumerate(steps) if s[0] == "constant" and i > 6)
    bad = (*steps[:place], ("constant", 1.3 * float(steps[place][1])), *steps[place + 1 :])
    path = tuning_file(
        tmp_path / "bad.json",
        tuned("fitted", form.bound, 1.1, steps=bad),
        tuned("exact", 0.0, 6.0),
        name="nish",
    )
    assert choose_for(activation("nish"), tuning=path, tolerance=1e-3).form.name == "exact"


def test_steps_survive_the_file() -> None:
    for entry in shipped_entries():
        for one in entry.activations:
            for form in one.forms:
                program = form_of(activation(one.activation), form).program
                assert (program is None) == (form.steps is None)
                assert program is None or steps_of(program) == form.steps


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (("input", "z"),),
        (("input", "x"), ("frobnicate", 0, 0)),
        (("input", "x"), ("add", 0)),
        (("input", "x"), ("add", 0, 1)),
        (("input", "x"), ("add", 0, -1)),
        (("input", "x"), ("constant", "a")),
        (("input", "x"), ("input", "x")),
    ],
)
def test_steps_that_are_no_program(steps: tuple[tuple[str | int | float, ...], ...]) -> None:
    with pytest.raises(DamagedFile, match="form in the tuning file"):
        program_of(steps)


def test_errors(tmp_path: Path) -> None:
    mish = activation("mish")
    with pytest.raises(UsageError, match="unknown runtime with forms 'openvin': did you mean openvino"):
        choose_for(mish, runtime="openvin")
    with pytest.raises(UsageError, match="tolerance -1"):
        choose_for(mish, tolerance=-1)
    with pytest.raises(UsageError, match=r"nowhere\.json"):
        choose_for(mish, tuning=tmp_path / "nowhere.json")
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({"kind": "tuning", "entries": [{}], "version": 1}))
    with pytest.raises(DamagedFile, match=r"broken\.json is not a valid TuningRecord"):
        choose_for(mish, tuning=path)
    path.write_text(json.dumps({"kind": "tuning", "entries": [], "version": 2}))
    with pytest.raises(DamagedFile, match="version 2"):
        choose_for(mish, tuning=path)
