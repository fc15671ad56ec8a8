"""Tuning files: what those that ship with edgeacts hold, and files with ratios of the test's choice."""

from pathlib import Path

import msgspec

from edgeacts.activations import activation
from edgeacts.circumstances import circumstances
from edgeacts.forms.tuned import shipped_kinds
from edgeacts.records import TunedActivation, TunedForm, TuningEntry, TuningRecord


def shipped_entries() -> list[TuningEntry]:
    """Of every file that ships, in no particular order."""
    return [entry for path in shipped_kinds() for entry in TuningRecord.read(path).entries]


def tuned(name: str, bound: float, ratio: float, **more: object) -> TunedForm:
    """A form with that ratio."""
    given = {"why": "test", "ratio_low": ratio, "ratio_high": ratio, **more}
    # What a test gives besides is the record's own fields, which a mapping of objects cannot say.
    return TunedForm(name=name, bound=bound, ratio=ratio, **given)  # type: ignore[arg-type]


def tuning_file(path: Path, *forms: TunedForm, name: str = "mish", **changes: object) -> Path:
    """One of these forms of Mish, unless `changes` to the activation or the entry say otherwise."""
    one = TunedActivation(
        activation=name,
        formula=str(activation(name).formula),
        parameters=activation(name).values(),
        forms=forms,
    )
    one = msgspec.structs.replace(one, **{k: v for k, v in changes.items() if k in one.__struct_fields__})
    entry = TuningEntry(
        runtime="openvino", runtime_version="1", precision="f32", model="net", input_shape=(1, 3, 32, 32), threads=1,
        rounds=9, baseline_ms=1.0, activations=(one,), circumstances=circumstances(),
    )  # fmt: skip
    entry = msgspec.structs.replace(
        entry, **{k: v for k, v in changes.items() if k in entry.__struct_fields__}
    )
    TuningRecord(entries=(entry,)).write(path)
    return path
