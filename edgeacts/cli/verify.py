"""`edgeacts verify`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgeacts.cli.images import validation_images
from edgeacts.cli.locating import add_locating, check_locating, locate_action
from edgeacts.cli.options import names, on_terminal, sizes, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """REFERENCE CANDIDATE."""
    parser.epilog = (
        "The error is related to how far the output moves between inputs. A missing output, a NaN, an output that does not "
        "move, or nothing compared is a failure."
    )
    parser.add_argument(
        "reference", metavar="REFERENCE", help="checkpoint (.safetensors, .json) or ONNX file"
    )
    parser.add_argument("candidate", metavar="ONNX", help="the ONNX file to judge")
    parser.add_argument(
        "--runtime",
        type=names,
        metavar="NAMES",
        default=("onnxruntime", "accelerated", "openvino"),
        help="default onnxruntime,accelerated,openvino",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of the runtime; default 1"
    )
    parser.add_argument(
        "--precision",
        default="f32",
        help="f32 (default), or bf16, f16 where the runtime can; judged accordingly",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-5,
        metavar="E",
        help="bound that the file may claim for its activations; default 1e-5",
    )
    parser.add_argument(
        "--data", metavar="NAME", help="data set of the validation images; default the checkpoint's"
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder to look for the data in")
    parser.add_argument(
        "--size", action="append", metavar="NAME=N", help="size of an open dimension; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random inputs")
    add_locating(parser)


def action(arguments: argparse.Namespace) -> int:
    """Judge and print the table; 1 when a comparison failed."""
    from edgeacts.parity import format_verdict, verify

    check_locating(arguments)
    reference, options, preprocessing, data = _reference(Path(arguments.reference))
    preprocessing = preprocessing or stated_preprocessing(Path(arguments.candidate))
    images = validation_images(arguments.data, arguments.data_root, preprocessing, data)
    if arguments.locate:
        return locate_action(arguments, reference, images, options)
    verdict = verify(
        reference, arguments.candidate, images=images, runtimes=arguments.runtime, threads=arguments.threads,
        precision=arguments.precision, tolerance=arguments.tolerance, sizes=sizes(arguments.size), seed=arguments.seed,
        progress=on_terminal(), **options,
    )  # fmt: skip
    print(format_verdict(verdict))
    write_json(arguments, verdict)
    return 0 if verdict.passed else 1


def _reference(path: Path) -> tuple[Any, dict[str, Any], Any, str | None]:
    if path.suffix == ".onnx":
        return path, {}, stated_preprocessing(path), None
    from edgeacts.checkpoint import load_checkpoint
    from edgeacts.exporting import checkpoint_metadata

    checkpoint = load_checkpoint(path)
    options = {
        "label": path.name,
        "reference_sha256": checkpoint.sha256,
        "expected_metadata": {
            k: v
            for k, v in checkpoint_metadata(checkpoint).items()
            if k in ("edgeacts.classes", "edgeacts.preprocessing")
        },
    }
    return checkpoint.model, options, checkpoint.spec.preprocessing, checkpoint.spec.data


def stated_preprocessing(path: Path) -> Any:
    """The preprocessing in an ONNX file's metadata, or None."""
    from edgeacts.onnx_metadata import read_metadata
    from edgeacts.preprocessing import Preprocessing

    text = read_metadata(path).get("edgeacts.preprocessing")
    return None if text is None else Preprocessing.from_json(text)
