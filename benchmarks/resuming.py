"""Benchmarks that write each part as it comes and go on where an interrupted run stopped."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cpu_records import kind, records

from edgeacts.circumstances import circumstances
from edgeacts.files import write_text_atomic
from edgeacts.records import to_builtins


def add_options(parser: argparse.ArgumentParser) -> None:
    """--resume and --work."""
    parser.add_argument("--resume", action="store_true", help="keep the parts that an interrupted run wrote")
    parser.add_argument("--work", type=Path, help="folder to keep the networks in, for the next run")


def started(path: Path, settings: Mapping[str, Any], *, resume: bool) -> dict[str, Any]:
    """What an interrupted run of the same settings wrote on this kind of CPU, when it shall be kept; else a record without parts.

    Its circumstances are those in which it was begun.
    """
    known, here = json.loads(json.dumps(settings)), kind(circumstances().cpu_features)
    record: dict[str, Any] = records(path).get(here, {}) if resume else {}
    same = "settings" in record and all(record.get(key) == value for key, value in known.items())
    return record if same else {"circumstances": to_builtins(circumstances()), **known, "settings": []}


def write(path: Path, record: Mapping[str, Any]) -> None:
    """The record as JSON, whole or not at all."""
    write_text_atomic(path, json.dumps(record, indent=1) + "\n")


@contextmanager
def folder_of(work: Path | None) -> Iterator[Path]:
    """The folder that is asked for, kept; without one, a temporary one."""
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="edgeacts-bench-") as folder:
        yield Path(folder)
