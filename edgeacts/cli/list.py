"""`edgeacts list`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from edgeacts.cli.options import wrapped, write_json
from edgeacts.names import check_name

Rows = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """WHAT."""
    parser.add_argument("what", metavar="WHAT", help=f"one of {', '.join(_LISTS)}")


def action(arguments: argparse.Namespace) -> int:
    """Print the list: the name of each, the rest below it."""
    rows = _LISTS[check_name(arguments.what, _LISTS, "list")]()
    for row in rows:
        (_, heading), *rest = row.items()
        print(heading)
        for name, value in rest:
            print(wrapped(f"{name}: {value}", "  "))
    write_json(arguments, rows)
    return 0


def _activations() -> Rows:
    from edgeacts.activations import catalogue
    from edgeacts.oracles import minimum

    rows = []
    for definition in catalogue().values():
        lowest = minimum(definition)
        parameters = [
            f"{p.name} = {p.default:g} ({f'trained per {p.trainable}' if p.trainable else 'fixed'})"
            for p in definition.parameters
        ]
        rows.append(
            {
                "name": definition.name,
                "formula": str(definition.formula),
                "parameters": ", ".join(parameters) or "none",
                "minimum": "none, unbounded below"
                if lowest is None
                else f"{lowest[1]:.6g} at x = {lowest[0]:.6g}",
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
