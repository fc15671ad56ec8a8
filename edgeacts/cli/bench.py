"""`edgeacts bench`."""

from __future__ import annotations

import argparse

from edgeacts.cli.bench_modes import LATENCY, add_mode, mode_action
from edgeacts.cli.options import add_runtime, names, on_terminal, sizes, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL..."""
    parser.epilog = "The models are run in turn, in a new random order each round, after warm-up. Ratios are to the first model."
    parser.add_argument("models", nargs="+", metavar="MODEL", help="ONNX files, ours or not")
    add_runtime(parser, "onnxruntime,accelerated,openvino")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images a run; default 1")
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="runs of each model; default 60")
    parser.add_argument(
        "--budget", type=float, metavar="S", help="stop after so many seconds, not before 5 rounds"
    )
    parser.add_argument("--level", metavar="NAME", help="graph optimization level; default all")
    parser.add_argument(
        "--precision", default="f32", help="f32 (default), or bf16, f16 where the runtime can"
    )
    parser.add_argument(
        "--size", action="append", metavar="NAME=N", help="size of an open dimension; may be repeated"
    )
    parser.add_argument("--label", type=names, metavar="NAMES", help="comma-separated names for the table")
    parser.add_argument("--seed", type=int, default=0, help="seed of inputs and order")
    add_mode(parser)


def action(arguments: argparse.Namespace) -> int:
    """Measure and print the table."""
    if arguments.mode != LATENCY:
        return mode_action(arguments)
    from edgeacts.latency import benchmark, format_latency

    record = benchmark(
        arguments.models, runtimes=arguments.runtime, threads=arguments.threads, provider=arguments.provider,
        level=arguments.level, precision=arguments.precision, batch=arguments.batch, sizes=sizes(arguments.size),
        rounds=arguments.rounds, budget_s=arguments.budget, seed=arguments.seed, labels=arguments.label or None,
        progress=on_terminal(),
    )  # fmt: skip
    print(format_latency(record))
    write_json(arguments, record)
    return 0
