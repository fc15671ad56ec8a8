"""The inlined twin of a portable model: no local functions, and each activation in the form its runtime runs fastest."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import inliner

from edgeacts.exporters.placeholders import Chooser, Functions
from edgeacts.forms import Choice, function

RUNTIME = "openvino"  # what the twin is for: it refuses models with functions


def twin_choices(functions: Mapping[str, Functions], choose_form: Chooser) -> dict[str, Choice]:
    """The form of each operator in the twin."""
    return {
        operator: choose_form(needed.choice.activation, needed.points, needed.signatures)
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
