"""What `edgeacts explain` says about forms: which there are, what each costs on a runtime, and which one it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

    from edgeacts.definition import Activation

SHOWN = 8  # forms of a runtime
ASKED = (
    ("openvino", "f32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
    ("onnxruntime", "f32"),
    ("onnxruntime", "int8"),
)
_WORDS = {"f32": "", "bf16": " in bf16", "int8": " between Q and DQ"}


def runtime_forms(
    definition: Activation,
    values: Sequence[Mapping[str, float]] = (),
    *,
    tolerance: float,
    tuning: str | None,
) -> dict[str, Any]:
    """For each runtime that has forms of its own: the choice with its reason, and the forms it was chosen from."""
    found: dict[str, Any] = {}
    for place in ASKED:
        found |= _DESCRIBED.get(place, _choice)(definition, values, Asked(*place, tolerance, tuning))
    return found


@dataclass(frozen=True)
class Asked:
    """Where forms are asked for."""

    runtime: str
    precision: str
    tolerance: float
    tuning: str | None


def _choice(definition: Activation, values: Sequence[Mapping[str, float]], asked: Asked) -> dict[str, Any]:
    """The form that is chosen, and those it was chosen from."""
    from edgeacts.forms import choose_for, options

    choice = choose_for(definition, values, **vars(asked))
    known = options(definition, values, **vars(asked)).options
    rows = {"chosen": f"{choice.form.name}: {choice.reason}"}
    for option in known[:SHOWN]:
        how = "measured" if option.measured else "expected"
        rows[option.form.name] = f"{option.cost:.2f} ({how}), within {option.bound:.1e}: {option.form.why}"
    if len(known) > SHOWN:
        rows["and"] = f"{len(known) - SHOWN} slower ones"
    where = f"{asked.runtime}{_WORDS[asked.precision]}"
    return {f"forms on {where}, latency of a network over that with ReLU": rows}


def _int8_settings(
    definition: Activation, values: Sequence[Mapping[str, float]], asked: Asked
) -> dict[str, Any]:
    """How a network with the activation is quantized for OpenVINO first, and what the other ways cost."""
    from edgeacts.forms.tuned import fastest_setting, setting_name
    from edgeacts.quantization.openvino_settings import STEP_SHARES
    from edgeacts.quantization.openvino_tuned import counts, settings_measured

    title = "INT8 on openvino, latency of a network over that with ReLU in INT8"
    known = settings_measured(definition, [definition.values(v) for v in values], asked.tuning)
    if known is None:
        return {title: "not measured (edgeacts tune --precision int8): edgeacts quantize tries every way"}
    settings = known.activation.settings
    best = fastest_setting(settings, max(STEP_SHARES))
    first = {} if best is None else {"tried first": f"{setting_name(best)}: the fastest in {known.where}"}
    if not counts(known, asked.tuning):
        first = {
            "tried first": f"none, every way is tried, as this was another CPU or OpenVINO: {known.where}"
        }
    ratios = {
        setting_name(s): f"{s.ratio:.2f} [{s.ratio_low:.2f}, {s.ratio_high:.2f}] (measured)" for s in settings
    }
    return {title: first | ratios}


# What is told of a runtime and precision where it is not the choice of a form.
_DESCRIBED: Mapping[tuple[str, str], Any] = MappingProxyType({("openvino", "int8"): _int8_settings})


def model_forms(model: onnx.ModelProto, *, tolerance: float, tuning: str | None) -> dict[str, str]:
    """The same for the activations of a portable model whose definitions edgeacts has: operator -> choice."""
    from edgeacts.activations import catalogue
    from edgeacts.forms import DOMAIN, choose_for, operator_name

    by_operator = {operator_name(a): a for a in catalogue().values()}
    points: dict[str, list[dict[str, float]]] = {}
    for node in model.graph.node:
        if node.domain == DOMAIN and node.op_type in by_operator:
            found = points.setdefault(node.op_type, [])
            values = {a.name: a.f for a in node.attribute}
            if values not in found:
                found.append(values)
    result = {}
    for operator, occurring in points.items():
        choice = choose_for(
            by_operator[operator], occurring, runtime="openvino", tolerance=tolerance, tuning=tuning
        )
        result[operator] = f"{choice.form.name}, within {choice.bound:.1e}: {choice.reason}"
    return result | _per_channel(model, [f"{operator}PerChannel" for operator in by_operator])


def _per_channel(model: onnx.ModelProto, known: Sequence[str]) -> dict[str, str]:
    """Of functions whose parameters are inputs: the body that travels for OpenVINO, or why there is none."""
    from edgeacts.bodies import DOMAIN, chosen_bodies

    bodies = chosen_bodies(model, "openvino", "f32", "the model")
    here = [f.name for f in model.functions if f.domain == DOMAIN and (f.name in known or len(f.input) > 1)]
    why = (
        "as the file computes it: its parameters differ by channel, and a form of its own needs a function g(s·x)/s of one "
        "parameter s that is nowhere 0, or an operator that takes the parameter"
    )
    return {
        name: (
            f"{bodies[name].form}, within {bodies[name].bound:.1e}: of x times the channel's parameter, for all channels"
            if name in bodies
            else why
        )
        for name in here
    }


def add_arguments(parser: Any) -> None:
    """--tolerance and --tuning."""
    from edgeacts.cli.options import add_tuning

    parser.add_argument(
        "--tolerance", type=float, default=1e-5, metavar="E", help="error that forms may have; default 1e-5"
    )
    add_tuning(parser)
