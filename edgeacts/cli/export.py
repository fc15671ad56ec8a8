"""`edgeacts export`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeacts.cli.images import validation_images
from edgeacts.cli.options import add_body_for, names, on_terminal, wrapped, write_json
from edgeacts.errors import UsageError
from edgeacts.runtimes import runtime_names

_TOLERANCE = 1e-5
_STATED = ("edgeacts.classes", "edgeacts.preprocessing")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """CHECKPOINT --out DIR."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="checkpoint.safetensors or checkpoint.json; with --format openvino also MODEL.onnx",
    )
    parser.add_argument(
        "--format",
        choices=("onnx", "openvino"),
        default="onnx",
        help="openvino also writes model.xml, model.bin and model.openvino.onnx; default onnx",
    )
    parser.add_argument(
        "--camera",
        choices=("rgb", "bgr"),
        help="with openvino, also model.camera.xml: input uint8 NHWC of any size, colours in this order",
    )
    parser.add_argument(
        "--executed-precision",
        choices=("f32", "bf16", "f16"),
        help="what openvino is to compute in, which decides the forms; default f32",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for model.onnx, model.inlined.onnx, export.json, verdict.json",
    )
    parser.add_argument(
        "--name", default="model", metavar="NAME", help="file name without .onnx; default model"
    )
    parser.add_argument("--opset", type=int, default=20, metavar="N", help="ONNX opset, 18 to 23; default 20")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="E",
        help="error a form may have; 0 = the formula; default 1e-5",
    )
    add_body_for(parser)
    parser.add_argument(
        "--form", metavar="NAME", help="this form of the activation (edgeacts explain ACTIVATION)"
    )
    parser.add_argument(
        "--runtime",
        type=names,
        metavar="NAMES",
        help=f"runtimes of the verdict; default {','.join(runtime_names())}",
    )
    parser.add_argument(
        "--data", metavar="NAME", help="data set of the verdict's images; default the checkpoint's"
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder to look for the data in")


def action(arguments: argparse.Namespace) -> int:
    """Export, print files and verdict; 1 when the verdict is fail or blind."""
    _check(arguments)
    if arguments.checkpoint.lower().endswith(".onnx"):
        return _openvino(arguments, Path(arguments.checkpoint), None, None, {})
    from edgeacts.checkpoint import load_checkpoint
    from edgeacts.exporting import checkpoint_metadata, export_checkpoint

    checkpoint = load_checkpoint(Path(arguments.checkpoint))
    images = validation_images(
        arguments.data, arguments.data_root, checkpoint.spec.preprocessing, checkpoint.spec.data
    )
    result = export_checkpoint(
        checkpoint, Path(arguments.out), name=arguments.name, opset=arguments.opset,
        tolerance=_TOLERANCE if arguments.tolerance is None else arguments.tolerance,
        form=arguments.form, tuning=arguments.tuning, body_for=arguments.body_for, images=images,
        runtimes=arguments.runtime, progress=on_terminal(),
    )  # fmt: skip
    print(f"portable: {result.portable}")
    print(f"inlined:  {result.inlined}")
    print(f"{result.verdict.outcome.upper()}: {result.verdict.summary}")
    if arguments.format == "openvino":
        stated = {k: v for k, v in checkpoint_metadata(checkpoint).items() if k in _STATED}
        judged_by = {
            "label": checkpoint.path.name,
            "reference_sha256": checkpoint.sha256,
            "expected_metadata": stated,
        }
        code = _openvino(arguments, result.portable, checkpoint.model, images, judged_by)
        return code if result.verdict.passed else 1
    write_json(arguments, result.record)
    return 0 if result.verdict.passed else 1


def _check(arguments: argparse.Namespace) -> None:
    if arguments.format == "openvino":
        return
    for option, value in (
        ("--camera", arguments.camera),
        ("--executed-precision", arguments.executed_precision),
    ):
        if value is not None:
            raise UsageError(f"{option} is for OpenVINO: add --format openvino")
    if arguments.checkpoint.lower().endswith(".onnx"):
        raise UsageError(
            f"{arguments.checkpoint} is exported already: give a checkpoint, or add --format openvino"
        )


def _openvino(
    arguments: argparse.Namespace, portable: Path, reference: Any, images: Any, judged_by: Mapping[str, Any]
) -> int:
    """Write OpenVINO's files of the portable model, print them and the verdict."""
    from edgeacts.exporting_openvino import export_openvino
    from edgeacts.runtimes.openvino_layers import told

    result = export_openvino(
        portable, Path(arguments.out), name=arguments.name, tolerance=arguments.tolerance, camera=arguments.camera,
        tuning=arguments.tuning,
        precision=arguments.executed_precision or "f32", reference=reference, images=images, progress=on_terminal(), **judged_by,
    )  # fmt: skip
    files = result.files
    print(f"openvino: {files.xml}")
    print(f"inlined for it: {files.inlined or 'not written, it would be larger than 2 GiB'}")
    if files.camera is not None:
        print(f"camera:   {files.camera}, within {result.camera_error or 0.0:.1g} of its own preprocessing")
    print(wrapped(f"executed: {told(result.executed) or 'no activation of ours'}"))
    print(f"{result.verdict.outcome.upper()}: {result.verdict.summary}")
    write_json(arguments, result.executed)
    return 0 if result.verdict.passed else 1
