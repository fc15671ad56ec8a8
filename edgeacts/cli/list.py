"""`edgeacts list`."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Callable
from typing import Any

from edgeacts.cli.options import write_json

Rows = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """WHAT."""
    parser.add_argument("what", choices=tuple(_LISTS), help="what to list")


def action(arguments: argparse.Namespace) -> int:
    """Print the list."""
    rows = _LISTS[arguments.what]()
    width = max(60, shutil.get_terminal_size((80, 24)).columns)
    for row in rows:
        print(_entry(row, width))
    write_json(arguments, rows)
    return 0


def _entry(row: dict[str, Any], width: int) -> str:
    """The first value as the heading, the others below it, wrapped."""
    (_, heading), *rest = row.items()
    lines = [str(heading)]
    for name, value in rest:
        lines += textwrap.wrap(f"{name}: {value}", width, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _activations() -> Rows:
    from edgeacts.activations import catalogue
    from edgeacts.oracles import minimum

    rows = []
    for definition in catalogue().values():
        lowest = minimum(definition)
        parameters = [f"{p.name} = {p.default:g} ({f'trained per {p.trainable}' if p.trainable else 'fixed'})" for p in definition.parameters]
        rows.append(
            {
                "name": definition.name,
                "formula": str(definition.formula),
                "parameters": ", ".join(parameters) or "none",
                "minimum": "none, unbounded below" if lowest is None else f"{lowest[1]:.6g} at x = {lowest[0]:.6g}",
                "source": definition.source,
            }
        )
    return rows


def _models() -> Rows:
    from edgeacts.models import NETWORKS, build_model

    return [
        {
            "name": n.name,
            "widths": "any up to 4" if n.widths is None else ", ".join(map(str, n.widths)),
            "parameters": f"{sum(p.numel() for p in build_model(n.name).parameters()):,} (width 1.0, 1000 classes)",
            "own activation": n.activation,
        }
        for n in NETWORKS
    ]


def _data() -> Rows:
    from edgeacts.data import dataset_names

    return [{"name": name} for name in dataset_names()]


def _runtimes() -> Rows:
    from edgeacts.runtimes import levels, runtime_names

    return [{"name": name, "levels": ", ".join(levels(name))} for name in runtime_names()]


_LISTS: dict[str, Callable[[], Rows]] = {
    "activations": _activations,
    "models": _models,
    "data": _data,
    "runtimes": _runtimes,
}
