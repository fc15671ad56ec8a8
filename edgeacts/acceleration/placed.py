"""Where activations went in a compiled model: what both kinds of rewriting report."""

from __future__ import annotations

from dataclasses import dataclass

DOMAIN = "edgeacts.kernels"
BLOCKED = "com.microsoft.nchwc"  # ONNX Runtime's blocked layout
# They give what they replace to the last bit.
EXACT_KERNELS = frozenset({"Convolution8", "Depthwise8", "Lookup", "LookupInPlace"})


@dataclass(frozen=True)
class Placed:
    """Where one activation went."""

    site: str
    # "depthwise, on its input", "depthwise, on its output", "1x1 convolution, on its output", "first convolution, on its output",
    # "table", "table, in place", or one of these with "int8 " before it.
    kernel: str
    layout: str  # "blocked", "channels last" or "plain"
    exact: bool = False
