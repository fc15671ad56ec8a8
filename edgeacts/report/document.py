"""`report.json`: everything the page shows, for programs.

A `ReportDocument` has the headline, the sentences under it, the problems, the sources (with their SHA-256), and the sections
with all their tables, whole even where the page cuts them. A cell has the `text` as it is shown; a number also its `value` in
full digits in `unit` ("ns", "share" (0 to 1), "ratio", "bytes", "ULP", "dB", ...), an interval its `low` and `high`; `sources`
are numbers of sources. The table of a plot is among the section's tables.
"""

from edgeacts.records import Record
from edgeacts.report.cells import Cell, Table
from edgeacts.report.sections import Report, Section


class DocumentCell(Record, frozen=True, omit_defaults=True):
    """One cell; what is empty is left out."""

    text: str
    note: str = ""
    value: float | int | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    sources: tuple[int, ...] = ()


class DocumentTable(Record, frozen=True):
    """One table; the first cell of a row is its heading."""

    name: str
    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[DocumentCell, ...], ...]


class DocumentSection(Record, frozen=True):
    """A section with its tables and the plots drawn from them, each in words."""

    name: str
    title: str
    lead: str
    plots: dict[str, str]
    tables: tuple[DocumentTable, ...]


class DocumentProblem(Record, frozen=True):
    """What a reader must know before trusting the numbers."""

    where: str
    text: str


class DocumentSource(Record, frozen=True):
    """A file that numbers came from."""

    number: int
    path: str
    record: str
    sha256: str
    size_bytes: int


class ReportDocument(Record, frozen=True, tag_field="kind", tag="report"):
    """The report as data."""

    title: str
    headline: str
    sentences: tuple[str, ...]
    problems: tuple[DocumentProblem, ...]
    summary: DocumentTable
    sections: tuple[DocumentSection, ...]
    sources: tuple[DocumentSource, ...]
    version: int = 1


def document(report: Report, title: str) -> ReportDocument:
    """The report as a record; it is written compactly, being as long as all tables together."""
    return ReportDocument(
        title=title,
        headline=report.headline,
        sentences=tuple(report.sentences),
        problems=tuple(DocumentProblem(where=p.where, text=p.text) for p in report.evidence.problems),
        summary=_table(report.summary),
        sections=tuple(_section(section) for section in report.sections),
        sources=tuple(
            DocumentSource(
                number=s.number, path=s.path, record=s.kind, sha256=s.sha256, size_bytes=s.size_bytes
            )
            for s in report.evidence.sources
        ),
    )


def _section(section: Section) -> DocumentSection:
    return DocumentSection(
        name=section.name,
        title=section.title,
        lead=section.lead,
        plots={plot.name: plot.alt for plot in section.plots},
        tables=tuple(_table(table) for table in section.all_tables),
    )


def _table(table: Table) -> DocumentTable:
    return DocumentTable(
        name=table.name,
        caption=table.caption,
        note=table.note,
        columns=table.columns,
        rows=tuple(tuple(_cell(cell) for cell in row) for row in table.rows),
    )


def _cell(cell: Cell) -> DocumentCell:
    low, high = cell.span or (None, None)
    return DocumentCell(
        text=cell.text, note=cell.note, value=cell.value, low=low, high=high, unit=cell.unit,
        sources=tuple(source.number for source in cell.sources),
    )  # fmt: skip
