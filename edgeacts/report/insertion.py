"""A run's summary inside another Markdown file, between two markers: how a README gets its numbers."""

from __future__ import annotations

from pathlib import Path

from edgeacts.errors import UsageError
from edgeacts.files import read_bytes, write_text_atomic

_MAX_BYTES = 8 * 2**20


_FIRST = "summary"


def markers(name: str = _FIRST) -> tuple[str, str]:
    """The two lines between which the part of that name stands."""
    return f"<!-- edgeacts:{name} -->", f"<!-- edgeacts:end{'' if name == _FIRST else f' {name}'} -->"


BEGIN, END = markers()


def insert_summary(page: Path, summary: str, made_by: str, name: str = _FIRST) -> None:
    """Replace what stands between the markers of `name` in the Markdown file `page`; `made_by` is the command, for the reader.

    Raises UsageError when the file does not exist or does not hold each marker once, in order.
    """
    begin, end = markers(name)
    text = read_bytes(page, "Markdown file", _MAX_BYTES).decode()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UsageError(
            f"{page} needs the lines {begin} and {end}, once each, where the summary is to stand"
        )
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    note = f"Written by `{made_by}`; do not edit by hand."
    write_text_atomic(page, f"{head}{begin}\n{summary.strip()}\n\n{note}\n{end}{tail}")
