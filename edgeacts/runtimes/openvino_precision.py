"""What OpenVINO executes, read from the compiled model's own graph, and whether it was asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from edgeacts.errors import CheckFailed

# Layers that move or hold values: their precision says nothing about the arithmetic.
_CARRIERS = frozenset({
    "Input", "Output", "Const", "Reorder", "Convert", "Reshape", "Transpose", "Concat", "Split", "Gather",
    "GatherElements", "GatherND", "StridedSlice", "ShapeOf", "Broadcast", "Tile", "Squeeze", "Unsqueeze",
    "Pad", "ShuffleChannels", "SpaceToDepth", "DepthToSpace", "MemoryInput", "MemoryOutput",
})  # fmt: skip
_FLOATS = ("f32", "f16", "bf16", "f64")
_NAMES = {"fp32": "f32", "fp16": "f16", "i8": "int8", "u8": "int8"}


def layer_precisions(layers: Iterable[Mapping[str, str]]) -> Counter[str]:
    """How many computing layers run in each precision; `layers` are the runtime graph's rt_info, as text.

    The kernel's own precision (end of `primitiveType`) is believed before `runtimePrecision`, which is the
    type of the layer's input: an int8 convolution may be carried out by an f32 kernel.
    """
    counts = Counter[str]()
    for info in layers:
        if info.get("layerType", "") in _CARRIERS:
            continue
        declared = info.get("runtimePrecision", "unknown").lower()
        kernel, _, suffix = info.get("primitiveType", "").lower().rpartition("_")
        name = suffix if kernel not in {"", "unknown", "undef"} else declared
        counts[_NAMES.get(name, name)] += 1
    return counts


def confirm_precision(path: str, asked: str, counts: Mapping[str, int]) -> None:
    """Raises CheckFailed when a layer computes in bf16 or f16 and that was not asked for. Integers may."""
    lower = {name: count for name, count in counts.items() if name in {"bf16", "f16"} - {asked}}
    if lower:
        found = ", ".join(f"{count} layers in {name}" for name, count in sorted(lower.items()))
        raise CheckFailed(
            f"{path}: {asked} was asked for, but openvino would run {found}: "
            f"use an f32 model, or ask for precision {max(lower, key=lambda name: lower[name])}"
        )


def summary(counts: Mapping[str, int]) -> str:
    """Floating-point and int8 precisions, the most frequent first, joined by `+`; `unknown` without any."""
    names = [name for name in (*_FLOATS, "int8") if counts.get(name)]
    return "+".join(sorted(names, key=lambda name: -counts[name])) or "unknown"


def runtime_layers(compiled: Any) -> list[dict[str, str]]:
    """rt_info of each layer of a compiled model's runtime graph, as text, with its `name`."""
    return [
        {key: str(value.astype(str)) for key, value in layer.get_rt_info().items()}
        | {"name": layer.get_friendly_name()}
        for layer in compiled.get_runtime_model().get_ordered_ops()
    ]
