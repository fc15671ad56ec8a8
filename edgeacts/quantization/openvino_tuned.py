"""What a tuning file says about quantizing a model for OpenVINO: the variant to try before any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgeacts.circumstances import circumstances
from edgeacts.definition import Activation
from edgeacts.exporters.runtime_forms import uses_in
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
        known = settings_measured(use.activation, use.points, tuning)
        if known is None or not counts(known, tuning):
            continue
        best = fastest_setting(known.activation.settings, settings.max_step_share)
        if best is not None:
            told = f"{setting_name(best)} is the fastest for {use.activation.name} in {known.where}"
            return Advice(best, told)
    return None


def settings_measured(
    activation: Activation, points: Sequence[Mapping[str, float]], tuning: str | Path | None
) -> Measured | None:
    """The ways to quantize a network with the activation that were measured; None for several values of its parameters."""
    every = [activation.values(point) for point in points] or [activation.values()]
    if any(one != every[0] for one in every):
        return None
    given = None if tuning is None else Path(tuning)
    known = measured(activation, every[0], runtime=RUNTIME, precision=PRECISION, tuning=given)
    return known if known is not None and known.activation.settings else None


def counts(known: Measured, tuning: str | Path | None) -> bool:
    """Whether a search may end with what was measured: in the file that was given, or here."""
    now, then = circumstances(), known.entry.circumstances
    here, there = (
        (one.cpu, one.cpu_features, one.versions.get(RUNTIME)) for one in (now, then)
    )  # makers call CPUs of different kinds by one name
    return here == there or (tuning is not None and known.source == str(Path(tuning)))
