"""`edgeacts quantize --runtime openvino`: the part of the verb that is OpenVINO's alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeacts.cli.options import duration, on_terminal, wrapped, write_json

if TYPE_CHECKING:
    from edgeacts.data.dataset import ImageDataset, Split
    from edgeacts.records import OpenVinoQuantizationRecord
    from edgeacts.records.openvino_quantization import Int8Candidate

OPENVINO = "openvino"
RUNTIMES = ("onnxruntime", OPENVINO)
JUDGES = 500  # validation images, where no number is given


def add_openvino_options(parser: argparse.ArgumentParser) -> None:
    """--runtime, and what only --runtime openvino reads."""
    parser.add_argument(
        "--runtime", choices=RUNTIMES, default=RUNTIMES[0], help=f"that it is for; default {RUNTIMES[0]}"
    )
    group = parser.add_argument_group(
        "with --runtime openvino",
        "NNCF quantizes with each activation as one unit; model.int8.xml and .bin are the fastest variant that is accurate "
        "enough. One that is not faster than the float model is not written: exit code 1, with the reason.",
    )
    group.add_argument(
        "--try-all",
        action="store_true",
        help="try every variant, also where a tuning file says which is the fastest",
    )
    group.add_argument("--keep-slower", action="store_true", help="write it although it is not faster")
    group.add_argument(
        "--step-share",
        type=float,
        default=1.0,
        metavar="S",
        help="error that activations may have, as a share of an 8-bit step: 0 = as exported; default 1: mostly polynomials; "
        "3: curves that are carried out inside convolutions",
    )
    group.add_argument(
        "--extra-noise",
        type=float,
        default=1.0,
        metavar="DB",
        help="noise of the outputs above that with exact activations; default 1 dB; with --step-share 3, about 2",
    )
    group.add_argument(
        "--fixed-batch",
        type=int,
        default=0,
        metavar="N",
        help="write a model for this batch only; default 0: any that the float model takes",
    )
    group.add_argument("--threads", type=int, default=1, metavar="N", help="threads to time with; default 1")
    group.add_argument(
        "--budget",
        type=duration,
        default=60.0,
        metavar="T",
        help="time to compare latencies for; default 60s",
    )


def openvino_action(arguments: argparse.Namespace, dataset: ImageDataset, chosen: Split) -> int:
    """Quantize with the `chosen` training images, judge on validation images, write, and print every variant."""
    from edgeacts.errors import CheckFailed, UsageError
    from edgeacts.quantization.openvino import RECORD, quantize_openvino
    from edgeacts.quantization.openvino_settings import OpenVinoSettings
    from edgeacts.records import OpenVinoQuantizationRecord

    if arguments.body_for is not None:
        raise UsageError("--body-for is for ONNX Runtime: leave it out with --runtime openvino")
    normalize, judges = dataset.preprocessing.normalize, dataset.validation
    count = JUDGES if arguments.test_images is None else arguments.test_images
    if count < 2:
        raise UsageError(f"--test-images {count}: give at least 2, some thousand prove more")
    settings = OpenVinoSettings(
        reduce_range=arguments.reduce_range, max_step_share=arguments.step_share,
        extra_noise_db=arguments.extra_noise, seed=arguments.seed,
        batch=arguments.fixed_batch, threads=arguments.threads, budget_s=arguments.budget,
        **({} if getattr(arguments, "max_drop", None) is None else {"max_drop": arguments.max_drop}),
    )  # fmt: skip
    try:
        result = quantize_openvino(
            arguments.model, normalize(chosen.images), arguments.out, settings=settings, labels=chosen.labels,
            judge_images=normalize(judges.images[:count]), judge_labels=judges.labels[:count],
            keep_slower=arguments.keep_slower, tuning=arguments.tuning, try_all=arguments.try_all, progress=on_terminal(),
        )  # fmt: skip
    except CheckFailed:
        written = Path(arguments.out) / RECORD
        if written.is_file():
            record = OpenVinoQuantizationRecord.read(written)
            print(summary(record))
            write_json(arguments, record)
        raise
    print(summary(result.record))
    print(wrapped(result.record.reason))
    print(f"written: {result.xml}, {result.weights.name}")
    write_json(arguments, result.record)
    return 0


def summary(record: OpenVinoQuantizationRecord) -> str:
    """One line a variant, in 80 columns; * is the one that was kept."""
    lines = [f"  {'variant':<24} {'time':>6} {'95 % interval':>15} {'SQNR, dB':>8} {'right':>6}  acceptable"]
    lines += [_line(one, one.name == record.chosen) for one in record.candidates]
    lines += [wrapped(f"{one.name}: {one.why}", "  ") for one in record.candidates if not one.acceptable]
    about = f"time = latency over the float model's, {record.threads} thread(s)"
    if record.float_accuracy is not None:
        about += f"; the float model is right on {record.float_accuracy:.1%}"
    if record.half_range:
        about += "; weights have 7 bits"
    lines.append(wrapped(f"{about}; {record.held_out} images judged"))
    return "\n".join([*lines, wrapped(f"tuning: {record.tuned}")] if record.tuned else lines)


def _line(one: Int8Candidate, kept: bool) -> str:
    took, interval = "-", "-"
    if one.time is not None:
        took, interval = f"{one.time.ratio:.3f}", f"{one.time.low:.3f} to {one.time.high:.3f}"
    noise = "-" if one.error.sqnr_db is None else f"{one.error.sqnr_db:.1f}"
    right = "-" if one.accuracy is None else f"{one.accuracy:.1%}"
    answer = "yes" if one.acceptable else "no"
    return f"{'*' if kept else ' '} {one.name:<24} {took:>6} {interval:>15} {noise:>8} {right:>6}  {answer}"
