"""`edgeacts plot`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeacts.cli.options import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """ACTIVATION --out FILE."""
    parser.add_argument("activation", metavar="ACTIVATION", help="name (edgeacts list activations)")
    parser.add_argument("--out", metavar="FILE", help="the page; default ACTIVATION.html")


def action(arguments: argparse.Namespace) -> int:
    """Write the curve and its derivative as a page that needs no network."""
    from edgeacts.files import write_text_atomic
    from edgeacts.report import curve_figure

    page = Path(arguments.out or f"{arguments.activation}.html")
    figure = curve_figure(arguments.activation)
    write_text_atomic(page, figure.to_html(include_plotlyjs=True, full_html=True))
    print(f"plot: {page}")
    write_json(arguments, {"plot": str(page)})
    return 0
