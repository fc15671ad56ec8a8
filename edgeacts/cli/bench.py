"""`edgeacts bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeacts.cli.bench_modes import LATENCY, MODE_OPTIONS, add_mode, mode_action, refuse_given
from edgeacts.cli.options import (
    add_runtime,
    duration,
    names,
    on_terminal,
    seed,
    share,
    sizes,
    wrapped,
    write_json,
)
from edgeacts.errors import CheckFailed
from edgeacts.runtimes import runtime_names

_NUMBERS = ("f32", "bf16", "f16")
_WITHIN, _BUDGET_S, _TOLERANCE = 0.02, 60.0, 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL..."""
    parser.epilog = (
        "The models are run in turn, in fresh processes, until each ratio to the first model is known as precisely as asked "
        "for, or the time is used up. `cannot tell` means that the difference, if any, is lost in this machine's noise."
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="ONNX files, ours or not")
    add_runtime(parser, ",".join(runtime_names()))
    parser.add_argument(
        "--precision",
        type=_width,
        metavar="P",
        help="half width of the ratios' intervals at which to stop; default 2%%",
    )
    parser.add_argument(
        "--budget", type=duration, metavar="T", help="time to stop after: 60s, 2m; default 60s"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="stop after N runs of each model")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images a run; default 1")
    parser.add_argument("--level", metavar="NAME", help="graph optimization level; default all")
    parser.add_argument(
        "--executed-precision",
        default="f32",
        metavar="NAME",
        help="what to compute in: f32 (default), or bf16, f16 where the runtime can",
    )
    parser.add_argument(
        "--size", action="append", metavar="NAME=N", help="size of an open dimension; may be repeated"
    )
    parser.add_argument("--label", type=names, metavar="NAMES", help="comma-separated names for the table")
    parser.add_argument("--seed", type=seed, default=0, help="seed of inputs and order")
    parser.add_argument(
        "--compare",
        metavar="OLD.json",
        help="compare with an older --json: exit code 1 if something became slower",
    )
    parser.add_argument(
        "--tolerance",
        type=share,
        metavar="P",
        help="slowdown that --compare allows; default 5%%",
    )
    parser.add_argument(
        "--compare-by",
        choices=("auto", "ratio", "time"),
        help="what --compare compares; default auto: ratios to the baseline where it is the same file on the same runtime, "
        "else times",
    )
    add_mode(parser)


def _width(text: str) -> float:
    if text.strip().lower() in _NUMBERS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is what to compute in: write --executed-precision {text}; --precision is the interval's width, such as 2%"
        )
    return share(text)


def action(arguments: argparse.Namespace) -> int:
    """Measure, print the table; with --compare 1 when a model became slower."""
    if arguments.mode != LATENCY:
        refuse_given(arguments, ("compare", "rounds", "precision", "budget", "tolerance", "compare_by"))
        return mode_action(arguments)
    refuse_given(arguments, MODE_OPTIONS)
    within = _WITHIN if arguments.precision is None else arguments.precision
    budget_s = _BUDGET_S if arguments.budget is None else arguments.budget
    tolerance = _TOLERANCE if arguments.tolerance is None else arguments.tolerance
    from edgeacts.latency import benchmark, format_latency
    from edgeacts.latency.comparing import compare_latency, comparison_lines
    from edgeacts.records import LatencyRecord

    old = LatencyRecord.read(Path(arguments.compare)) if arguments.compare else None
    record = benchmark(
        arguments.models, runtimes=arguments.runtime, threads=arguments.threads, provider=arguments.provider,
        level=arguments.level, precision=arguments.executed_precision, batch=arguments.batch,
        sizes=sizes(arguments.size), within=within, budget_s=budget_s, rounds=arguments.rounds,
        seed=arguments.seed, labels=arguments.label or None, progress=on_terminal(),
    )  # fmt: skip
    print(format_latency(record))
    write_json(arguments, record)
    if old is None:
        return 0
    changes = compare_latency(record, old, tolerance=tolerance, by=arguments.compare_by or "auto")
    print(f"\ncompared with {arguments.compare}:")
    for line in comparison_lines(changes, tolerance):
        print(wrapped(line))
    if all(change.change is None for change in changes):
        raise CheckFailed(f"nothing could be compared with {arguments.compare}: see the reasons above")
    return int(any(change.slower for change in changes))
