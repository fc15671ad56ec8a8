"""`edgeacts explain`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeacts.bodies import FORMS_KEY
from edgeacts.bodies import METADATA_KEY as BODIES_KEY
from edgeacts.cli import explain_forms
from edgeacts.cli.options import wrapped, write_json
from edgeacts.errors import DamagedFile, UsageError
from edgeacts.piecewise import METADATA_KEY
from edgeacts.records import ExecutedActivation, ExecutedGraph
from edgeacts.runtimes import model_metadata, open_runtime, unreadable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NAME or MODEL.onnx."""
    parser.add_argument(
        "subject",
        metavar="ACTIVATION|MODEL",
        help="an activation's name, or an ONNX or OpenVINO file",
    )
    parser.add_argument(
        "--runtime",
        choices=("accelerated", "openvino"),
        help="what runs the model; default accelerated, openvino for an .xml",
    )
    parser.add_argument(
        "--executed-precision",
        choices=("f32", "bf16", "f16"),
        help="with openvino: what to compute in; default f32",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads that acceleration is explained for; default 1",
    )
    explain_forms.add_arguments(parser)


def action(arguments: argparse.Namespace) -> int:
    """Print what is known about the activation or the file."""
    facts = _facts(arguments)
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, text in value.items():
                print(wrapped(f"{key}: {text}", "  "))
        else:
            print(wrapped(f"{name}: {value}"))
    write_json(arguments, facts)
    return 0


def _facts(arguments: argparse.Namespace) -> dict[str, Any]:
    subject, suffix = arguments.subject, Path(arguments.subject).suffix.lower()
    if suffix not in (".onnx", ".xml"):
        return _activation(subject, arguments)
    runtime = arguments.runtime or ("openvino" if suffix == ".xml" else "accelerated")
    if arguments.executed_precision and runtime != "openvino":
        raise UsageError("--executed-precision is for openvino: add --runtime openvino")
    if reason := unreadable(runtime, Path(subject)):
        raise UsageError(reason)
    about = _model(Path(subject), arguments) if suffix == ".onnx" else {"file": subject}
    if runtime == "openvino":
        return about | _on_openvino(Path(subject), arguments.threads, arguments.executed_precision or "f32")
    return about | _acceleration(Path(subject), arguments.threads)


def _on_openvino(path: Path, threads: int, precision: str) -> dict[str, Any]:
    """What OpenVINO executes, layer by layer."""
    with open_runtime(path, "openvino", threads=threads, precision=precision) as session:
        graph = session.made(ExecutedGraph)
    metadata = model_metadata(path)
    kinds = Counter(
        (one.layer_type, one.primitive or "no kernel named", one.precision) for one in graph.layers
    )
    types = {layer.name: layer.layer_type for layer in graph.layers}
    return {
        **(
            {"metadata": {k: v[:200] for k, v in sorted(metadata.items())} or "none"}
            if path.suffix == ".xml"
            else {}
        ),
        "executed by": f"OpenVINO {graph.runtime_version}, {graph.precision_asked} asked for, {graph.precision} executed",
        "layers executed": {f"{t}, {p}, {x}": n for (t, p, x), n in kinds.most_common()},
        "activations executed": {
            one.name: (
                f"{one.operator} ({one.form or 'as written'}), {one.precision}, "
                + (f"fused into {one.fused_into} ({one.primitive})" if one.fused_into else _apart(one, types))
            )
            for one in graph.activations
        }
        or "none of ours",
    }


def _apart(one: ExecutedActivation, types: Mapping[str, str]) -> str:
    kinds = Counter(types[name] for name in one.layers)
    listed = ", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in kinds.items())
    return f"layers of its own: {listed} ({one.primitive or 'no kernel named'})" if kinds else "folded away"


def _activation(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from edgeacts.activations import activation
    from edgeacts.forms import choose
    from edgeacts.plan import asymptotes

    definition = activation(name)
    left, right = asymptotes(definition)
    values = definition.values()
    forms = {}
    for form_name in definition.form_names():
        form = definition.form(form_name)
        what = form.native or form.expression
        forms[form_name] = f"{what}, within {form.bound_at(values):.1e}: {form.why}"
    return {
        "name": definition.name,
        "formula": str(definition.formula),
        "derivative": str(definition.derivative("x")),
        "LaTeX": definition.latex(),
        "towards -∞": str(left),
        "towards +∞": str(right),
        "ONNX function": f"edgeacts::{definition.operator}",
        "forms, cheapest first": forms,
        "exported by default": choose(definition).form.name,
        **explain_forms.runtime_forms(definition, tolerance=arguments.tolerance, tuning=arguments.tuning),
        "facts": {
            f"f{chr(39) * f.order}({f.x:g})": f"{f.y:g} ± {f.within:g}: {f.why}" for f in definition.facts
        },
        "source": definition.source,
    }


def _model(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from edgeacts.onnx_metadata import read_model

    model = read_model(path)
    metadata = {p.key: p.value for p in model.metadata_props}
    operators = Counter(f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in model.graph.node)
    functions = {}
    for function in model.functions:
        count = sum(1 for n in model.graph.node if (n.domain, n.op_type) == (function.domain, function.name))
        body = [n.op_type for n in function.node if n.op_type != "Constant"]
        functions[f"{function.domain}::{function.name}"] = f"{count} nodes, each {' '.join(body)}"
    try:
        forms = json.loads(metadata.get("edgeacts.forms", "{}"))
        described = {
            k: f"{f['formula']}; form {f['form']}, within {f['bound']:.1e}" for k, f in forms.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise DamagedFile(f"{path}: metadata edgeacts.forms cannot be read; export the model again") from None
    return {
        "file": str(path),
        "opset": ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import),
        "inputs": ", ".join(v.name for v in model.graph.input),
        "outputs": ", ".join(v.name for v in model.graph.output),
        "operators": ", ".join(f"{op} {n}" for op, n in operators.most_common()),
        "activation functions": functions or "none: activations are plain operators",
        "forms": described or "not stated",
        "forms for OpenVINO": explain_forms.model_forms(
            model, tolerance=arguments.tolerance, tuning=arguments.tuning
        )
        or "none: no activation of the catalogue is a function",
        "metadata": {k: v[:200] for k, v in sorted(metadata.items()) if k not in _OWN} or "none",
    }


_OWN = (FORMS_KEY, BODIES_KEY, METADATA_KEY)


def _acceleration(path: Path, threads: int) -> dict[str, Any]:
    """What open_session(path, accelerate=True) runs on this machine, per activation."""
    from edgeacts.acceleration.int8_agreement import agreement
    from edgeacts.acceleration.int8_regions import is_quantized
    from edgeacts.acceleration.manifest import Manifest
    from edgeacts.errors import EdgeactsError
    from edgeacts.onnx_metadata import read_model

    try:
        with open_runtime(path, threads=threads, accelerate=True) as session:
            manifest = session.made(Manifest)
    except EdgeactsError as error:
        return {"accelerated": f"cannot be: {error}"}
    ways = ", ".join(
        f"{n} {c.milliseconds:.3f} ms" if c.milliseconds else f"{n} not: {c.why}"
        for n, c in manifest.candidates.items()
    )
    where: dict[str, list[str]] = {}
    for site in manifest.sites:
        how = f"{site.kernel}, {site.layout} layout" if site.kernel else f"the runtime: {site.why}"
        bound = f", within {site.bound:.1e}" if site.kernel and site.bound else ""
        bound = ", bit-exact" if site.exact else bound
        where.setdefault(f"{site.operator} ({site.form}): {how}{bound}", []).append(site.name)
    return {
        "accelerated": f"{manifest.chosen}: {manifest.reason}",
        "tried": ways or "nothing",
        **({"8-bit values": agreement(manifest)} if is_quantized(read_model(path)) else {}),
        "kernels": f"{manifest.isa or 'none'}, ONNX Runtime {manifest.onnxruntime}, {manifest.threads} thread(s)",
        "where each activation runs": {
            f"{number}. {len(names)} of {len(manifest.sites)}": text
            for number, (text, names) in enumerate(where.items(), 1)
        }
        or "there are none",
        "activation nodes": {
            text.split(":")[0] + f" {i}": ", ".join(names)[:400]
            for i, (text, names) in enumerate(where.items(), 1)
        }
        or "none",
    }
