"""`edgeacts quantize`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeacts.cli.options import add_body_for, on_terminal, seed, wrapped, write_json
from edgeacts.cli.quantize_gate import (
    add_gate,
    as_the_file_takes_them,
    check_no_gate,
    judgement,
    quantize_judged,
)
from edgeacts.cli.quantize_openvino import OPENVINO, add_openvino_options, openvino_action
from edgeacts.cli.verify import stated_preprocessing
from edgeacts.errors import UsageError

if TYPE_CHECKING:
    from edgeacts.data import ImageDataset
    from edgeacts.quantization import QuantizeResult, QuantizeSettings
    from edgeacts.records import QuantizationRecord

IMAGES = 256
_SHOWN = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL --data NAME --out DIR."""
    from edgeacts.quantization.ranges import METHODS
    from edgeacts.quantization.settings import ACTIVATION_TYPES, AUTO, REDUCE_RANGE

    parser.epilog = (
        "Everything is chosen by the error of the model's outputs on images that did not calibrate, in exact arithmetic. "
        "The file runs on a stock ONNX Runtime; quantization.json says what was tried."
    )
    parser.add_argument("model", metavar="MODEL.onnx", help="a float32 ONNX file, ours or not")
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for model.int8.onnx, model.int8.inlined.onnx, quantization.json",
    )
    parser.add_argument(
        "--data", metavar="NAME", help="data set to calibrate with (edgeacts list data), its training images"
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder to look for the data in")
    parser.add_argument(
        "--images",
        type=int,
        default=IMAGES,
        metavar="N",
        help=f"so many images, classes in their shares; default {IMAGES}",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the choice of images; default 0")
    parser.add_argument(
        "--activation-type",
        metavar="TYPE",
        default="uint8",
        help=f"of tensors between layers: {' or '.join(ACTIVATION_TYPES)}; default uint8",
    )
    parser.add_argument(
        "--ranges",
        metavar="METHOD",
        default=AUTO,
        help=f"auto tries all: {', '.join(METHODS)}; default auto",
    )
    parser.add_argument(
        "--reduce-range",
        metavar="WHEN",
        default=AUTO,
        help=f"7-bit weights, for CPUs that saturate: {', '.join(REDUCE_RANGE)}; default auto",
    )
    parser.add_argument("--no-bias-correction", action="store_true", help="leave biases as they are")
    parser.add_argument(
        "--no-sensitivity", action="store_true", help="do not measure layers: all of them in 8 bits"
    )
    parser.add_argument(
        "--enough",
        type=float,
        default=30.0,
        metavar="DB",
        help="signal-to-noise ratio at which layers need not be measured; default 30",
    )
    parser.add_argument(
        "--dynamic",
        action="store_true",
        help="dense networks: 8-bit weights, ranges taken while it runs; needs no data",
    )
    add_body_for(parser)
    add_gate(parser)
    add_openvino_options(parser)


def settings_from(arguments: argparse.Namespace) -> QuantizeSettings:
    """The settings that the options say."""
    from edgeacts.quantization import QuantizeSettings

    return QuantizeSettings(
        activation_type=arguments.activation_type,
        ranges=arguments.ranges,
        reduce_range=arguments.reduce_range,
        bias_correction=not arguments.no_bias_correction,
        sensitivity=not arguments.no_sensitivity,
        enough_db=arguments.enough,
        seed=arguments.seed,
    )


def action(arguments: argparse.Namespace) -> int:
    """Quantize, write and print what was chosen."""
    from edgeacts.data import limit
    from edgeacts.quantization import quantize, quantize_dynamic

    settings = settings_from(arguments)
    if arguments.dynamic:
        return report(arguments, quantize_dynamic(arguments.model, arguments.out))
    dataset = calibration_data(Path(arguments.model), arguments.data, arguments.data_root, arguments.images)
    chosen = limit(dataset, train=max(arguments.images, len(dataset.classes)), seed=arguments.seed).train
    if arguments.runtime == OPENVINO:
        return openvino_action(arguments, dataset, chosen)
    if not arguments.no_gate:
        result, judged = quantize_judged(arguments, settings, dataset)
        report(arguments, result)
        print(judgement(judged))
        return 0 if judged.gate.passed else 1
    check_no_gate(arguments)
    result = quantize(
        arguments.model, dataset.preprocessing.normalize(chosen.images), arguments.out, settings=settings,
        labels=chosen.labels, body_for=arguments.body_for, tuning=arguments.tuning, progress=on_terminal(),
    )  # fmt: skip
    return report(arguments, result)


def report(arguments: argparse.Namespace, result: QuantizeResult) -> int:
    """Print the summary and where the files are."""
    print(summary(result.record))
    print(wrapped(f"written: {result.portable} and, without functions, {result.inlined.name}"))
    write_json(arguments, result.record)
    return 0


def calibration_data(model: Path, data: str | None, root: str | None, count: int) -> ImageDataset:
    """The data set, its images as the file takes them. Raises UsageError."""
    from edgeacts.data import load_dataset
    from edgeacts.quantization.checking import LEAST_IMAGES

    preprocessing = stated_preprocessing(model)
    if data is None:
        raise UsageError("quantization needs images: give --data NAME (edgeacts list data), or --dynamic")
    if preprocessing is None:
        raise UsageError(
            f"{model} does not state its preprocessing: give a file exported by edgeacts, or images of your own to "
            "edgeacts.quantize(path, images, out)"
        )
    if count < LEAST_IMAGES:
        raise UsageError(f"--images {count}: give at least {LEAST_IMAGES}, some hundred are usual")
    size = preprocessing.height if preprocessing.height == preprocessing.width else None
    return as_the_file_takes_them(
        load_dataset(data, Path(root) if root else None, image_size=size), preprocessing
    )


def summary(record: QuantizationRecord) -> str:
    """What was tried and chosen, in lines of 80 columns."""
    lines = [f"{'ranges':<20} {'SQNR, dB':>8} {'KL':>9} {'same class':>10}"]
    for trial in record.trials:
        name = trial.method + (" + bias" if trial.bias_correction else "")
        lines.append(f"{name:<20} {_cells(trial.error)}")
    lines.append(f"{'chosen':<20} {_cells(record.exact)}  {record.chosen}")
    lines.append(f"{'as it runs here':<20} {_cells(record.deployed)}")
    measured_ones = (row.layer for row in record.layers if row.kept_float)
    kept = ", ".join(dict.fromkeys((*measured_ones, *record.float_layers)))  # the gate puts others back
    measured = "" if record.layers else " (the error is small enough, or layers were not to be measured)"
    lines.append(wrapped(f"in float: {kept or 'no layer' + measured}"))
    lines += [
        wrapped(f"{row.layer}: {row.noise_share:.0%} of the noise; {row.why}", "  ")
        for row in record.layers[:_SHOWN]
    ]
    lines.append(
        f"{record.size_bytes:,} bytes, {record.size_ratio:.3f} of the float file; {record.images} images, "
        f"{record.seconds:.0f} s"
    )
    return "\n".join(lines)


def _cells(error: object) -> str:
    def cell(name: str, spec: str) -> str:
        value = getattr(error, name)
        return "-" if value is None else format(value, spec)

    return f"{cell('sqnr_db', '.1f'):>8} {cell('kl', '.1e'):>9} {cell('agreement', '.1%'):>10}"
