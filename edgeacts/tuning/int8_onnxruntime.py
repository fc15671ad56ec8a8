"""INT8 on ONNX Runtime without kernels: what stands between DequantizeLinear and QuantizeLinear, form by form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import inliner

from edgeacts.definition import Activation
from edgeacts.forms import Choice, choose, function
from edgeacts.quantization.calibrating import calibrate
from edgeacts.quantization.preparing import opset_of
from edgeacts.quantization.settings import QuantizeSettings
from edgeacts.quantization.static import quantize_static_units
from edgeacts.tuning.calibration import noise_images
from edgeacts.tuning.candidates import (
    BASELINE,
    Candidate,
    TuneSettings,
    form_record,
    forms_to_try,
    relu_choice,
)
from edgeacts.tuning.networks import with_function


@dataclass
class QdqBench:
    """A QDQ network: quantized once with the activation as one unit, whose body is then each sound form."""

    portable: onnx.ModelProto
    settings: TuneSettings
    executed: str = "f32"

    def baseline(self, folder: Path) -> Path:
        """As `Bench`."""
        path = folder / f"{BASELINE}.onnx"
        onnx.save(inliner.inline_local_functions(self._quantized(relu_choice())), path)
        return path

    def candidates(self, definition: Activation, folder: Path) -> list[Candidate]:
        """As `Bench`."""
        values, found = definition.values(), []
        quantized = self._quantized(choose(definition, [values], form="exact"))
        for place, form in enumerate(forms_to_try(definition, self.settings)):
            choice = Choice(definition, form, form.bound_at(values), values)
            path = folder / f"{place}.onnx"
            onnx.save(inliner.inline_local_functions(_with_body(quantized, choice)), path)
            found.append(Candidate(form.name, path, form_record(form, values)))
        return found

    def _quantized(self, choice: Choice) -> onnx.ModelProto:
        model = with_function(self.portable, choice, choice.activation.values())
        images = noise_images(self.settings.size, self.settings.seed)
        return quantize_static_units(model, calibrate(model, images), QuantizeSettings(ranges="minmax"))


def _with_body(quantized: onnx.ModelProto, choice: Choice) -> onnx.ModelProto:
    """The QDQ model with another body; ReLU and ReLU6 are operators by now, which no form changes."""
    result = onnx.ModelProto()
    result.CopyFrom(quantized)
    body = function(choice, opset=opset_of(quantized))
    for own in result.functions:
        if (own.domain, own.name) == (body.domain, body.name):
            own.CopyFrom(body)
    return result
