"""Records of benchmarks that go on where an interrupted run stopped."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def started(path: Path, settings: Mapping[str, Any], *, resume: bool) -> dict[str, Any]:
    """What an interrupted run of the same settings wrote, when it shall be kept; else a record without parts."""
    known = json.loads(json.dumps(settings))
    record: dict[str, Any] = json.loads(path.read_text()) if resume and path.exists() else {}
    same = "settings" in record and all(record.get(key) == value for key, value in known.items())
    return record if same else {**known, "settings": []}


@contextmanager
def folder_of(work: Path | None) -> Iterator[Path]:
    """The folder that is asked for, kept; without one, a temporary one."""
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="edgeacts-bench-") as folder:
        yield Path(folder)
