"""`edgeacts bench --mode ...`: its options, and what is done with them."""

from __future__ import annotations

import argparse
from typing import Any

from edgeacts.cli.options import duration, on_terminal, sizes, write_json
from edgeacts.errors import UsageError

LATENCY = "latency"
# argument of a mode's function -> option
_OPTIONS = {
    "rate_hz": "--rate",
    "duration_s": "--duration",
    "streams": "--streams",
    "repeats": "--repeats",
}
MODE_OPTIONS = tuple(_OPTIONS)


def add_mode(parser: argparse.ArgumentParser) -> None:
    """--mode, and the options that only some modes have."""
    group = parser.add_argument_group("modes")
    group.add_argument(
        "--mode",
        default=LATENCY,
        metavar="NAME",
        help="latency (default): compare models, interleaved; cold: process start to first result; paced: a frame every 1/rate "
        "seconds; sustained: without a pause for minutes; throughput: requests at once; memory; profile: time by operator",
    )
    group.add_argument(
        "--rate", type=float, dest="rate_hz", metavar="HZ", help="paced: frames a second; default 30"
    )
    group.add_argument(
        "--duration",
        type=duration,
        dest="duration_s",
        metavar="TIME",
        help="paced, sustained, throughput: of each model, as 10s or 5m; default 10s, 60s, 10s",
    )
    group.add_argument(
        "--streams", type=int, metavar="N", help="throughput: requests at once; default --threads"
    )
    group.add_argument(
        "--repeats", type=int, metavar="N", help="cold: processes, default 10; profile: runs, default 50"
    )


def refuse_given(arguments: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Raises UsageError for an option that this mode does not have: ignored, it would say what was not done."""
    for name in names:
        if getattr(arguments, name) is not None:
            option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
            where = f"--mode {LATENCY} only" if name not in _OPTIONS else "other modes: give --mode"
            raise UsageError(f"{option} goes with {where}")


def mode_action(arguments: argparse.Namespace) -> int:
    """Measure in the mode asked for and print its table."""
    from edgeacts.latency.modes import mode

    chosen = mode(arguments.mode)
    record = chosen.measure(
        arguments.models, runtimes=arguments.runtime, threads=arguments.threads, provider=arguments.provider,
        level=arguments.level, precision=arguments.executed_precision, batch=arguments.batch, sizes=sizes(arguments.size),
        seed=arguments.seed, labels=arguments.label or None, progress=on_terminal(),
        **_given(arguments, chosen.OPTIONS),
    )  # fmt: skip
    print(chosen.table(record))
    write_json(arguments, record)
    return 0


def _given(arguments: argparse.Namespace, allowed: tuple[str, ...]) -> dict[str, Any]:
    """The mode's options that were given. Raises UsageError for one that the mode does not have."""
    given = {name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None}
    for name in given:
        if name not in allowed:
            theirs = ", ".join(_OPTIONS[one] for one in allowed) or "none of its own"
            raise UsageError(f"{_OPTIONS[name]} is no option of --mode {arguments.mode}, which has {theirs}")
    return given
