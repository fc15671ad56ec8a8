"""A run's summary inside another Markdown file, between two markers: how a README gets its numbers."""

from __future__ import annotations

from pathlib import Path

from edgeacts.errors import UsageError
from edgeacts.files import read_bytes, write_text_atomic

BEGIN, END = "<!-- edgeacts:summary -->", "<!-- edgeacts:end -->"
_MAX_BYTES = 8 * 2**20


def insert_summary(page: Path, summary: str, made_by: str) -> None:
    """Replace what stands between the markers in the Markdown file `page`; `made_by` is the command, for the reader.

    Raises UsageError when the file does not exist or does not hold each marker once, in order.
    """
    text = read_bytes(page, "Markdown file", _MAX_BYTES).decode()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UsageError(
            f"{page} needs the lines {BEGIN} and {END}, once each, where the summary is to stand"
        )
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    note = f"Written by `{made_by}`; do not edit by hand."
    write_text_atomic(page, f"{head}{BEGIN}\n{summary.strip()}\n\n{note}\n{END}{tail}")
