"""`edgeacts report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeacts.cli.options import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PATH..."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="run folders, or JSON records of train, export, verify, quantize, bench, conformance",
    )
    parser.add_argument(
        "--out", metavar="PATH", help="the page, or the folder for it; default report/ in the run folder"
    )
    parser.add_argument(
        "--into",
        metavar="FILE.md",
        help="also put the summary into this Markdown file, between <!-- edgeacts:summary --> and <!-- edgeacts:end -->",
    )


def action(arguments: argparse.Namespace) -> int:
    """Write the page and print its path."""
    from edgeacts.report import build_report
    from edgeacts.report.insertion import insert_summary

    page = build_report([Path(p) for p in arguments.paths], Path(arguments.out) if arguments.out else None)
    print(f"report: {page}")
    if arguments.into:
        summary = page.with_name("summary.md").read_text()
        insert_summary(
            Path(arguments.into),
            summary,
            f"edgeacts report {' '.join(arguments.paths)} --into {Path(arguments.into).name}",
        )
        print(f"summary: {arguments.into}")
    write_json(arguments, {"report": str(page)})
    return 0
