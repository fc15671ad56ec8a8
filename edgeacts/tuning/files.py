"""Tuning files: a new measurement joins those of other activations, runtimes and precisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgeacts.records import TunedActivation, TuningEntry, TuningRecord


def write_entry(path: Path, entry: TuningEntry) -> TuningRecord:
    """Put a measurement into the file, before the older ones; what it measured anew leaves them. Raises DamagedFile."""
    older = TuningRecord.read(path).entries if path.exists() else ()
    record = TuningRecord(entries=(entry, *_without(older, entry)))
    path.parent.mkdir(parents=True, exist_ok=True)
    record.write(path)
    return record


def _without(older: tuple[TuningEntry, ...], entry: TuningEntry) -> Iterator[TuningEntry]:
    anew = {_key(one) for one in entry.activations}
    for old in older:
        if (old.runtime, old.precision) != (entry.runtime, entry.precision):
            yield old
        elif kept := tuple(one for one in old.activations if _key(one) not in anew):
            yield msgspec.structs.replace(old, activations=kept)


def _key(one: TunedActivation) -> tuple[str, str, tuple[tuple[str, float], ...]]:
    return one.activation, one.formula, tuple(sorted(one.parameters.items()))
