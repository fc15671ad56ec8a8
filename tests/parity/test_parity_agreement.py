"""Sound exports pass: every runtime, level, batch and kind of input."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from small_networks import SIDE, Two

from edgeacts.activations import names
from edgeacts.parity import RUNTIMES, format_verdict, verify
from edgeacts.runtimes import levels

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


EXPORTED = (
    "relu",
    "silu",
    "tanhexp",
    "sau",
)  # those that the tests below need anyway; the others take minutes
OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in names() if name not in EXPORTED]


@pytest.mark.parametrize("activation", [*EXPORTED, *OTHERS])
def test_an_exported_network_passes_on_every_runtime_and_level(exported: Exported, activation: str) -> None:
    pair = exported(activation)
    verdict = verify(pair.model, pair.path, label="net", reference_sha256="f" * 64)
    assert verdict.passed, format_verdict(verdict)
    judged = {(r.runtime, r.level) for r in verdict.rows}
    assert judged == {(name, level) for name in RUNTIMES for level in levels(name)}
    assert {r.inputs for r in verdict.rows} == {"random", "extremes"}
    assert all(r.value_count and r.relative_error is not None for r in verdict.rows)
    assert (verdict.reference, verdict.reference_sha256, verdict.skipped) == ("net", "f" * 64, {})
    assert "the largest error is" in verdict.summary


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.long) for s in (1, 2))])
def test_other_weights_inputs_and_images_pass_too(exported: Exported, seed: int) -> None:
    pair = exported("tanhexp", seed)
    images = np.random.default_rng(seed).standard_normal((19, 3, SIDE, SIDE)).astype(np.float32)
    verdict = verify(pair.model, pair.path, images=images, runtimes=ORT, seed=seed)
    assert verdict.passed, format_verdict(verdict)
    counts = {(r.batch, r.threads): r.input_count for r in verdict.rows if r.inputs == "validation"}
    assert counts == {(1, 1): 19, (2, 1): 7, (7, 1): 7}  # every image once, a few at other batches


def test_a_file_equals_its_inlined_twin_in_both_directions(exported: Exported) -> None:
    pair = exported("sau")
    assert verify(pair.path, pair.inlined).passed
    verdict = verify(str(pair.inlined), str(pair.path), runtimes=ORT)
    assert verdict.passed
    assert verdict.reference == pair.inlined.name


def test_a_file_without_our_metadata_passes(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: m.ClearField("metadata_props"))
    assert verify(pair.model, path, runtimes=ORT).passed


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_a_fixed_batch_of_any_size_is_filled(exported: Exported, changed: Changed, batch: int) -> None:
    def fix(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = batch
        model.graph.ClearField("value_info")

    pair = exported("relu")
    verdict = verify(pair.model, changed(pair.path, fix), runtimes=ORT)
    assert verdict.passed, format_verdict(verdict)
    assert all(r.input_count % batch == 0 and r.input_count >= 9 for r in verdict.rows)


def test_two_outputs_in_one_module_are_told_apart() -> None:
    first, second = Two()(torch.randn(2, 3, SIDE, SIDE))
    torch.testing.assert_close(second, 1 - 2 * first)
