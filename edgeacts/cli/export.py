"""`edgeacts export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeacts.cli.images import validation_images
from edgeacts.cli.options import names, on_terminal, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """CHECKPOINT --out DIR."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint.safetensors or checkpoint.json")
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
        default=1e-5,
        metavar="E",
        help="error a form may have; 0 = the formula; default 1e-5",
    )
    parser.add_argument(
        "--form", metavar="NAME", help="this form of the activation (edgeacts explain ACTIVATION)"
    )
    parser.add_argument(
        "--tuning", metavar="FILE", help="tuning file for the forms of the inlined twin (edgeacts tune)"
    )
    parser.add_argument(
        "--body-for",
        metavar="RUNTIME",
        help="give the portable model the forms that this runtime runs fastest without kernels: onnxruntime",
    )
    parser.add_argument(
        "--runtime",
        type=names,
        metavar="NAMES",
        help="runtimes of the verdict; default onnxruntime,accelerated,openvino",
    )
    parser.add_argument(
        "--data", metavar="NAME", help="data set of the verdict's images; default the checkpoint's"
    )
    parser.add_argument("--data-root", metavar="DIR", help="folder to look for the data in")


def action(arguments: argparse.Namespace) -> int:
    """Export, print files and verdict; 1 when the verdict is fail or blind."""
    from edgeacts.checkpoint import load_checkpoint
    from edgeacts.exporting import export_checkpoint

    checkpoint = load_checkpoint(Path(arguments.checkpoint))
    images = validation_images(
        arguments.data, arguments.data_root, checkpoint.spec.preprocessing, checkpoint.spec.data
    )
    result = export_checkpoint(
        checkpoint, Path(arguments.out), name=arguments.name, opset=arguments.opset, tolerance=arguments.tolerance,
        form=arguments.form, images=images, runtimes=arguments.runtime, tuning=arguments.tuning,
        body_for=arguments.body_for,
        progress=on_terminal(),
    )  # fmt: skip
    print(f"portable: {result.portable}")
    print(f"inlined:  {result.inlined}")
    print(f"{result.verdict.outcome.upper()}: {result.verdict.summary}")
    write_json(arguments, result.record)
    return 0 if result.verdict.passed else 1
