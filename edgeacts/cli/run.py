"""`edgeacts run`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeacts.cli.options import add_training, duration, given_training, names, share, wrapped, write_json
from edgeacts.errors import UsageError
from edgeacts.runtimes import runtime_names

if TYPE_CHECKING:
    from edgeacts.pipeline import RunResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--model, --activation, --out and what to measure; the rest is training."""
    parser.epilog = (
        "Interrupted or killed, the same command goes on where it was; `edgeacts run --out DIR` alone does too. "
        "Finished stages are not run again."
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the run; one run at a time")
    parser.add_argument("--model", type=names, metavar="NAMES", help="comma-separated; default mobilenet_v2")
    parser.add_argument(
        "--activation",
        type=names,
        metavar="NAMES",
        help="comma-separated; default relu,hardswish,tanhexp,mish,nish,sau",
    )
    parser.add_argument(
        "--runtime",
        type=names,
        metavar="NAMES",
        help=f"comma-separated; default {','.join(runtime_names())}",
    )
    parser.add_argument("--provider", metavar="NAME", help="ONNX Runtime execution provider; default cpu")
    parser.add_argument("--opset", type=int, metavar="N", help="ONNX opset to export; default 20")
    parser.add_argument(
        "--tolerance", type=float, metavar="E", help="error an activation's form may have; default 1e-5"
    )
    parser.add_argument(
        "--int8",
        action="store_const",
        const=True,
        help="also quantize, verify and measure each network in 8 bits",
    )
    parser.add_argument("--bench-threads", type=int, metavar="N", help="threads of the benchmark; default 1")
    parser.add_argument(
        "--bench-precision", type=share, metavar="P", help="width at which the benchmark ends; default 2%%"
    )
    parser.add_argument(
        "--bench-budget", type=duration, metavar="T", help="time after which the benchmark ends; default 2m"
    )
    parser.add_argument("--bench-rounds", type=int, metavar="N", help="end the benchmark after N rounds")
    add_training(parser)


def action(arguments: argparse.Namespace) -> int:
    """Run, print the summary and where the report is; 1 when a check failed. An 8-bit accuracy that cannot be told is said."""
    from edgeacts.pipeline import SETTINGS_FILE, RunSettings, check, run
    from edgeacts.training import TrainSettings

    out = Path(arguments.out)
    free = {
        "models": arguments.model,
        "activations": arguments.activation,
        "runtimes": arguments.runtime,
        "provider": arguments.provider,
        "opset": arguments.opset,
        "tolerance": arguments.tolerance,
        "int8": arguments.int8,
        "bench_threads": arguments.bench_threads,
        "bench_precision": arguments.bench_precision,
        "bench_budget_s": arguments.bench_budget,
        "bench_rounds": arguments.bench_rounds,
    }
    given = {name: value for name, value in free.items() if value is not None}
    training = given_training(arguments)
    begun = (out / SETTINGS_FILE).exists()
    if begun and not given and not training:
        settings = None
    else:
        if "data" in training and training["data"].startswith("folder:") and not training["data"][7:]:
            raise UsageError("--data folder: needs a path, such as folder:photos")
        settings = RunSettings(training=TrainSettings(**training), **given)
    result = run(settings, out)
    print(_table(result))
    for label, gate in result.gates.items():
        print(wrapped(f"{label} in 8 bits: {gate.verdict.upper()}: {gate.summary}"))
    print(f"report: {result.report}")
    write_json(
        arguments,
        {
            "report": str(result.report),
            "passed": result.passed,
            "test_accuracy": {label: t.test_accuracy for label, t in result.trainings.items()},
            "verdicts": {label: v.summary for label, v in result.verdicts.items()},
            "int8": {
                label: {"verdict": g.verdict, "summary": g.summary} for label, g in result.gates.items()
            },
        },
    )
    check(result)
    return 0


def _table(result: RunResult) -> str:
    """A line per network and activation: accuracy with its interval, median latency and ratio per runtime, parity."""
    columns = sorted({s.runtime for s in result.latency.series})
    width = max(len(label) for label in result.trainings)
    lines = [
        f"{'':<{width}} {'accuracy, %':<14}" + "".join(f" {name:>11}" for name in columns) + " parity",
        f"{'':<{width}} {'':<14}" + f" {'ms  ratio':>11}" * len(columns),
    ]
    for label, training in result.trainings.items():
        low, high = training.test_interval
        accuracy = f"{100 * training.test_accuracy:.1f} ({100 * low:.0f}-{100 * high:.0f})"
        cells = f"{label:<{width}} {accuracy:<14}"
        for name in columns:
            series = next((s for s in result.latency.series if (s.label, s.runtime) == (label, name)), None)
            cells += f" {f'{series.median_ns / 1e6:.2f} {series.ratio:.2f}x' if series else '-':>11}"
        verdicts = [v for key, v in result.verdicts.items() if key.split(" ")[0] == label]
        lines.append(f"{cells} {'pass' if all(v.passed for v in verdicts) else 'FAIL'}")
    return "\n".join(lines)
