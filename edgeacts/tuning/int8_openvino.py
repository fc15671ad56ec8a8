"""INT8 on OpenVINO: which layers are quantized and what the activation becomes, in all the ways that `quantize` knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgeacts.definition import Activation
from edgeacts.forms import Choice, choose_for
from edgeacts.forms.tuned import FLOAT
from edgeacts.quantization.openvino_saturation import saturates
from edgeacts.quantization.openvino_settings import FUSED_SHARES, STEP_SHARES
from edgeacts.quantization.openvino_variants import Variant, Variants
from edgeacts.records import LatencySeries, TunedSetting
from edgeacts.tuning.calibration import noise_images
from edgeacts.tuning.candidates import BASELINE, Candidate, TuneSettings, relu_choice
from edgeacts.tuning.networks import with_function


@dataclass
class OpenVinoInt8Bench:
    """The network by NNCF with activations as units: both placements, polynomials of each error, the native operator."""

    portable: onnx.ModelProto
    settings: TuneSettings
    executed: str = "f32"

    def baseline(self, folder: Path) -> Path:
        """As `Bench`, in ReLU's faster placement: all layers or, where 8-bit products saturate, all but depthwise ones."""
        variants = self._variants(relu_choice(), folder / BASELINE)
        placement = variants.placements[-1 if saturates() else 0]
        return variants.write(variants.exported(placement), folder / f"{BASELINE}.xml", batch=1)

    def candidates(self, definition: Activation, folder: Path) -> list[Candidate]:
        """As `Bench`; the float network is one of them, so that INT8 which does not pay is seen."""
        tolerance = max(self.settings.tolerances)
        kept = choose_for(definition, runtime=self.settings.runtime, tolerance=tolerance)
        variants = self._variants(kept, folder)
        found = [Candidate(FLOAT, variants.path, _record(FLOAT, None, ""))]
        for place, variant in enumerate(_tried(variants)):
            xml = variants.write(variant, folder / f"{place}.xml", batch=1)
            record = _record(variant.placement, variant.step_share, variant.body)
            found.append(Candidate(variant.name, xml, record))
        return found

    def _variants(self, choice: Choice, folder: Path) -> Variants:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{FLOAT}.onnx"
        onnx.save(with_function(self.portable, choice, choice.activation.values()), path)
        images = noise_images(self.settings.size, self.settings.seed)
        return Variants(path, images, half_range=saturates())


def _tried(variants: Variants) -> Iterator[Variant]:
    for placement in variants.placements:
        base = variants.exported(placement)
        yield base
        if (native := variants.with_native(base)) is not None:
            yield native
        yield from variants.fitted(base, STEP_SHARES)
        for share in FUSED_SHARES:
            if (fused := variants.fused(base, share)) is not None:
                yield fused


def _record(placement: str, step_share: float | None, body: str) -> Callable[[LatencySeries], TunedSetting]:
    def record(series: LatencySeries) -> TunedSetting:
        return TunedSetting(
            placement=placement, step_share=step_share, body=body,
            ratio=series.ratio, ratio_low=series.ratio_low, ratio_high=series.ratio_high,
        )  # fmt: skip

    return record
