"""What a file says of itself: metadata, the bound of its forms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from small_networks import rewrite, weights
from verdicts import reasons

from edgeacts.errors import DamagedFile
from edgeacts.parity import verify

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def claim(bound: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        entries = {p.key: p for p in model.metadata_props}
        entry = entries.get("edgeacts.forms") or model.metadata_props.add(key="edgeacts.forms")
        entry.value = json.dumps({"SAU": {"bound": bound}})

    return change


@pytest.mark.parametrize("bound", [1e-3, 1.0, 1e300, float("inf"), "1"])
def test_a_file_cannot_grant_itself_an_error(exported: Exported, changed: Changed, bound: object) -> None:
    pair = exported("relu")

    def fault(model: onnx.ModelProto) -> None:
        claim(bound)(model)
        rewrite(list(weights(model).values())[1], lambda w: w * 1.01)

    reasons(verify(pair.model, changed(pair.path, fault), runtimes=ORT))


def test_who_verifies_can_grant_what_a_file_claims(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")

    def fault(model: onnx.ModelProto) -> None:
        claim(1e-3)(model)
        rewrite(list(weights(model).values())[1], lambda w: w * 1.001)

    path = changed(pair.path, fault)
    assert not verify(pair.model, path, runtimes=ORT).passed
    assert verify(pair.model, path, runtimes=ORT, tolerance=1e-3).passed


@pytest.mark.parametrize("stated", ['{"SAU": {"bound": NaN}}', '{"SAU": {"bound": -1}}', '{"SAU": {"bound": 1' + "0" * 400 + "}}",
                                    "[1]", "{", '{"SAU": 3}', '{"SAU": {}}', "[" * 5000])  # fmt: skip
def test_damaged_statements_about_forms_are_refused(
    exported: Exported, changed: Changed, stated: str
) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.ClearField("metadata_props")
        model.metadata_props.add(key="edgeacts.forms", value=stated)

    pair = exported("relu")
    with pytest.raises(DamagedFile, match=r"metadata edgeacts\.forms cannot be read; export the model again"):
        verify(pair.model, changed(pair.path, change), runtimes=ORT)


def test_stale_metadata_are_named(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    wanted = {"edgeacts.preprocessing": '{"mean": [0.5], "std": [0.2]}', "edgeacts.classes": '["a", "b"]'}

    def write(model: onnx.ModelProto, mean: str) -> None:
        model.metadata_props.add(key="edgeacts.preprocessing", value=f'{{"std": [0.2], "mean": [{mean}]}}')
        model.metadata_props.add(key="edgeacts.classes", value='["a","b"]')

    same = changed(pair.path, lambda m: write(m, "0.5"))
    assert verify(pair.model, same, runtimes=ORT, expected_metadata=wanted).passed
    stale = changed(pair.path, lambda m: write(m, "0.4"))
    told = reasons(verify(pair.model, stale, runtimes=ORT, expected_metadata=wanted))
    assert told.startswith(
        'metadata edgeacts.preprocessing is {"std": [0.2], "mean": [0.4]}, the reference has {"mean"'
    )
    told = reasons(verify(pair.model, pair.path, runtimes=ORT, expected_metadata=wanted))
    assert told == "metadata edgeacts.preprocessing is missing | metadata edgeacts.classes is missing"
