"""The matrix: which sessions are opened, what each is compared on, and what is left out for which reason."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_networks import SIDE
from verdicts import sound

from edgeacts import runtimes
from edgeacts.errors import NotAvailable
from edgeacts.parity import RUNTIMES, candidates, verify
from edgeacts.parity.matrix import Cell, cells
from edgeacts.runtimes import levels
from edgeacts.runtimes import openvino as openvino_adapter

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_combination_is_a_session_and_the_first_threads_are_thorough() -> None:
    found, skipped = cells(("onnxruntime", "accelerated"), ("f32",), (1, 2))
    assert skipped == {}
    assert found[:2] == [
        Cell("onnxruntime", "disabled", "f32", 1),
        Cell("onnxruntime", "disabled", "f32", 2, thorough=False),
    ]
    assert len(found) == 2 * (len(levels("onnxruntime")) + 1)
    assert cells(ORT, None, (2, 2))[0] == [
        Cell("onnxruntime", level, "f32", 2) for level in levels("onnxruntime")
    ]


def test_what_this_cpu_does_not_compute_in_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_adapter, "precisions", lambda: ("f32", "bf16"))
    found, skipped = cells(("onnxruntime", "openvino"), None, (1,))
    assert {c.precision for c in found if c.runtime == "onnxruntime"} == {"f32"}
    assert {c.precision for c in found if c.runtime == "openvino"} == {"f32", "bf16"}
    assert skipped == {}
    found, skipped = cells(("onnxruntime", "openvino"), ("f16", "bf16"), (1,))
    assert {(c.runtime, c.precision) for c in found} == {("openvino", "bf16")}
    assert skipped["openvino f16"] == "this CPU does not compute in f16, openvino would run f32"
    assert skipped["onnxruntime bf16"].startswith(
        "onnxruntime runs a model in the precision of its file: for bf16 give"
    )


def test_a_runtime_that_is_missing_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> tuple[str, ...]:
        raise NotAvailable("openvino is not installed")

    monkeypatch.setattr(openvino_adapter, "precisions", missing)
    found, skipped = cells(RUNTIMES, None, (1,))
    assert {c.runtime for c in found} == {"onnxruntime", "accelerated"}
    assert skipped == {"openvino": "openvino is not installed"}


@pytest.mark.parametrize("name", runtimes.runtime_names())
def test_every_runtime_computes_in_float32_first(name: str) -> None:
    assert runtimes.precisions(name)[0] == "f32"
    assert set(runtimes.precisions(name)) <= set(runtimes.PRECISIONS)


def test_each_session_is_opened_once_for_all_batches_and_inputs(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Counter[tuple[Any, ...]]()
    really = candidates.open_runtime

    def counting(path: Path, runtime: str, **options: Any) -> Any:
        opened[runtime, options["level"], options["threads"], options["precision"]] += 1
        return really(path, runtime, **options)

    monkeypatch.setattr(candidates, "open_runtime", counting)
    pair = exported("tanhexp")
    verdict = sound(verify(pair.model, pair.path, threads=(1, 2)))
    assert opened == dict.fromkeys(
        ((name, level, n, "f32") for name in RUNTIMES for level in levels(name) for n in (1, 2)), 1
    )
    places = {(r.runtime, r.level, r.threads, r.batch) for r in verdict.rows}
    assert places == {
        (name, level, n, batch)
        for name in RUNTIMES
        for level in levels(name)
        for n in (1, 2)
        for batch in (1, 2, 7)
    }


def test_all_inputs_run_once_and_a_few_at_other_batches_and_threads(exported: Exported) -> None:
    pair = exported("tanhexp")
    images = np.random.default_rng(0).standard_normal((20, 3, SIDE, SIDE)).astype(np.float32)
    verdict = sound(
        verify(pair.model, pair.path, images=images, runtimes=ORT, batches=(2, 9), threads=(1, 2))
    )
    counts = {(r.threads, r.batch, r.inputs): r.input_count for r in verdict.rows}
    assert counts == {
        (1, 2, "validation"): 20, (1, 2, "random"): 14, (1, 2, "extremes"): 9, (1, 9, "validation"): 9,
        (2, 2, "validation"): 7, (2, 9, "validation"): 9,
    }  # fmt: skip


def test_a_fixed_batch_is_judged_at_that_batch_only_and_says_so(exported: Exported, changed: Changed) -> None:
    def fix(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = 2
        model.graph.ClearField("value_info")

    pair = exported("relu")
    verdict = sound(verify(pair.model, changed(pair.path, fix), runtimes=ORT))
    assert {r.batch for r in verdict.rows} == {2}
    assert verdict.skipped == {"batch 1 and 7": "the model takes batches of 2 only"}
    assert verdict.summary.endswith("; not checked: batch 1 and 7")


def test_a_batch_that_fails_to_run_fails_by_itself(exported: Exported, changed: Changed) -> None:
    """A channel shuffle that baked its batch in: right at batch 1, an error at others."""

    def bake(model: onnx.ModelProto) -> None:
        shape = np.array([1, 32], np.int64)
        node = next(n for n in model.graph.node if n.op_type == "Reshape")
        model.graph.initializer.append(onnx.numpy_helper.from_array(shape, "baked"))
        node.input[1] = "baked"

    pair = exported("relu")
    verdict = verify(pair.model, changed(pair.path, bake), runtimes=ORT)
    assert verdict.outcome == "fail"
    assert {r.batch for r in verdict.rows if r.passed} == {1}
    assert {r.batch for r in verdict.rows if r.outcome == "fail"} == {2, 7}
    assert "failed to run" in next(r.reason for r in verdict.rows if r.batch == 7)
