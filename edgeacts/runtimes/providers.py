"""Which execution provider of ONNX Runtime a request means, and whether the session really got it."""

from collections.abc import Iterable, Mapping, Sequence

from edgeacts.errors import CheckFailed, NotAvailable

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

_SUFFIX = "executionprovider"
_PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "openvino": "onnxruntime-openvino",
    "dml": "onnxruntime-directml",
    "qnn": "onnxruntime-qnn",
}


def choose_providers(asked: str, available: Iterable[str]) -> list[str]:
    """Providers to open a session with: the one asked for, then what it may hand nodes to, the CPU last.

    `asked` is a full name or the part before ExecutionProvider, in any case. Raises NotAvailable with what
    there is.
    """
    names = list(available)
    key = _key(asked)
    chosen = next((name for name in names if _key(name) == key), None)
    if chosen is None:
        package = _PACKAGES.get(key)
        cure = f"pip install {package}, on a machine that has the device" if package else "use one of those"
        raise NotAvailable(
            f"this onnxruntime has no provider {asked!r}: available: {', '.join(names) or 'none'}: {cure}"
        )
    helpers = [CUDA, CPU] if chosen == TENSORRT else [CPU]
    return [chosen, *(name for name in helpers if name in names and name != chosen)]


def provider_options(providers: Sequence[str]) -> list[dict[str, str]]:
    """Options by provider. CUDA would run float32 convolutions as TF32 (10 bits of mantissa) if not told."""
    return [{"use_tf32": "0"} if name == CUDA else {} for name in providers]


def check_provider(asked: str, in_use: Sequence[str], nodes: Mapping[str, int] | None) -> None:
    """Refuse a session that does not use the provider asked for: ONNX Runtime falls back without an error.

    `in_use` are the session's providers, `nodes` how many graph nodes each got (None when this ONNX Runtime
    cannot say). Raises NotAvailable (the provider did not start) or CheckFailed (it got no node).
    """
    name = next((name for name in in_use if _key(name) == _key(asked)), None)
    if name is None:
        raise NotAvailable(
            f"provider {asked!r} did not start, the session would run on {', '.join(in_use) or 'nothing'}: "
            "check its driver and libraries"
        )
    if nodes and not nodes.get(name):
        raise CheckFailed(
            f"provider {asked!r} took none of the model's nodes, all would run on {', '.join(nodes)}"
        )


def _key(name: str) -> str:
    return name.strip().lower().removesuffix(_SUFFIX)
