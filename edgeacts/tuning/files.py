"""Tuning files: a new measurement joins those of other activations, runtimes and precisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edgeacts.circumstances import Circumstances, circumstances
from edgeacts.definition import Activation
from edgeacts.records import TunedActivation, TuningEntry, TuningRecord
from edgeacts.tuning.candidates import TuneSettings


def write_entry(path: Path, entry: TuningEntry) -> TuningRecord:
    """Put a measurement into the file, before the older ones; what it measured anew leaves them. Raises DamagedFile."""
    older = TuningRecord.read(path).entries if path.exists() else ()
    record = TuningRecord(entries=(entry, *_without(older, entry)))
    path.parent.mkdir(parents=True, exist_ok=True)
    record.write(path)
    return record


def measured_before(path: Path, settings: TuneSettings, activations: Sequence[Activation]) -> tuple[str, ...]:
    """Names of the activations that the file has from this CPU, these versions, network, size and threads. Raises DamagedFile."""
    here, size = circumstances(), (settings.size, settings.size)
    found = set()
    for entry in TuningRecord.read(path).entries if path.exists() else ():
        asked = (settings.runtime, settings.precision, settings.model, settings.threads, size)
        if _machine(entry.circumstances) == _machine(here) and asked == (
            entry.runtime, entry.precision, entry.model, entry.threads, entry.input_shape[2:],
        ):  # fmt: skip
            found |= {_key(one) for one in entry.activations}
    wanted = {a.name: (a.name, str(a.formula), tuple(sorted(a.values().items()))) for a in activations}
    return tuple(name for name, key in wanted.items() if key in found)


def _machine(one: Circumstances) -> tuple[str, tuple[str, ...], dict[str, str]]:
    return one.cpu, one.cpu_features, one.versions


def _without(older: tuple[TuningEntry, ...], entry: TuningEntry) -> Iterator[TuningEntry]:
    anew = {_key(one) for one in entry.activations}
    for old in older:
        if (old.runtime, old.precision) != (entry.runtime, entry.precision):
            yield old
        elif kept := tuple(one for one in old.activations if _key(one) not in anew):
            yield msgspec.structs.replace(old, activations=kept)


def _key(one: TunedActivation) -> tuple[str, str, tuple[tuple[str, float], ...]]:
    return one.activation, one.formula, tuple(sorted(one.parameters.items()))
