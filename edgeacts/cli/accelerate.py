"""`edgeacts accelerate`."""

from __future__ import annotations

import argparse

from edgeacts.cli.options import wrapped, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL --out DIR."""
    parser.epilog = (
        "The compiled file is for this CPU and this version of ONNX Runtime; LOADING.md says how C, C++, Java, C# and Python "
        "load it. In Python, open_session(path, accelerate=True) does all this by itself."
    )
    parser.add_argument("model", metavar="MODEL.onnx", help="any ONNX file, ours or not")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads it will run with; 0 = all cores; default 1",
    )


def action(arguments: argparse.Namespace) -> int:
    """Compile, check, measure and write."""
    from edgeacts.acceleration import accelerate
    from edgeacts.runtimes import resolve_threads

    written = accelerate(arguments.model, arguments.out, threads=resolve_threads(arguments.threads))
    manifest = written.manifest
    for way, record in manifest.candidates.items():
        time = (
            f"{record.milliseconds:.3f} ms" if record.milliseconds is not None else f"not used: {record.why}"
        )
        error = (
            f", differs by {record.error:.1e} of the outputs' movement" if record.error is not None else ""
        )
        print(wrapped(f"{way}: {time}{error}"))
    print(wrapped(f"chosen: {manifest.chosen}, {manifest.reason}"))
    print(f"written: {written.model}{'' if written.library is None else f', {written.library.name}'}")
    write_json(arguments, manifest)
    return 0
