"""OpenVINO's own files: model.xml with its weights in model.bin beside it, and what edgeacts writes into them of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeacts.errors import DamagedFile, NotAvailable, UsageError, one_line
from edgeacts.files import read_bytes, sha256_file

MAX_XML_BYTES = 256 * 2**20
SECTION = "edgeacts"
WEIGHTS_HASH = "weights_sha256"
_DESCRIPTION, _FRAMEWORK = "description", "framework"
_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Stated:
    """What a model says of itself: metadata under the keys they have in ONNX, activations by name, form of each operator."""

    metadata: dict[str, str] = field(default_factory=dict)
    activations: dict[str, str] = field(default_factory=dict)
    forms: dict[str, tuple[str, float]] = field(default_factory=dict)


def new_core() -> Any:
    """An openvino.Core. Raises NotAvailable."""
    try:
        import openvino
    except ImportError:
        raise NotAvailable("openvino is not installed: pip install edgeacts[openvino]") from None
    return openvino.Core()


def describe(model: Any, stated: Stated) -> None:
    """Write what the model is into its rt_info, which travels in the .xml, and make room for the hash of the weights.

    Metadata stand where OpenVINO itself puts those of an ONNX file: ["framework", key]. A key that can be no XML name goes
    into the JSON text ["edgeacts", "description"], with activations and forms.
    """
    if _FRAMEWORK in model.rt_info:  # all of an ONNX file's metadata, tables of other runtimes included
        del model.rt_info[_FRAMEWORK]
    odd = {}
    for key, value in sorted(stated.metadata.items()):
        if _XML_NAME.fullmatch(key):
            model.set_rt_info(value, [_FRAMEWORK, key])
        else:
            odd[key] = value
    told = {"metadata": odd, "activations": stated.activations, "forms": stated.forms}
    model.set_rt_info(json.dumps(told, ensure_ascii=False, sort_keys=True), [SECTION, _DESCRIPTION])
    model.set_rt_info("0" * 64, [SECTION, WEIGHTS_HASH])


def read_ir(core: Any, path: Path) -> tuple[Any, Stated]:
    """(openvino.Model, what it says of itself). Only the .bin of the same name is read besides the .xml.

    Raises UsageError (no weights), DamagedFile or NotAvailable.
    """
    # Other content would be tried by every frontend, each with its complaints on stderr.
    text = read_bytes(path, "model", MAX_XML_BYTES)
    if not text.lstrip()[:5].startswith((b"<?xml", b"<net")):
        raise DamagedFile(f"{path} is not an OpenVINO model")
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise UsageError(f"{path} needs its weights beside it: {weights.name} does not exist")
    _check_weights(text, path, weights)
    try:
        model = core.read_model(path, weights)
    except RuntimeError as error:
        raise DamagedFile(f"openvino cannot read {path}: {one_line(error)}") from error
    if not model.outputs:
        raise DamagedFile(f"{path} holds no model with an output: convert it again")
    return model, _stated(model, path)


def stored_precisions(model: Any) -> frozenset[str]:
    """Precisions that an openvino.Model is in: those of its weights, `int8` when it is quantized; f32 if they do not tell."""
    kinds = {op.get_type_name(): op for op in model.get_ordered_ops()}
    weights = {
        op.output(0).get_element_type().get_type_name()
        for op in model.get_ordered_ops()
        if op.get_type_name() == "Constant" and len(op.output(0).get_shape()) > 1
    }
    found = {name for name in weights if name in ("f64", "f32", "bf16", "f16")}
    quantized = "FakeQuantize" in kinds or not weights.isdisjoint(("i8", "u8", "i4", "u4"))
    return frozenset((found or {"f32"}) | ({"int8"} if quantized else set()))


def _check_weights(text: bytes, path: Path, weights: Path) -> None:
    """Before OpenVINO makes sense of them: what they were is written in the .xml, if edgeacts wrote it."""
    stated = re.search(rb"<%b value=\"([0-9a-f]{64})\"" % WEIGHTS_HASH.encode(), text)
    if stated is not None and stated[1].decode() != sha256_file(weights):
        raise DamagedFile(
            f"{weights} holds other weights than those {path.name} was written with: convert again"
        )


def _text(model: Any, place: list[str]) -> str:
    value = model.get_rt_info(place)
    return str(value.astype(str) if hasattr(value, "astype") else value)


def _stated(model: Any, path: Path) -> Stated:
    place = [SECTION, _DESCRIPTION]
    try:
        names = list(model.rt_info[_FRAMEWORK]) if _FRAMEWORK in model.rt_info else []
        metadata = {key: _text(model, [_FRAMEWORK, key]) for key in names}
        if not model.has_rt_info(place):
            return Stated(metadata)
        found = json.loads(_text(model, place))
        return Stated(
            metadata | _texts(found["metadata"]),
            _texts(found["activations"]),
            {str(k): (str(form), float(bound)) for k, (form, bound) in found["forms"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, RuntimeError):
        raise DamagedFile(f"{path}: what it says of itself cannot be read: convert it again") from None


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    if not all(isinstance(v, str) for v in values.values()):
        raise TypeError("texts expected")
    return dict(values)
