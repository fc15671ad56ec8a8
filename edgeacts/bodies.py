"""Other bodies of a file's activation functions, for runtimes that another form suits better.

They travel in the file's metadata as ONNX functions, so that a device needs neither the definition nor SymPy:
{"forms": {operator: {form: {"bound": 2e-7, "body": base64}}}, "chosen": {runtime: {precision: {operator: form}}},
"instead_of": {operator: fingerprint of the file's own function}}. Where that function is another one by now, it is what runs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from edgeacts.errors import DamagedFile

METADATA_KEY = "edgeacts.bodies"
FORMS_KEY = "edgeacts.forms"
MAX_TEXT_CHARS = 16 * 2**20
DOMAIN = "edgeacts"


@dataclass(frozen=True)
class Body:
    """An activation's function in one form, which equals the formula within `bound` · max(1, |x|)."""

    form: str
    bound: float
    function: onnx.FunctionProto

    @property
    def operator(self) -> str:
        """The function's name, which nodes call it by."""
        return str(self.function.name)


def fingerprint(function: onnx.FunctionProto) -> str:
    """16 hexadecimal digits of what a function computes: its operators, their inputs, outputs and attributes."""
    digest = hashlib.sha256()
    for node in function.node:
        told = onnx.NodeProto(op_type=node.op_type, domain=node.domain, input=node.input, output=node.output)
        told.attribute.extend(sorted(node.attribute, key=lambda a: str(a.name)))
        digest.update(told.SerializeToString(deterministic=True))
    return digest.hexdigest()[:16]


def bodies_metadata(
    chosen: Mapping[str, Mapping[str, Mapping[str, Body]]], own: Mapping[str, onnx.FunctionProto]
) -> str:
    """JSON of runtime -> precision -> operator -> body, instead of the file's `own`; each body is written once."""
    forms: dict[str, dict[str, Any]] = {}
    names: dict[str, dict[str, dict[str, str]]] = {}
    for runtime, of_precision in chosen.items():
        for precision, bodies in of_precision.items():
            for operator, body in bodies.items():
                text = base64.b64encode(body.function.SerializeToString(deterministic=True)).decode()
                record, known = {"bound": body.bound, "body": text}, forms.setdefault(operator, {})
                name = body.form if known.get(body.form, record) == record else f"{body.form} for {precision}"
                known[name] = record
                names.setdefault(runtime, {}).setdefault(precision, {})[operator] = name
    replaced = {operator: fingerprint(own[operator]) for operator in forms}
    told = {"forms": forms, "chosen": names, "instead_of": replaced}
    return json.dumps(told, ensure_ascii=False, sort_keys=True)


def chosen_bodies(model: onnx.ModelProto, runtime: str, precision: str, where: str) -> dict[str, Body]:
    """Operator -> the body that `runtime` is to run in `precision`; operators that are missing keep the file's own.

    What the metadata hold is not trusted: a body has the inputs, outputs and attributes of the file's function and plain
    operators only. Raises DamagedFile, naming `where`.
    """
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), "")
    if not text:
        return {}
    own = {f.name: f for f in model.functions if f.domain == DOMAIN}
    try:
        if len(text) > MAX_TEXT_CHARS:
            raise ValueError(f"more than {MAX_TEXT_CHARS:,} characters")
        stated = json.loads(text)
        names = stated["chosen"].get(runtime, {}).get(precision, {})
        return {
            operator: _body(form, stated["forms"][operator][form], own[operator])
            for operator, form in names.items()
            if operator in own and stated["instead_of"][operator] == fingerprint(own[operator])
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedFile(
            f"{where}: metadata {METADATA_KEY} cannot be read ({_why(error)}): export the model again"
        ) from None


def put_in(model: onnx.ModelProto, bodies: Mapping[str, Body]) -> None:
    """Replace the functions of `model` that `bodies` has another body for."""
    for function in model.functions:
        if function.domain == DOMAIN and function.name in bodies:
            function.CopyFrom(bodies[function.name].function)


def adopt(model: onnx.ModelProto, bodies: Mapping[str, Body]) -> None:
    """Make these bodies the file's own: functions, stated forms, and what other runtimes' bodies stand instead of.

    Raises as `stated_forms` does.
    """
    before = {f.name: fingerprint(f) for f in model.functions if f.domain == DOMAIN}
    put_in(model, bodies)
    state_forms(model, bodies)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            told = json.loads(entry.value)
            now = {operator: fingerprint(body.function) for operator, body in bodies.items()}
            told["instead_of"] |= {
                o: now[o] for o, old in told["instead_of"].items() if o in now and old == before[o]
            }
            entry.value = json.dumps(told, ensure_ascii=False, sort_keys=True)


def stated_forms(model: onnx.ModelProto) -> dict[str, tuple[str, float]]:
    """Operator -> (form, bound), as the metadata state them. Raises ValueError and its like for what cannot be read."""
    found = {name: (str(f["form"]), float(f["bound"])) for name, f in _stated(model).items()}
    if not all(bound >= 0 for _, bound in found.values()):
        raise ValueError("a bound is not a number of at least 0")
    return found


def state_forms(model: onnx.ModelProto, bodies: Mapping[str, Body]) -> None:
    """Let the metadata state the forms of `bodies`. Raises as `stated_forms` does."""
    stated = _stated(model)
    for operator, body in bodies.items():
        stated.setdefault(operator, {}).update(form=body.form, bound=body.bound)
    for entry in model.metadata_props:
        if entry.key == FORMS_KEY:
            entry.value = json.dumps(stated, ensure_ascii=False, sort_keys=True)


def _stated(model: onnx.ModelProto) -> dict[str, dict[str, Any]]:
    text = next((p.value for p in model.metadata_props if p.key == FORMS_KEY), "{}")
    found = json.loads(text)
    return {str(name): dict(form) for name, form in found.items()}


def _body(form: str, record: Mapping[str, Any], own: onnx.FunctionProto) -> Body:
    bound, function = float(record["bound"]), onnx.FunctionProto()
    try:
        function.ParseFromString(base64.b64decode(record["body"], validate=True))
    except (DecodeError, binascii.Error):
        raise ValueError(f"form {form} of {own.name} is damaged") from None
    if not bound >= 0:
        raise ValueError(f"form {form} of {own.name} has the bound {bound}")
    same = all(list(getattr(function, n)) == list(getattr(own, n)) for n in ("input", "output", "attribute"))
    if not same or (function.domain, function.name) != (own.domain, own.name):
        raise ValueError(f"form {form} of {own.name} is another function")
    for node in function.node:
        if node.domain or any(a.HasField("g") or a.graphs for a in node.attribute):
            raise ValueError(f"form {form} of {own.name} holds {node.domain or 'a graph'}")
    return Body(str(form), bound, function)


def _why(error: BaseException) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)[:200]
