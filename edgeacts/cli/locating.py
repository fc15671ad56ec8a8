"""`edgeacts verify A B --locate`: the part of the verb that looks for the first layer at which the two part."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from edgeacts.cli.options import on_terminal, sizes, wrapped, write_json
from edgeacts.errors import NotAvailable, UsageError
from edgeacts.names import check_name
from edgeacts.runtimes import levels


def add_locating(parser: argparse.ArgumentParser) -> None:
    """--locate and what belongs to it."""
    group = parser.add_argument_group("locating")
    group.add_argument(
        "--locate",
        action="store_true",
        help="find the first layer at which the two part; in the first of the runtimes where they do",
    )
    group.add_argument("--level", metavar="NAME", help="with --locate: the runtime's optimization level")
    group.add_argument(
        "--out",
        metavar="DIR",
        help="with --locate: folder for divergence.json, the layer alone (minimal.onnx, minimal-input.npz) and "
        "nodes.json for Model Explorer",
    )
    group.add_argument(
        "--all-layers",
        action="store_true",
        help="with --locate: look at every layer after the search, so that nodes.json colours them all",
    )


def check_locating(arguments: argparse.Namespace) -> None:
    """The other options of the group belong to --locate."""
    for option in ("level", "out", "all_layers"):
        if getattr(arguments, option) and not arguments.locate:
            raise UsageError(f"--{option.replace('_', '-')} goes with --locate only")


def locate_action(
    arguments: argparse.Namespace, reference: Any, images: Any, options: Mapping[str, Any]
) -> int:
    """Print the layers around the divergence; 1 when there is one."""
    from edgeacts.parity import format_divergence, locate
    from edgeacts.runtimes import precisions

    known = {k: v for k, v in options.items() if k in ("label", "reference_sha256")}
    record = None
    precision = (arguments.precision or ("f32",))[0]
    for runtime in _with_level(arguments.runtime, arguments.level):
        try:
            if precision not in precisions(runtime):
                raise NotAvailable(f"it does not compute in {precision} here")
            record = locate(
                reference, arguments.candidate, images=images, runtime=runtime, level=arguments.level,
                threads=(arguments.threads or (1,))[0], precision=precision,
                tolerance=arguments.tolerance, sizes=sizes(arguments.size), seed=arguments.seed, out=arguments.out,
                all_layers=arguments.all_layers, progress=on_terminal(), **known,
            )  # fmt: skip
        except NotAvailable as error:
            if len(arguments.runtime) == 1:
                raise
            print(wrapped(f"not looked at: {runtime}: {error}"))
            continue
        if record.first is not None:
            break
        print(wrapped(f"{runtime} {record.level}: {record.summary}"))
    if record is None:
        raise NotAvailable(f"none of the runtimes is available: {', '.join(arguments.runtime)}")
    if record.first is not None:
        print(f"{record.candidate} on {record.runtime}, level {record.level}, against {record.reference}")
        print(format_divergence(record))
    write_json(arguments, record)
    return 0 if record.first is None else 1


def _with_level(runtimes: Sequence[str], level: str | None) -> list[str]:
    """The runtimes that have this optimization level. Raises UsageError when none has."""
    found = [r for r in runtimes if level is None or level in levels(r)]
    if level is not None and not found:
        check_name(level, dict.fromkeys(n for r in runtimes for n in levels(r)), "level")
    return found
