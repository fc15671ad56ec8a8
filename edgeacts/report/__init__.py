"""`build_report(folder)`: the records of a run as one self-contained HTML page, with Markdown, CSV and JSON."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgeacts.files import write_bytes_atomic, write_text_atomic
from edgeacts.report.curves import curve_figure
from edgeacts.report.document import document
from edgeacts.report.evidence import collect, common_root
from edgeacts.report.render import render
from edgeacts.report.sections import understand
from edgeacts.report.summary import comma_separated, markdown

__all__ = ["build_report", "curve_figure"]


def build_report(paths: Path | Sequence[Path], out: Path | None = None) -> Path:
    """Write `report.html` with `summary.md`, `summary.csv` and `report.json` beside it; gives the path of the page.

    `paths` is a run folder, or any folders and record files together. `out` is the page (a name that ends in
    .html) or the folder for it; by default the folder `report` in the run folder, or in the one that holds
    all of `paths`. Records that cannot be read or contradict themselves are listed in the page as problems.
    Raises UsageError when a path does not exist or there is not one record.
    """
    listed = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    evidence = collect(listed)
    root = common_root(listed)
    page = _page(root / "report" if out is None else Path(out))
    report, title = understand(evidence), f"edgeacts report: {root.name}"
    html = render(report, title)
    write_text_atomic(page.with_name("summary.md"), markdown(report))
    write_text_atomic(page.with_name("summary.csv"), comma_separated(report))
    write_bytes_atomic(page.with_name("report.json"), msgspec.json.encode(document(report, title)))
    write_text_atomic(page, html)
    return page


def _page(out: Path) -> Path:
    return out if out.suffix.lower() in {".html", ".htm"} and not out.is_dir() else out / "report.html"
