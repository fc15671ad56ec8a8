"""`edgeacts train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeacts.cli.options import add_training, given_training, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--model, --activation, --out and every training setting."""
    parser.epilog = (
        "Killed or interrupted, the same command goes on from the last resume point, to the same result."
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for checkpoint.safetensors, checkpoint.json, training.json",
    )
    parser.add_argument("--model", metavar="NAME", help="default mobilenet_v2 (edgeacts list models)")
    parser.add_argument("--activation", metavar="NAME", help="default tanhexp (edgeacts list activations)")
    add_training(parser)


def action(arguments: argparse.Namespace) -> int:
    """Train and print the test accuracy and the checkpoint's path."""
    from edgeacts.files import folder_lock
    from edgeacts.training import TrainSettings, train

    chosen = {n: getattr(arguments, n) for n in ("model", "activation") if getattr(arguments, n) is not None}
    settings = TrainSettings(**chosen, **given_training(arguments))
    out = Path(arguments.out)
    with folder_lock(out):
        record = train(settings, out)
    low, high = record.test_interval
    print(
        f"{record.model} {record.activation} on {record.data}: test accuracy {record.test_accuracy:.2%} "
        f"({low:.2%} to {high:.2%}, {record.test_correct}/{record.test_total}) "
        f"after {len(record.epochs)} epochs, {record.seconds:.0f} s"
    )
    print(f"checkpoint: {out / record.checkpoint}")
    write_json(arguments, record)
    return 0
