"""nn.Module -> portable ONNX (one node of domain `edgeacts` per activation, with its body) and its inlined twin."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import inliner
from torch import Tensor, nn

from edgeacts.bodies import FORMS_KEY
from edgeacts.bodies import METADATA_KEY as BODIES_KEY
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.exporters.placeholders import Chooser, FrozenActivation, Functions, freeze
from edgeacts.exporters.runtime_forms import Use, Wish, bodies_text
from edgeacts.files import atomic_path
from edgeacts.forms import DOMAIN, DOMAIN_VERSION, OPSETS, TOLERANCE, Choice, function, operator_name
from edgeacts.piecewise import METADATA_KEY, table_key
from edgeacts.tables import NotTabulated, compile_table

MAX_PROTO_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Exported:
    """What was written: the portable model, its inlined twin (no local functions), the forms chosen, operator counts."""

    portable: Path
    inlined: Path
    opset: int
    choices: Mapping[str, Choice]
    operators: dict[str, int]

    @property
    def activation_nodes(self) -> int:
        """How many nodes of the domain `edgeacts` the portable model holds."""
        return sum(n for op, n in self.operators.items() if op.startswith(f"{DOMAIN}::"))


def to_onnx(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    path: str | Path,
    *,
    opset: int = 20,
    tolerance: float = TOLERANCE,
    form: str | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_batch: bool = True,
    metadata: Mapping[str, str] | None = None,
    tuning: str | Path | None = None,
    body_for: str | None = None,
) -> Exported:
    """PATH.onnx and PATH.inlined.onnx of a model in eval mode, for inputs like `example` (any batch size).

    Our activations become functions in the cheapest form within `tolerance`·max(1, |x|); torch's own stay what they are. The
    form that is fastest on OpenVINO travels in the metadata; with `tuning`, as that file of `edgeacts tune` says.
    `body_for` = "onnxruntime": the functions' own bodies are those that are fastest on that runtime without kernels.
    The files are checked by onnx.checker and hold the opset that was asked for.
    Raises UsageError (training mode, opset, form, example) or EdgeactsError (torch cannot export the model).
    """
    portable, inlined = export_paths(path)
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    _check_request(model, inputs, opset)
    names = _input_names(model, len(inputs), input_names)
    frozen, choices = freeze(_copy(model), Chooser(tolerance, opset, form, body_for, tuning))
    proto = _torch_export(frozen, inputs, opset, names, output_names, dynamic_batch)
    _name_apart(proto)
    for needed in choices.values():
        proto.functions.extend(function(needed.choice, opset=opset, per_channel=p) for p in needed.signatures)
    forms = {n: f.choice for n, f in choices.items()}
    described = dict(metadata or {})
    if forms:
        described |= {FORMS_KEY: form_metadata(forms), METADATA_KEY: table_metadata(proto, forms)}
        if form is None and (bodies := _bodies(proto, choices, Wish(tolerance, opset, tuning))):
            described[BODIES_KEY] = bodies
    _finish(proto, opset, described, any_functions=bool(choices))
    twin = inliner.inline_local_functions(proto)
    for which, target in ((proto, portable), (twin, inlined)):
        _check(which, target)
        with atomic_path(target) as temporary:
            onnx.save(which, temporary)
    return Exported(portable, inlined, opset, forms, _operators(proto))


def _bodies(proto: onnx.ModelProto, choices: Mapping[str, Functions], wish: Wish) -> str:
    """Metadata with the bodies of runtimes that other forms suit better."""
    uses = [
        Use(operator_name(f.choice.activation, p), f.choice.activation, f.points, p)
        for f in choices.values()
        for p in f.signatures
    ]
    return bodies_text(uses, {f.name: f for f in proto.functions}, wish)


def export_paths(path: str | Path) -> tuple[Path, Path]:
    """(NAME.onnx, NAME.inlined.onnx). Raises UsageError for another suffix."""
    portable = Path(path)
    if portable.suffix != ".onnx":
        raise UsageError(f"export path {portable} must end in .onnx")
    return portable, portable.with_suffix(".inlined.onnx")


def _check_request(model: nn.Module, inputs: tuple[Any, ...], opset: int) -> None:
    training = [name or "the model" for name, module in model.named_modules() if module.training]
    if training:
        raise UsageError(
            f"{training[0]} is in training mode ({len(training)} modules are): call model.eval() before the export"
        )
    low, high = OPSETS
    if isinstance(opset, bool) or not isinstance(opset, int) or not low <= opset <= high:
        raise UsageError(f"opset {opset} is not supported: give one from {low} to {high}")
    if not inputs or not all(isinstance(x, Tensor) for x in inputs):
        raise UsageError("example must be a tensor, or a tuple of tensors, as the model's forward takes them")
    wrong = [
        p.dtype for p in (*model.parameters(), *inputs) if p.is_floating_point() and p.dtype != torch.float32
    ]
    if wrong:
        raise UsageError(f"model and example must be float32 for the export, found {wrong[0]}: call .float()")


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a tensor that was computed from weights, an open file, ...
        raise EdgeactsError(f"the model cannot be copied for the export: {_reason(error)}") from error


def _input_names(model: nn.Module, count: int, given: Sequence[str] | None) -> list[str]:
    if given:
        if len(given) != count or len(set(given)) != count:
            raise UsageError(f"input_names {list(given)}: give {count} different names, one for each input")
        return list(given)
    try:
        parameters = inspect.signature(model.forward).parameters.items()
    except ValueError:  # a forward that is not written in Python
        parameters = {}.items()
    names = [n for n, p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[:count] if len(names) >= count else [f"input_{i}" for i in range(count)]


def _torch_export(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    opset: int,
    input_names: list[str],
    output_names: Sequence[str] | None,
    dynamic_batch: bool,
) -> onnx.ModelProto:
    shapes = None
    if dynamic_batch:
        if any(x.dim() == 0 for x in inputs):
            raise UsageError("an input without dimensions has no batch: give dynamic_batch=False")
        if inputs[0].shape[0] == 1:  # torch.export takes a size of 1 for a constant
            inputs = tuple(torch.cat([x, x]) for x in inputs)
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in inputs)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                model,
                inputs,
                dynamo=True,
                opset_version=opset,
                input_names=input_names,
                output_names=list(output_names) if output_names else None,
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:  # torch.export raises many kinds
        cure = " If its first dimension is not a batch, give dynamic_batch=False." if dynamic_batch else ""
        raise EdgeactsError(f"torch cannot export this model: {_reason(error)}.{cure}") from error
    if program is None:
        raise EdgeactsError("torch exported nothing")
    proto = program.model_proto
    if proto.ByteSize() > MAX_PROTO_BYTES:
        raise EdgeactsError("the model is larger than 2 GiB, which one ONNX file cannot hold")
    return proto


def _reason(error: BaseException) -> str:
    """The line of the innermost cause that says what is wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300].rstrip('.') if lines else 'no text'}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter prints progress and warns of its own deprecations; none of that is the user's concern."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _name_apart(proto: onnx.ModelProto) -> None:
    """An input that is also an output: torch writes x = Identity(x), which is no valid graph."""
    inputs = {value.name for value in proto.graph.input}
    for output in proto.graph.output:
        if output.name in inputs:
            old, output.name = output.name, f"{output.name}_out"
            for node in proto.graph.node:
                node.output[:] = [output.name if name == old else name for name in node.output]


def _finish(proto: onnx.ModelProto, opset: int, metadata: Mapping[str, str], *, any_functions: bool) -> None:
    """Opset imports, metadata, producer; the written opset must be the one asked for."""
    found = {o.domain: o.version for o in proto.opset_import}
    if found.get("") != opset:
        raise EdgeactsError(
            f"opset {opset} was asked for, torch wrote {found.get('')}: give an opset that torch's exporter has"
        )
    if any_functions and DOMAIN not in found:
        proto.opset_import.append(onnx.helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
    for entry in proto.opset_import:
        if entry.domain == DOMAIN:
            entry.version = DOMAIN_VERSION
    proto.producer_name, proto.producer_version = "edgeacts", ""
    del proto.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]  # torch's stack traces hold paths of the machine
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    for key, text in sorted(metadata.items()):
        proto.metadata_props.add(key=key, value=text)


def _check(proto: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EdgeactsError(f"{path.name} is not a valid ONNX model: {str(error).splitlines()[0]}") from error


def _operators(proto: onnx.ModelProto) -> dict[str, int]:
    counts = Counter(f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in proto.graph.node)
    return dict(sorted(counts.items()))


def form_metadata(choices: Mapping[str, Choice]) -> str:
    """JSON of what each activation function in the file is: formula, form, bound, source."""
    described = {
        operator: {
            "name": c.activation.name,
            "formula": str(c.activation.formula),
            "form": c.form.name,
            "bound": c.bound,
            "source": c.activation.source,
        }
        for operator, c in sorted(choices.items())
    }
    return json.dumps(described, ensure_ascii=False, sort_keys=True)


def table_metadata(proto: onnx.ModelProto, choices: Mapping[str, Choice]) -> str:
    """JSON of the table of each activation node's parameter values, by operator; the reason where there is none.

    A device that accelerates the model needs nothing else: neither the definition nor SymPy.
    """
    described: dict[str, dict[str, Any]] = {}
    for node in proto.graph.node:
        if node.domain == DOMAIN:
            values = {a.name: a.f for a in node.attribute}
            described.setdefault(node.op_type, {}).setdefault(table_key(values), values)
    return json.dumps(
        {
            operator: {key: _table_record(operator, values, choices) for key, values in sets.items()}
            for operator, sets in sorted(described.items())
        },
        ensure_ascii=False,
        sort_keys=True,
    )


def _table_record(
    operator: str, values: Mapping[str, float], choices: Mapping[str, Choice]
) -> dict[str, Any]:
    if operator not in choices:
        return {"reason": "its parameters differ from channel to channel"}
    try:
        return compile_table(choices[operator].activation, 0, **values).to_record()
    except NotTabulated as error:
        return {"reason": str(error)}


__all__ = ["Exported", "FrozenActivation", "export_paths", "form_metadata", "table_metadata", "to_onnx"]
