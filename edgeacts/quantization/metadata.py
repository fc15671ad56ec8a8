"""What an 8-bit file says of itself: the float file's metadata, less what it does not need, and `edgeacts.int8`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata as packages
from typing import Any

import onnx
from onnx import helper

from edgeacts.acceleration.graph import consumers, producers
from edgeacts.forms import DOMAIN
from edgeacts.piecewise import METADATA_KEY

KEY = "edgeacts.int8"
_FORMS = "edgeacts.forms"
_VERSIONS = ("edgeacts", "onnx", "onnxruntime")


def describe(quantized: onnx.ModelProto, given: Mapping[str, str], said: Mapping[str, Any]) -> None:
    """Replace the file's metadata by `given`, tables of activations that are all in 8 bits left out, and `edgeacts.int8`."""
    kept = dict(given)
    kept.pop(KEY, None)
    present = {node.op_type for node in quantized.graph.node if node.domain == DOMAIN}
    for key, wanted in ((METADATA_KEY, float_activations(quantized)), (_FORMS, present)):
        if key in kept:
            kept[key] = _only(kept[key], wanted)
            if kept[key] == "{}":
                del kept[key]
    versions = {name: packages.version(name) for name in _VERSIONS}
    kept[KEY] = json.dumps({**said, "versions": versions}, sort_keys=True)
    del quantized.metadata_props[:]
    helper.set_model_props(quantized, dict(sorted(kept.items())))


def say_also(quantized: onnx.ModelProto, said: Mapping[str, Any]) -> None:
    """Add to what `edgeacts.int8` says, in place."""
    for entry in quantized.metadata_props:
        if entry.key == KEY:
            entry.value = json.dumps({**json.loads(entry.value), **said}, sort_keys=True)


def _only(text: str, wanted: set[str]) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return json.dumps({k: v for k, v in found.items() if k in wanted}, ensure_ascii=False)


def float_activations(quantized: onnx.ModelProto) -> set[str]:
    """Operators of domain `edgeacts` of which a node stands in float: not between DequantizeLinear and QuantizeLinear."""
    makers, readers = producers(quantized.graph), consumers(quantized.graph)
    found = set()
    for node in quantized.graph.node:
        if node.domain != DOMAIN:
            continue
        maker = makers.get(node.input[0])
        behind = readers.get(node.output[0], [])
        eight = maker is not None and maker.op_type == "DequantizeLinear"
        if not eight or not behind or any(r.op_type != "QuantizeLinear" for r in behind):
            found.add(node.op_type)
    return found
