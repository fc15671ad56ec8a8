"""`edgeacts verify`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgeacts.cli.images import validation_images
from edgeacts.cli.locating import add_locating, check_locating, locate_action
from edgeacts.cli.options import names, numbers, on_terminal, seed, sizes, write_json
from edgeacts.runtimes import runtime_names

BATCHES = (1, 2, 7)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """REFERENCE CANDIDATE."""
    parser.epilog = (
        "The error is related to how far the output moves between inputs; allowed is what the model's own float32 noise "
        "(measured), the executed precision and the file's activation forms account for. A missing output, a NaN or nothing "
        "compared is a failure; an output that does not move with its input is blind. Exit code 0: pass, 1: fail or blind."
    )
    parser.add_argument(
        "reference", metavar="REFERENCE", help="checkpoint (.safetensors, .json) or ONNX file"
    )
    parser.add_argument("candidate", metavar="MODEL", help="the ONNX or OpenVINO file to judge")
    parser.add_argument(
        "--runtime",
        type=names,
        metavar="NAMES",
        default=runtime_names(),
        help=f"default {','.join(runtime_names())}",
    )
    parser.add_argument(
        "--threads",
        type=numbers,
        metavar="N,...",
        help="threads of the runtime; default 1,2, or 1 on a single core",
    )
    parser.add_argument(
        "--batch",
        type=numbers,
        default=BATCHES,
        metavar="N,...",
        help="batch sizes; default 1,2,7",
    )
    parser.add_argument(
        "--precision",
        type=names,
        metavar="NAMES",
        help="of f32, bf16, f16; default all that a runtime computes in here",
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
    parser.add_argument("--seed", type=seed, default=0, help="seed of the random inputs")
    add_locating(parser)


def action(arguments: argparse.Namespace) -> int:
    """Judge and print the table; 1 when a comparison failed or the model is blind."""
    from edgeacts.parity import format_verdict, verify

    check_locating(arguments)
    reference, options, preprocessing, data = _reference(Path(arguments.reference))
    preprocessing = preprocessing or stated_preprocessing(Path(arguments.candidate))
    images = validation_images(arguments.data, arguments.data_root, preprocessing, data)
    if arguments.locate:
        return locate_action(arguments, reference, images, options)
    verdict = verify(
        reference, arguments.candidate, images=images, runtimes=arguments.runtime, batches=arguments.batch,
        threads=arguments.threads or _threads(), precisions=arguments.precision, tolerance=arguments.tolerance,
        sizes=sizes(arguments.size), seed=arguments.seed, progress=on_terminal(), **options,
    )  # fmt: skip
    print(format_verdict(verdict))
    write_json(arguments, verdict)
    return 0 if verdict.passed else 1


def _threads() -> tuple[int, ...]:
    """One thread and two, where there are two cores."""
    from edgeacts.runtimes import resolve_threads

    return (1, 2) if resolve_threads(0) > 1 else (1,)


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
    """The preprocessing in a model file's metadata, or None."""
    from edgeacts.preprocessing import Preprocessing
    from edgeacts.runtimes import model_metadata

    text = model_metadata(path).get("edgeacts.preprocessing")
    return None if text is None else Preprocessing.from_json(text)
