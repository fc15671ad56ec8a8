"""The inlined twin of a portable model: no local functions, and each activation in the form its runtime runs fastest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import inliner

from edgeacts.exporters.placeholders import Functions
from edgeacts.forms import Choice, choose_for, function

RUNTIME = "openvino"  # what the twin is for: it refuses models with functions


def twin_choices(
    functions: Mapping[str, Functions],
    *,
    tolerance: float,
    opset: int,
    form: str | None,
    tuning: str | Path | None,
) -> dict[str, Choice]:
    """The form of each operator in the twin; the portable model's where it was named, or where parameters differ by channel."""
    return {
        operator: needed.choice
        if form is not None or any(needed.signatures)
        else choose_for(
            needed.choice.activation,
            needed.points,
            runtime=RUNTIME,
            tolerance=tolerance,
            opset=opset,
            tuning=tuning,
        )
        for operator, needed in functions.items()
    }


def inlined_twin(
    portable: onnx.ModelProto,
    functions: Mapping[str, Functions],
    choices: Mapping[str, Choice],
    opset: int,
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """The portable model with the bodies of those choices, inlined; `metadata` replaces entries of the same key."""
    bodies = onnx.ModelProto()
    bodies.CopyFrom(portable)
    del bodies.functions[:]
    for operator, needed in functions.items():
        bodies.functions.extend(
            function(choices[operator], opset=opset, per_channel=p) for p in needed.signatures
        )
    for entry in bodies.metadata_props:
        entry.value = metadata.get(entry.key, entry.value)
    return inliner.inline_local_functions(bodies)
