"""`edgeacts quantize` with labelled images: the accuracy gate, other CPUs, fine-tuning."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeacts.cli.options import on_terminal, wrapped
from edgeacts.errors import UsageError

if TYPE_CHECKING:
    from edgeacts.data.dataset import ImageDataset, Split
    from edgeacts.preprocessing import Preprocessing
    from edgeacts.quantization import QuantizeResult, QuantizeSettings
    from edgeacts.quantization.judged import Judged, JudgeSettings

_QAT_OPTIONS = ("epochs", "lr", "batch_size", "train_threads")


def add_gate(parser: argparse.ArgumentParser) -> None:
    """--max-drop, --test-images, --strict, --no-gate, --qat and how to train."""
    group = parser.add_argument_group(
        "accuracy",
        "The file is compared with the float model on the same test images. While it is shown to lose too much, layers go back "
        "to float. Exit code 0: the drop is held, or the images cannot tell, which is said (with --strict 1), as nothing shows a "
        "loss beyond the limit; 1: it failed after all. gate.json and saturation.json in DIR say what was found.",
    )
    group.add_argument(
        "--max-drop",
        type=float,
        default=0.5,
        metavar="P",
        help="accuracy it may cost, in points; default 0.5",
    )
    group.add_argument(
        "--test-images",
        type=int,
        metavar="N",
        help="judge on so many; default 1,000 to 10,000 by the network's size, 500 for OpenVINO",
    )
    group.add_argument(
        "--strict", action="store_true", help="pass only what the images prove, not what they cannot tell"
    )
    group.add_argument(
        "--no-latency",
        action="store_true",
        help="do not time what is tried against the float model (a second a try)",
    )
    group.add_argument("--no-gate", action="store_true", help="do not look at the accuracy at all")
    tuning = parser.add_argument_group(
        "fine-tuning",
        "Quantization-aware, of the INT8 file as it computes, on the training images. Interrupted or killed, the same command "
        "goes on from the last resume point.",
    )
    tuning.add_argument(
        "--qat",
        nargs="?",
        const="needed",
        metavar="WHEN",
        help="fine-tune: needed (default; the drop is not allowed) or always",
    )
    tuning.add_argument("--epochs", type=int, metavar="N", help="epochs of fine-tuning; default 1")
    tuning.add_argument("--lr", type=float, metavar="R", help="its first learning rate; default 3e-4")
    tuning.add_argument("--batch-size", type=int, metavar="N", help="images a step; default 64")
    tuning.add_argument("--train-threads", type=int, metavar="N", help="torch threads while fine-tuning")


def judge_settings(arguments: argparse.Namespace) -> JudgeSettings:
    """What the options say. Raises UsageError for options that do not go together."""
    from edgeacts.names import check_name
    from edgeacts.quantization.gate import GateSettings
    from edgeacts.quantization.judged import QAT_WHEN, JudgeSettings

    given = {name: getattr(arguments, name) for name in _QAT_OPTIONS if getattr(arguments, name) is not None}
    if arguments.qat is None:
        if given:
            raise UsageError(f"--{next(iter(given)).replace('_', '-')} is about fine-tuning: give --qat too")
        tuning = None
    else:
        from edgeacts.quantization.qat import QatSettings

        check_name(arguments.qat, QAT_WHEN, "--qat")
        names = {
            "epochs": "epochs",
            "lr": "learning_rate",
            "batch_size": "batch_size",
            "train_threads": "threads",
        }
        tuning = QatSettings(seed=arguments.seed, **{names[name]: value for name, value in given.items()})
        tuning.training("")  # a value that cannot be is said before the work begins
    return JudgeSettings(
        gate=GateSettings(max_drop=arguments.max_drop, strict=arguments.strict),
        test_images=arguments.test_images,
        qat=tuning,
        qat_when=arguments.qat or QAT_WHEN[0],
        latency=not arguments.no_latency,
    )


def check_no_gate(arguments: argparse.Namespace) -> None:
    """Raise UsageError where options of the gate are given with --no-gate."""
    for name in ("strict", "qat", "test_images", "no_latency"):
        if getattr(arguments, name):
            raise UsageError(f"--no-gate and --{name.replace('_', '-')} do not go together: leave one out")


def quantize_judged(
    arguments: argparse.Namespace, settings: QuantizeSettings, dataset: ImageDataset
) -> tuple[QuantizeResult, Judged]:
    """Quantize, judge, repair; the files are written whether the drop is allowed or not."""
    from edgeacts.data import limit
    from edgeacts.files import folder_lock
    from edgeacts.quantization import post_training
    from edgeacts.quantization.checking import load_model
    from edgeacts.quantization.judged import judge
    from edgeacts.quantization.judged_files import write_judged
    from edgeacts.quantization.tuned_bodies import with_bodies_for

    chosen, path, out = judge_settings(arguments), Path(arguments.model), Path(arguments.out)
    images = limit(dataset, train=max(arguments.images, len(dataset.classes)), seed=arguments.seed).train
    with folder_lock(out):
        model = with_bodies_for(load_model(path), arguments.body_for, arguments.tuning)
        done = post_training(
            model, dataset.preprocessing.normalize(images.images), settings=settings, labels=images.labels,
            progress=on_terminal(),
        )  # fmt: skip
        judged = judge(done, dataset, chosen, out=out, progress=on_terminal())
        return write_judged(judged, path, out)


def judgement(judged: Judged) -> str:
    """The gate's table and a sentence for each question, within 80 columns."""
    from edgeacts.quantization.gate_table import format_gate

    gate = judged.gate
    lines = ["", format_gate(gate)]
    if gate.timed_on:
        lines.append(wrapped(f"latency: over the float model's on {gate.timed_on}, with 95 % intervals"))
    lines.append(wrapped(f"{gate.verdict.upper()}: {gate.summary}"))
    if judged.qat is not None:
        lines.append(wrapped(f"fine-tuning: {judged.qat.summary}"))
    if judged.reduce is not None:
        lines.append(wrapped(judged.reduce.reason))
    other = f"other CPUs: {judged.why_not}" if judged.saturation is None else judged.saturation.summary
    lines.append(wrapped(other))
    return "\n".join(lines)


def as_the_file_takes_them(dataset: ImageDataset, preprocessing: Preprocessing) -> ImageDataset:
    """The data set with the preprocessing that a file states, and images of its size."""
    sizes = [(p.height, p.width, p.channels) for p in (preprocessing, dataset.preprocessing)]
    if sizes[0] == sizes[1]:
        return replace(dataset, preprocessing=preprocessing)
    splits: dict[str, Any] = {
        name: _resized(getattr(dataset, name), preprocessing) for name in ("train", "validation", "test")
    }
    return replace(dataset, preprocessing=preprocessing, **splits)


def _resized(split: Split, preprocessing: Preprocessing) -> Split:
    from edgeacts.data.dataset import Split

    return Split(preprocessing.resize_images(split.images), split.labels)
