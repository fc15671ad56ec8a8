"""What OpenVINO executes, read from the compiled model's own graph, and whether it was asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgeacts.errors import CheckFailed

# Layers that move or hold values: their precision says nothing about the arithmetic.
_CARRIERS = frozenset({
    "Input", "Output", "Const", "Reorder", "Convert", "Reshape", "Transpose", "Concat", "Split", "Gather",
    "GatherElements", "GatherND", "StridedSlice", "ShapeOf", "Broadcast", "Tile", "Squeeze", "Unsqueeze",
    "Pad", "ShuffleChannels", "SpaceToDepth", "DepthToSpace", "MemoryInput", "MemoryOutput",
})  # fmt: skip
# Layers that are in 8 bits only in a quantized model.
_INTEGER = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul", "Pooling", "FakeQuantize"})
_FLOATS = ("f32", "f16", "bf16", "f64")
_NAMES = {"fp32": "f32", "fp16": "f16", "i8": "int8", "u8": "int8"}


def layer_precisions(layers: Iterable[Mapping[str, str]]) -> Counter[str]:
    """How many computing layers run in each precision; `layers` are the runtime graph's rt_info, as text."""
    computing = [info for info in layers if info.get("layerType", "") not in _CARRIERS]
    return Counter(precisions_of(computing))


def precisions_of(layers: Sequence[Mapping[str, str]]) -> list[str]:
    """The precision that each layer computes in.

    Where no product and no pooling runs in 8 bits, nothing is quantized: then 8 bits are truth values or pixels, and a layer
    that selects by them, or converts them, says that it computes in them. It computes in what it gives.
    """
    found = [_precision(info) for info in layers]
    quantized = any(
        p == "int8" and i.get("layerType") in _INTEGER for p, i in zip(found, layers, strict=True)
    )
    if quantized:
        return found
    return [_given(info) if p == "int8" else p for p, info in zip(found, layers, strict=True)]


def _given(info: Mapping[str, str]) -> str:
    name = info.get("outputPrecisions", "").partition(",")[0].lower()
    return name or "unknown"


def _precision(info: Mapping[str, str]) -> str:
    """The kernel's own precision (end of `primitiveType`) is believed before `runtimePrecision`.

    That is the type of the layer's input: an int8 convolution may be carried out by an f32 kernel.
    """
    declared = info.get("runtimePrecision", "unknown").lower()
    kernel, _, suffix = info.get("primitiveType", "").lower().rpartition("_")
    name = suffix if kernel not in {"", "unknown", "undef"} else declared
    if info.get("layerType") == "Subgraph" and info.get("outputPrecisions", "").lower() == "f32":
        return "f32"  # code made for elementwise layers: what it says is the type that it reads and converts
    return _NAMES.get(name, name)


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
