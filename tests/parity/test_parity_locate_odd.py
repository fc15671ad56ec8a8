"""`locate` on what is not a plain network: integers, branches, loops, external weights, fixed batches, NaN, runtimes that change."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper, parser
from small_networks import rewrite, weights

from edgeacts.parity import executed_layers, locate
from edgeacts.records import DivergenceRecord, LayerRow

Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]
HEADER = '<ir_version: 9, opset_import: ["" : 20]> g '

pytestmark = pytest.mark.usefixtures("one_thread")


def first(record: DivergenceRecord) -> LayerRow:
    assert record.first is not None, record.summary
    return record.rows[record.first]


def graph(folder: Path, name: str, text: str, **arrays: np.ndarray) -> Path:
    model = parser.parse_model(HEADER + text)
    for weight, value in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(value, weight))
    onnx.checker.check_model(model)
    onnx.save(model, folder / name)
    return folder / name


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ---- kinds of values


INTEGERS = """(float[n,8] x, int64[n,4] token) => (float[n,8] y, bool[n,8] positive) {
  h = MatMul(x, w)
  zero = Constant<value_float = 0.0>()
  positive = Greater(h, zero)
  taken = GatherElements<axis = 1>(h, token)
  top = ArgMax<axis = 1, keepdims = 0>(h)
  one = Cast<to = 1>(top)
  two = Unsqueeze(one, axis)
  kept = Where(positive, h, zero)
  total = ReduceSum<keepdims = 1>(taken, axis)
  scaled = Mul(kept, %s)
  sum = Add(scaled, total)
  y = Add(sum, two)
}"""


def integers(folder: Path, name: str, factor: str = "half", **changed: np.ndarray) -> Path:
    arrays = {"w": normal(8, 8), "axis": np.array([1]), "half": np.float32(0.5), "third": np.float32(0.3)}
    return graph(folder, name, INTEGERS % factor, **{**arrays, **changed})


def test_integers_booleans_and_several_inputs(tmp_path: Path) -> None:
    reference = integers(tmp_path, "a.onnx")
    assert locate(reference, integers(tmp_path, "same.onnx")).first is None
    record = locate(reference, integers(tmp_path, "b.onnx", "third"), level="disabled", out=tmp_path / "out")
    assert first(record).candidate == "scaled"
    with np.load(record.minimal_input, allow_pickle=False) as arrays:
        assert set(arrays.files) == {"kept", "expected_scaled"}


def test_another_weight_shows_before_the_integers_it_changes(tmp_path: Path) -> None:
    record = locate(
        integers(tmp_path, "a.onnx"), integers(tmp_path, "b.onnx", w=-normal(8, 8)), out=tmp_path / "out"
    )
    assert first(record).candidate == "h"
    assert first(record).operator == "MatMul"


def test_a_boolean_that_differs_is_the_first(tmp_path: Path) -> None:
    text = """(float[n,6] x) => (float[n,6] y) {
      zero = Constant<value_float = 0.0>()
      which = %s(x, zero)
      turned = Neg(x)
      y = Where(which, x, turned)
    }"""
    reference = graph(tmp_path, "a.onnx", text % "Greater")
    record = locate(
        reference, graph(tmp_path, "b.onnx", text % "Less"), level="disabled", out=tmp_path / "out"
    )
    # `which` is paired by its name only if the operator is the same; it is by its place here
    assert first(record).candidate in {"which", "y"}
    if first(record).candidate == "which":
        assert first(record).max_error == 1.0
        assert first(record).relative_error is None


def branching(folder: Path, name: str, factor: float) -> Path:
    text = """(float[n,6] x) => (float[n,6] y) {
      h = Tanh(x)
      zero = Constant<value_float = -1000.0>()
      total = ReduceSum<keepdims = 0>(h)
      positive = Greater(total, zero)
      chosen = If (positive) <
        then_branch = g1 () => (float[n,6] t) { t = Mul(h, factor) },
        else_branch = g2 () => (float[n,6] e) { e = Neg(h) }
      >
      looped = Loop (three, , chosen) <
        body = g3 (int64 i, bool go, float[n,6] state) => (bool keep, float[n,6] next)
        { keep = Identity(go) next = Mul(state, twice) }
      >
      y = Sub(looped, h)
    }"""
    return graph(folder, name, text, factor=np.float32(factor), three=np.array(3), twice=np.float32(1.1))


def test_a_branch_is_one_layer(tmp_path: Path) -> None:
    reference = branching(tmp_path, "a.onnx", 1.0)
    assert locate(reference, branching(tmp_path, "same.onnx", 1.0)).first is None
    record = locate(reference, branching(tmp_path, "b.onnx", 1.02), level="disabled", out=tmp_path / "out")
    assert (first(record).candidate, first(record).operator) == ("chosen", "If")
    part = onnx.load(record.minimal_model)
    assert [n.op_type for n in part.graph.node] == ["If"]
    assert {v.name for v in part.graph.input} == {"positive", "h"}  # h is read by the branches only


# ---- files


def test_weights_outside_the_file(exported: Exported, tmp_path: Path) -> None:
    pair = exported("tanhexp")
    wrong = onnx.load(pair.path)
    rewrite(list(weights(wrong).values())[1], lambda w: w * 1.01)
    for name, model in (("right.onnx", onnx.load(pair.path)), ("wrong.onnx", wrong)):
        onnx.save(
            model, tmp_path / name, save_as_external_data=True, location=f"{name}.data", size_threshold=512
        )
    record = locate(tmp_path / "right.onnx", tmp_path / "wrong.onnx", out=tmp_path / "out")
    assert first(record).candidate == "getitem_3"
    moved = (tmp_path / "out" / "minimal.onnx").rename(tmp_path / "alone.onnx")  # its weights are in it
    session = ort.InferenceSession(moved)
    with np.load(record.minimal_input, allow_pickle=False) as arrays:
        found = session.run(None, {v.name: arrays[v.name] for v in session.get_inputs()})[0]
        assert np.abs(found - arrays["expected_getitem_3"]).max() > 1e-3


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch(exported: Exported, changed: Changed, batch: int) -> None:
    def fix(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = batch
        model.graph.ClearField("value_info")
        rewrite(list(weights(model).values())[1], lambda w: w * 1.01)

    pair = exported("tanhexp")
    record = locate(pair.model, changed(pair.path, fix))
    assert first(record).reference == "4"


def test_a_fault_in_whole_batches_only(tmp_path: Path) -> None:
    """The mean over the batch leaks into every image: one image alone is right."""
    text = """(float[n,6] x) => (float[n,6] y) {
      h = Tanh(x)
      m = ReduceMean<keepdims = 1>(h, axis)
      d = Sub(h, m)
      s = Mul(d, %s)
      k = Add(h, s)
      y = Mul(k, two)
    }"""
    arrays = {
        "axis": np.array([0]),
        "two": np.float32(2.0),
        "small": np.float32(0.01),
        "none": np.float32(0.0),
    }
    reference = graph(tmp_path, "a.onnx", text % "none", **arrays)
    record = locate(reference, graph(tmp_path, "b.onnx", text % "small", **arrays), level="disabled")
    assert first(record).candidate == "s"


def test_two_files_need_no_torch(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    wrong = changed(pair.path, lambda m: rewrite(list(weights(m).values())[1], lambda w: w * 1.01))
    program = (
        "import sys; from edgeacts.parity import locate\n"
        "record = locate(*sys.argv[1:])\n"
        "print(record.rows[record.first].candidate, 'torch' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(pair.path), str(wrong)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[1:] == ["False", "False"]


# ---- NaN


def test_nan_on_both_sides_is_found_where_it_arises(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    broken = changed(pair.path, lambda m: rewrite(list(weights(m).values())[1], lambda w: w * np.nan))
    record = locate(broken, broken, level="disabled")
    assert (first(record).candidate, first(record).relative_error) == ("getitem_3", None)
    assert "values of the reference are NaN" in record.summary


def test_infinities_of_a_mask_are_no_divergence(tmp_path: Path) -> None:
    text = """(float[n,6] x) => (float[n,6] y) {
      h = Mul(x, %s)
      masked = Add(h, mask)
      s = Softmax(masked)
      y = Mul(s, three)
    }"""
    mask = np.array([0, 0, -np.inf, 0, 0, -np.inf], np.float32)
    arrays = {"mask": mask, "one": np.float32(1), "other": np.float32(1.05), "three": np.float32(3)}
    assert locate(graph(tmp_path, "a.onnx", text % "one", **arrays), tmp_path / "a.onnx").first is None
    arrays["three"] = np.float32(3.1)
    record = locate(tmp_path / "a.onnx", graph(tmp_path, "b.onnx", text % "one", **arrays), level="disabled")
    assert first(record).candidate == "y"


# ---- a runtime that is wrong, or changes when it is looked at


class Disturbed:
    """An executed candidate whose values are those of another file; `hides`: its outputs are right once it is looked at."""

    def __init__(self, inner: Any, hides: bool) -> None:
        self.inner, self.hides = inner, hides
        self.names = inner.names

    def look(
        self, names: Sequence[str], runs: Sequence[Mapping[str, np.ndarray]]
    ) -> Iterator[dict[str, np.ndarray]]:
        for values in self.inner.look(names, runs):
            yield {n: v * 1.5 if self.hides and n == "logits" else v for n, v in values.items()}


def test_an_observer_effect_is_noticed_and_told(
    exported: Exported, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = exported("tanhexp")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[1], lambda w: w * 1.01))
    real = executed_layers.OrtExecuted
    for hides in (False, True):
        monkeypatch.setattr(
            executed_layers, "OrtExecuted", lambda *a, hides=hides: Disturbed(real(*a), hides)
        )
        record = locate(pair.model, path)
        if hides:
            assert "as further outputs, logits changed by" in record.observer_effect
            assert "and may not hold undisturbed" in record.observer_effect
        else:
            assert record.observer_effect == ""


def test_openvino_that_changes_when_it_is_looked_at(
    exported: Exported, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime whose fused layer is wrong: once its parts are outputs it is not fused, and right."""
    from edgeacts.runtimes import openvino as adapter

    pair = exported("relu")
    infer = adapter.OpenVinoSession._run

    def run(self: Any, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        values = infer(self, feeds)
        return [v * 1.1 for v in values] if len(values) == 1 else values

    monkeypatch.setattr(adapter.OpenVinoSession, "_run", run)
    record = locate(pair.model, pair.path, runtime="openvino")
    assert first(record).candidate == "logits"
    assert "logits changed by" in record.observer_effect
    assert "agrees with the reference while it is looked at" in record.observer_effect


def test_a_runtime_that_is_wrong_in_one_kernel(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is right; what the runtime makes of it is not: the executed graph is what is looked at."""
    from edgeacts.runtimes import onnxruntime as adapter

    pair = exported("relu")
    wrong = onnx.load(pair.path)
    rewrite(list(weights(wrong).values())[1], lambda w: w * 1.01)
    onnx.save(wrong, tmp_path / "executed.onnx")
    opened = adapter._open

    def other(path: Path, options: Any, providers: list[str]) -> Any:
        return opened(tmp_path / "executed.onnx" if path == pair.path else path, options, providers)

    monkeypatch.setattr(adapter, "_open", other)
    record = locate(pair.model, pair.path, level="disabled", out=tmp_path / "out")
    assert first(record).candidate == "getitem_3"
    assert record.minimal_model == ""  # the file's own part is right wherever it runs
    assert "no part of the file shows it alone" in record.summary
