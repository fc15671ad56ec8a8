"""What a tuning file says about quantizing a model for OpenVINO: the variant to try before any other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgeacts.circumstances import circumstances
from edgeacts.exporters.runtime_forms import Use, uses_in
from edgeacts.forms.tuned import Measured, fastest_setting, measured, setting_name
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.records import TunedSetting

RUNTIME, PRECISION = "openvino", "int8"


@dataclass(frozen=True)
class Advice:
    """The setting to try first, and where it comes from, in words."""

    setting: TunedSetting
    told: str

    @property
    def name(self) -> str:
        """Of the variant."""
        return setting_name(self.setting)


def advice(path: Path, settings: OpenVinoSettings, tuning: str | Path | None = None) -> Advice | None:
    """What was measured for the activation that most nodes are; None where nothing was.

    A file that is given counts wherever it was measured; the user's own and the one that ships only if that was on this CPU
    with this version of OpenVINO, since the search ends with what they say. Raises UsageError or DamagedFile.
    """
    model = onnx.load(path, load_external_data=False)
    calls = Counter(node.op_type for node in model.graph.node)
    for use in sorted(uses_in(model), key=lambda one: -calls[one.operator]):
        known = _known(use, tuning)
        best = None if known is None else fastest_setting(known.activation.settings, settings.max_step_share)
        if known is not None and best is not None:
            told = f"{setting_name(best)} is the fastest for {use.activation.name} in {known.where}"
            return Advice(best, told)
    return None


def _known(use: Use, tuning: str | Path | None) -> Measured | None:
    if len(use.points) > 1:
        return None
    given = None if tuning is None else Path(tuning)
    known = measured(use.activation, use.points[0], runtime=RUNTIME, precision=PRECISION, tuning=given)
    if known is None or not known.activation.settings or (known.source != str(given) and not _here(known)):
        return None
    return known


def _here(known: Measured) -> bool:
    now, then = circumstances(), known.entry.circumstances
    return (now.cpu, now.versions.get(RUNTIME)) == (then.cpu, then.versions.get(RUNTIME))
