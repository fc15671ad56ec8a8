"""The command line. One file per verb, one row in `_VERBS`; a verb's file is imported only when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import MappingProxyType
from typing import NoReturn

from edgeacts import __version__
from edgeacts.errors import EdgeactsError, UsageError, missing_extra
from edgeacts.names import check_name

# verb -> (module, one line for --help)
_VERBS = MappingProxyType(
    {
        "run": ("edgeacts.cli.run", "train, export, verify, benchmark and report in one folder"),
        "train": ("edgeacts.cli.train", "train a network with an activation, write a checkpoint"),
        "export": ("edgeacts.cli.export", "checkpoint -> portable ONNX and its inlined twin"),
        "quantize": ("edgeacts.cli.quantize", "portable ONNX -> its 8-bit twin, accuracy measured"),
        "verify": ("edgeacts.cli.verify", "prove that an ONNX file computes what the model computes"),
        "conformance": ("edgeacts.cli.conformance", "how exactly runtimes compute activations, in ULP"),
        "accelerate": ("edgeacts.cli.accelerate", "compile an ONNX file for this machine, with its kernels"),
        "bench": ("edgeacts.cli.bench", "measure latency, models interleaved"),
        "tune": ("edgeacts.cli.tune", "measure the forms of activations on a runtime of this machine"),
        "report": ("edgeacts.cli.report", "one self-contained HTML page from run folders or records"),
        "list": ("edgeacts.cli.list", "what there is: activations, models, data, runtimes"),
        "explain": (
            "edgeacts.cli.explain",
            "an activation's definition and forms, or what an ONNX file holds",
        ),
        "plot": ("edgeacts.cli.plot", "curve of an activation and its derivative as an HTML page"),
        "doctor": ("edgeacts.cli.doctor", "what this machine has and what is missing"),
    }
)
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done and true, 1 a check failed, 2 wrong usage, 130 interrupted."""
    arguments = [
        *(sys.argv[1:] if argv is None else argv)
    ]  # `list` is a verb's module here, once it was used
    debug = "--debug" in arguments
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # a reader that has gone shows here, not while Python ends
        return code
    except EdgeactsError as error:
        return _fail(str(error), error.exit_code, debug)
    except ModuleNotFoundError as error:
        known = missing_extra(error)
        if not isinstance(known, EdgeactsError):
            raise
        return _fail(str(known), known.exit_code, debug)
    except KeyboardInterrupt:
        again = "; the same command goes on from here" if _resumable(arguments) else ""
        return _fail(f"interrupted{again}", INTERRUPTED, debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _fail("out of memory: give a smaller batch, model or image size", 1, debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1, debug)


def _resumable(arguments: Sequence[str]) -> bool:
    """Whether the command leaves a resume point behind."""
    return bool({"run", "train"} & set(arguments[:2])) or any(a.startswith("--qat") for a in arguments)


def _fail(text: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"edgeacts: {' '.join(text.split())}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Wrong usage is a UsageError: one line, as everything else that goes wrong."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UsageError(f"{message}; see {self.prog} --help")


def _dispatch(arguments: list[str]) -> int:
    parser = _Parser(
        allow_abbrev=False,
        prog="edgeacts",
        description="Train, export, verify and measure networks with any pointwise activation.",
        epilog="`edgeacts VERB --help` explains a verb. Exit codes: 0 done and true, 1 a check failed, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"edgeacts {__version__}")
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    if chosen is not None:
        check_name(chosen, _VERBS, "verb")
    for name, (module, summary) in _VERBS.items():
        sub = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        sub.add_argument("--json", metavar="FILE", help="write the result as JSON to FILE")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if name == chosen:
            verb = import_module(module)
            verb.add_arguments(sub)
            sub.set_defaults(action=verb.action)
    parsed = parser.parse_args(arguments)
    result: int = parsed.action(parsed)
    return result
