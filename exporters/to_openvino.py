"""Portable ONNX -> OpenVINO IR (model.xml + model.bin) and an ONNX file without functions, in the forms OpenVINO runs best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx.external_data_helper import load_external_data_for_model
from onnx.inliner import inline_local_functions

from edgeacts.bodies import METADATA_KEY as BODIES
from edgeacts.bodies import Body, chosen_bodies
from edgeacts.errors import DamagedFile, EdgeactsError, UsageError, one_line
from edgeacts.exporters.openvino_camera import check_camera, with_camera_input
from edgeacts.files import atomic_path, sha256_file, write_bytes_atomic
from edgeacts.names import check_name
from edgeacts.piecewise import METADATA_KEY as TABLES
from edgeacts.preprocessing import Preprocessing
from edgeacts.runtimes import PRECISIONS
from edgeacts.runtimes.onnx_file import MAX_MODEL_BYTES, load_onnx
from edgeacts.runtimes.openvino_ir import WEIGHTS_HASH, Stated, describe, new_core
from edgeacts.runtimes.openvino_reading import ReadModel, external_files, read_proto

PREPROCESSING = "edgeacts.preprocessing"
PARENT = "edgeacts.portable_sha256"
_LEFT_OUT = (BODIES, TABLES)  # of the portable file's metadata: what other runtimes need


@dataclass(frozen=True)
class OpenVinoFiles:
    """What was written; `forms`: operator -> (form, bound); `camera` is the IR that takes pictures, if asked for."""

    xml: Path
    weights: Path
    inlined: Path | None
    camera: Path | None
    forms: Mapping[str, tuple[str, float]]


def to_openvino(
    path: str | Path,
    out: str | Path,
    *,
    tolerance: float | None = None,
    tuning: str | Path | None = None,
    precision: str = "f32",
    camera: str | None = None,
    name: str = "model",
) -> OpenVinoFiles:
    """OUT/NAME.xml, NAME.bin and NAME.openvino.onnx of the portable ONNX file `path`.

    Activations get the form that OpenVINO runs best in `precision`: the one that the file carries for it or, with `tolerance`
    or a file of `edgeacts tune` (which need the definitions, so SymPy), chosen anew within `tolerance`·max(1, |x|). With f16
    the weights are stored in 16 bits.
    `camera` ("rgb" or "bgr") also writes NAME.camera.xml, whose input is uint8 [N, H, W, 3] of any size. Labels, preprocessing
    and hashes travel in the IR, and sessions read them back.
    Raises UsageError, DamagedFile, NotAvailable or EdgeactsError.
    """
    source, folder = Path(path), Path(out)
    check_name(precision, PRECISIONS, "precision")
    if source.suffix.lower() != ".onnx":
        raise UsageError(f"{source} is no ONNX file: OpenVINO's is made from the portable .onnx")
    core, proto = new_core(), load_onnx(source)
    stated = {p.key: p.value for p in proto.metadata_props}
    asked = None if camera is None else check_camera(camera, _preprocessing(stated))
    anew = tolerance is not None or tuning is not None
    bodies = _chosen_anew(proto, precision, tolerance, tuning, str(source)) if anew else None
    read = read_proto(core, source, proto, precision, bodies)
    kept = carried_metadata(read.metadata, source)
    halve = precision == "f16"
    xml = write_ir(read, kept, folder / f"{name}.xml", halve)
    with_picture = None
    if camera is not None and asked is not None:
        again = read_proto(core, source, load_onnx(source), precision, bodies)
        again.model = with_camera_input(again.model, camera, asked)
        with_picture = write_ir(
            again, kept | {"edgeacts.camera": camera}, folder / f"{name}.camera.xml", halve
        )
    inlined = _write_inlined(source, proto, folder / f"{name}.openvino.onnx")
    return OpenVinoFiles(xml, xml.with_suffix(".bin"), inlined, with_picture, read.forms)


def _preprocessing(stated: Mapping[str, str]) -> Preprocessing | None:
    text = stated.get(PREPROCESSING)
    return None if text is None else Preprocessing.from_json(text)


def _chosen_anew(
    proto: onnx.ModelProto, precision: str, tolerance: float | None, tuning: str | Path | None, where: str
) -> dict[str, Body]:
    from edgeacts.exporters.runtime_forms import Wish, bodies_on, uses_in
    from edgeacts.forms import TOLERANCE, allowed_error

    opset = next((o.version for o in proto.opset_import if not o.domain), 20)
    wish = Wish(TOLERANCE if tolerance is None else tolerance, opset, tuning)
    uses, own = uses_in(proto), {f.name: f for f in proto.functions}
    known = {use.operator for use in uses}
    carried = {  # of functions with parameters per channel, whose values the catalogue's definition does not say
        operator: body
        for operator, body in chosen_bodies(proto, "openvino", precision, where).items()
        if operator not in known and body.bound <= allowed_error(wish.tolerance, precision)
    }
    return carried | bodies_on("openvino", precision, uses, own, wish)


def carried_metadata(stated: Mapping[str, str], source: Path) -> dict[str, str]:
    """What an OpenVINO file says of itself: the portable file's metadata without other runtimes' parts, and its hash."""
    return {k: v for k, v in stated.items() if k not in _LEFT_OUT} | {PARENT: sha256_file(source)}


def write_ir(read: ReadModel, metadata: Mapping[str, str], xml: Path, halve: bool = False) -> Path:
    """Weights first, then the .xml with their hash: a reader never sees an .xml that fits no weights."""
    from openvino import save_model

    describe(read.model, Stated(dict(metadata), read.activations, dict(read.forms)))
    try:
        with atomic_path(xml.with_suffix(".bin")) as weights:
            temporary = weights.with_suffix(".xml")
            try:
                save_model(read.model, temporary, compress_to_fp16=halve)
                text = temporary.read_bytes()
            finally:
                temporary.unlink(missing_ok=True)
            digest = sha256_file(weights)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot write {xml}: {one_line(error)}") from error
    blank = f'<{WEIGHTS_HASH} value="{"0" * 64}"'.encode()
    if text.count(blank) != 1:
        raise EdgeactsError(f"{xml}: this OpenVINO writes rt_info in a form that edgeacts does not know")
    write_bytes_atomic(xml, text.replace(blank, blank.replace(b"0" * 64, digest.encode())))
    return xml


def _write_inlined(source: Path, proto: onnx.ModelProto, target: Path) -> Path | None:
    """The file without functions, in the same forms; None where one ONNX file cannot hold it."""
    sizes = [f.stat().st_size for f in (source, *external_files(source, proto)) if f.is_file()]
    if sum(sizes) > MAX_MODEL_BYTES - 2**20:
        return None
    try:
        load_external_data_for_model(proto, str(source.parent))
        twin = inline_local_functions(proto)
    except (onnx.checker.ValidationError, OSError, RuntimeError, ValueError) as error:
        raise DamagedFile(f"the functions of {source} cannot be inlined: {one_line(error)}") from error
    _restate(twin)
    with atomic_path(target) as temporary:
        onnx.save(twin, temporary)
    return target


def _restate(twin: Any) -> None:
    kept = [(p.key, p.value) for p in twin.metadata_props if p.key not in _LEFT_OUT]
    del twin.metadata_props[:]
    for key, value in kept:
        twin.metadata_props.add(key=key, value=value)
