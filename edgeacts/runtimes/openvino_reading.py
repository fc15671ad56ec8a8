"""Model files -> openvino.Model: ONNX with its activation functions converted one by one, and .xml IR with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx.external_data_helper import load_external_data_for_model, uses_external_data
from onnx.inliner import inline_local_functions

from edgeacts.bodies import DOMAIN, Body, chosen_bodies, put_in, state_forms, stated_forms
from edgeacts.errors import DamagedFile, EdgeactsError, UsageError, one_line
from edgeacts.runtimes.base import TensorSpec
from edgeacts.runtimes.onnx_file import MAX_MODEL_BYTES, input_specs, load_onnx, output_specs
from edgeacts.runtimes.openvino_functions import FunctionConverter, convertible
from edgeacts.runtimes.openvino_ir import new_core, read_ir

Specs = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


@dataclass
class ReadModel:
    """A model as OpenVINO read it.

    `specs` is what an ONNX file declares (None for IR), `activations` operator by name of each activation, `forms` what the
    activations' operators are computed by: operator -> (form, bound), `metadata` what the file says of itself.
    """

    model: Any
    specs: Specs | None = None
    activations: dict[str, str] = field(default_factory=dict)
    forms: dict[str, tuple[str, float]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def read_file(path: Path, precision: str = "f32") -> ReadModel:
    """The model of an .onnx or .xml file, its activations in the form that the file has for OpenVINO in `precision`.

    Raises UsageError, DamagedFile, NotAvailable or EdgeactsError (OpenVINO cannot convert it).
    """
    core, suffix = new_core(), path.suffix.lower()
    if suffix == ".xml":
        model, stated = read_ir(core, path)
        return ReadModel(model, None, stated.activations, stated.forms, stated.metadata)
    if suffix == ".onnx":
        return read_proto(core, path, load_onnx(path), precision)
    raise UsageError(f"openvino reads .onnx and .xml files, not {path}")


def read_proto(
    core: Any,
    path: Path,
    proto: onnx.ModelProto,
    precision: str,
    bodies: Mapping[str, Body] | None = None,
) -> ReadModel:
    """As `read_file`, of the content of the file at `path`, whose external weights are not loaded.

    `bodies` are put into `proto`, or else those that it carries for OpenVINO.
    """
    specs = input_specs(proto, path), output_specs(proto, path)
    if bodies is None:
        bodies = chosen_bodies(proto, "openvino", precision, str(path))
    forms = _adopt(proto, bodies, str(path))
    converter = FunctionConverter(proto)
    try:
        if not proto.functions:
            model = core.read_model(path)
        elif convertible(proto):
            for extension in converter.extensions():
                core.add_extension(extension)
            model = core.read_model(path)
            converter.name_nodes()
        else:
            model = core.read_model(_inlined(path, proto))
    except RuntimeError as error:
        raise _refused(path, proto, error) from error
    metadata = {p.key: p.value for p in proto.metadata_props}
    return ReadModel(model, specs, converter.activations, forms, metadata)


def _adopt(proto: onnx.ModelProto, bodies: Mapping[str, Body], where: str) -> dict[str, tuple[str, float]]:
    """Put the bodies in, and say so in the metadata; operator -> (form, bound) of what its activations then are."""
    put_in(proto, bodies)
    try:
        state_forms(proto, bodies)
        stated = stated_forms(proto)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise DamagedFile(
            f"{where}: metadata edgeacts.forms cannot be read; export the model again"
        ) from None
    here = {f.name for f in proto.functions if f.domain == DOMAIN}
    return {name: form for name, form in stated.items() if name in here} | {
        operator: (body.form, body.bound) for operator, body in bodies.items()
    }


def _refused(path: Path, proto: onnx.ModelProto, error: RuntimeError) -> EdgeactsError:
    if "outside the base directory" in str(error):
        return DamagedFile(f"{path} has weights outside its folder: {one_line(error)}")
    missing = next((f for f in external_files(path, proto) if not f.is_file()), None)
    if missing is not None:
        return UsageError(f"{path} needs its weights beside it: {missing.name} does not exist")
    return EdgeactsError(f"openvino cannot convert {path}: {one_line(error)}")


def external_files(path: Path, proto: onnx.ModelProto) -> list[Path]:
    """Files that hold weights of the model, as its initializers name them."""
    places = [
        entry.value
        for tensor in proto.graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    ]
    return [path.parent / place for place in dict.fromkeys(places)]


def _inlined(path: Path, proto: onnx.ModelProto) -> bytes:
    """The model without functions, which OpenVINO refuses, its external weights inside."""
    sizes = [file.stat().st_size for file in (path, *external_files(path, proto)) if file.is_file()]
    if sum(sizes) > MAX_MODEL_BYTES:
        raise UsageError(
            f"{path} has functions and more than 2 GiB of weights: give openvino the inlined twin"
        )
    try:
        load_external_data_for_model(proto, str(path.parent))  # onnx itself refuses places outside the folder
        data: bytes = inline_local_functions(proto).SerializeToString()
        return data
    except (onnx.checker.ValidationError, OSError, RuntimeError, ValueError) as error:
        raise DamagedFile(f"the functions of {path} cannot be inlined: {one_line(error)}") from error


def value_names(model: Any) -> frozenset[str]:
    """Names of the values of an openvino.Model."""
    return frozenset(n for op in model.get_ordered_ops() for port in op.outputs() for n in port.names)
