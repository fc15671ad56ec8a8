"""Options that several verbs share, and how their texts become values."""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec

from edgeacts.errors import UsageError
from edgeacts.files import write_bytes_atomic


def wrapped(text: str, indent: str = "") -> str:
    """`text` in lines that fit the terminal; those after the first stand four columns further in."""
    width = max(60, shutil.get_terminal_size((80, 24)).columns)
    further = indent + "    "
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def names(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated text: "relu, mish" -> ("relu", "mish")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(text: str) -> tuple[int, ...]:
    """The whole numbers of a comma-separated text: "1, 2" -> (1, 2). For argparse."""
    parts = names(text)
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: write whole numbers separated by commas, such as 1,2")
    return tuple(map(int, parts))


def sizes(pairs: list[str] | None) -> dict[str, int]:
    """["height=224"] -> {"height": 224}. Raises UsageError for another shape of text."""
    result = {}
    for pair in pairs or []:
        name, equals, number = pair.partition("=")
        if not equals or not number.isdigit() or int(number) < 1:
            raise UsageError(f"--size {pair!r}: write NAME=N with N at least 1, such as height=224")
        result[name] = int(number)
    return result


def share(text: str) -> float:
    """A share: "2%" and "0.02" -> 0.02. Raises ArgumentTypeError."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if rest or not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 2% or 0.02")
    return value


def seed(text: str) -> int:
    """A whole number of at least 0. Raises ArgumentTypeError."""
    if not text.strip().isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: write a whole number of at least 0")
    return int(text)


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Seconds: "60", "60s", "1m" -> 60.0, "250ms" -> 0.25, "1.5h" -> 5400.0. Raises ArgumentTypeError."""
    found = re.fullmatch(r"([0-9.]+)\s*(ms|s|min|m|h|)", text.strip())
    try:
        value = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 60s, 2m or a number of seconds")
    return value


def add_tuning(parser: argparse.ArgumentParser) -> None:
    """--tuning."""
    parser.add_argument("--tuning", metavar="FILE", help="file of edgeacts tune; default the machine's own")


def add_body_for(parser: argparse.ArgumentParser) -> None:
    """--body-for and --tuning."""
    parser.add_argument(
        "--body-for",
        metavar="RUNTIME",
        help="onnxruntime: compute activations in the form that it runs fastest without kernels (browser, mobile)",
    )
    add_tuning(parser)


def add_runtime(parser: argparse.ArgumentParser, default: str) -> None:
    """--runtime, --threads, --provider."""
    parser.add_argument(
        "--runtime",
        metavar="NAMES",
        type=names,
        default=names(default),
        help=f"comma-separated; default {default}",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of the runtime; 0 = all cores; default 1"
    )
    parser.add_argument(
        "--provider",
        default="cpu",
        metavar="NAME",
        help="ONNX Runtime execution provider: cpu, cuda, or its name; default cpu",
    )


# TrainSettings field -> (option, type, help). The defaults stand in TrainSettings alone.
_TRAINING: tuple[tuple[str, str, Any, str], ...] = (
    ("width", "--width", float, "width multiplier of the network"),
    ("data", "--data", str, "data set: digits, fashion-mnist, folder:PATH, ... (edgeacts list data)"),
    ("data_root", "--data-root", str, "folder to look for the data in"),
    ("image_size", "--image-size", int, "side in pixels to resize the images to"),
    ("limit_train", "--limit-train", int, "use so many training images only"),
    ("epochs", "--epochs", int, "epochs to train; default 3 to 20, the fewer the more images there are"),
    ("batch_size", "--batch-size", int, "images a step, per device"),
    ("optimizer", "--optimizer", str, "adamw or sgd"),
    ("schedule", "--schedule", str, "learning-rate schedule: cosine, onecycle or constant"),
    ("learning_rate", "--lr", float, "peak learning rate"),
    ("momentum", "--momentum", float, "momentum of sgd"),
    ("weight_decay", "--weight-decay", float, "weight decay of weights (not of norms, biases, activations)"),
    ("label_smoothing", "--label-smoothing", float, "share of the target spread over all classes"),
    ("activation_parameters", "--activation-parameters", str, "as_defined, fixed, layer or channel"),
    ("precision", "--precision", str, "32, bf16-mixed or 16-mixed"),
    ("seed", "--seed", int, "seed of weights, order, augmentation, dropout"),
    ("accelerator", "--accelerator", str, "Lightning's accelerator: auto, cpu, gpu, ..."),
    ("devices", "--devices", str, "Lightning's devices: auto, 1, 2, ..."),
    ("strategy", "--strategy", str, "Lightning's strategy: auto, ddp, ..."),
    ("threads", "--train-threads", int, "torch threads while training"),
    ("checkpoint_every_s", "--checkpoint-every", float, "seconds between resume points"),
)


def add_training(parser: argparse.ArgumentParser) -> None:
    """Every field of TrainSettings but model and activation; not given = not set."""
    from edgeacts.training import TrainSettings

    defaults = {f.name: f.default for f in msgspec.structs.fields(TrainSettings)}
    group = parser.add_argument_group("training")
    for field, option, kind, text in _TRAINING:
        default = defaults[field]
        suffix = "" if default is None else f"; default {default}"
        group.add_argument(
            option, dest=field, type=kind, metavar=option[2:].upper().replace("-", "_"), help=text + suffix
        )
    group.add_argument(
        "--no-augment",
        dest="augment",
        action="store_const",
        const=False,
        help="no flips and shifts of training images",
    )


def given_training(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of TrainSettings that were given."""
    fields = [field for field, *_ in _TRAINING] + ["augment"]
    given = {f: getattr(arguments, f) for f in fields if getattr(arguments, f) is not None}
    if str(given.get("devices", "")).isdigit():
        given["devices"] = int(given["devices"])
    return given


def write_json(arguments: argparse.Namespace, result: Any) -> None:
    """Write `result` (a record, or plain data) to --json FILE if it was given."""
    if arguments.json:
        path = Path(arguments.json)
        if hasattr(result, "to_json"):
            write_bytes_atomic(path, result.to_json())
        else:
            write_bytes_atomic(path, msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def on_terminal() -> bool:
    """Progress bars are for terminals."""
    return sys.stderr.isatty()
