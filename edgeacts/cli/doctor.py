"""`edgeacts doctor`."""

from __future__ import annotations

import argparse
from importlib import util

from edgeacts.circumstances import circumstances
from edgeacts.cli.options import wrapped, write_json

# package -> (what needs it, extra that installs it)
_PARTS = {
    "onnxruntime": ("sessions, verify, bench", ""),
    "openvino": ("the runtime openvino", "openvino"),
    "torch": ("train, export, verify of checkpoints", "train"),
    "sympy": ("definitions of activations", "train"),
    "onnxscript": ("export", "train"),
    "pytorch_lightning": ("train", "train"),
    "plotly": ("report, plot", "train"),
    "sklearn": ("the digits data", "train"),
    "PIL": ("images", "train"),
    "datasets": ("hub:NAME data", "hub"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes nothing."""


def action(arguments: argparse.Namespace) -> int:
    """Print machine, versions, providers, and what is missing with the command that installs it."""
    found = circumstances()
    print(
        wrapped(
            f"CPU: {found.cpu}, {found.cpu_count} cores; {' '.join(found.cpu_features) or 'no known features'}"
        )
    )
    print(f"system: {found.system}, Python {found.python}")
    print(wrapped(f"versions: {', '.join(f'{n} {v}' for n, v in found.versions.items())}"))
    missing = {}
    for package, (needed_for, extra) in _PARTS.items():
        if util.find_spec(package) is None:
            missing[package] = (
                f"needed for {needed_for}: pip install 'edgeacts{f'[{extra}]' if extra else ''}'"
            )
    providers: list[str] = []
    if "onnxruntime" not in missing:
        import onnxruntime

        providers = list(onnxruntime.get_available_providers())
        print(wrapped(f"ONNX Runtime providers: {', '.join(providers)}"))
    kernels = _kernels() if "onnxruntime" not in missing else "need onnxruntime"
    print(wrapped(f"kernels: {kernels}"))
    saturation = _saturation() if "onnxruntime" not in missing else "needs onnxruntime"
    print(wrapped(f"INT8: {saturation}"))
    for package, text in missing.items():
        print(wrapped(f"missing: {package}, {text}"))
    print(f"missing packages: {len(missing) or 'none'}")
    write_json(
        arguments,
        {
            "circumstances": found,
            "missing": missing,
            "providers": providers,
            "kernels": kernels,
            "saturation": saturation,
        },
    )
    return 0


def _kernels() -> str:
    from edgeacts import native
    from edgeacts.acceleration.cache import cache_folder

    reason = native.missing()
    if reason is not None:
        return f"{reason}; everything works without them, slower"
    others = ", ".join(name for name in native.ISAS if native.has(name))
    return f"{native.isa()} (this CPU has: {others}; {native.ISA_VARIABLE} chooses); compiled models in {cache_folder()}"


def _saturation() -> str:
    """Whether 8-bit sums are cut here, and what that means for a file."""
    from edgeacts.quantization.saturation import probe

    found = probe()
    advice = "; edgeacts quantize says what it costs, --reduce-range yes avoids it" if found.saturates else ""
    return f"{found}{advice}"
