"""Records of tuning: what each form or quantization of an activation costs on one runtime, measured inside a network."""

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record

Steps = tuple[tuple[str | int | float, ...], ...]


class TunedForm(Record, frozen=True):
    """One form. `ratio` is the latency of the network with it over that with ReLU, [ratio_low, ratio_high] its interval.

    `bound` is its certified error, of max(1, |x|). `steps` is the program of a form that the definition does not have:
    rows of an operator and its arguments, which are numbers of earlier rows; "input" has a name, "constant" a number.
    """

    name: str
    why: str
    bound: float
    ratio: float
    ratio_low: float
    ratio_high: float
    steps: Steps | None = None


class TunedSetting(Record, frozen=True):
    """One way to quantize a network with an activation, as `quantize` makes variants.

    `placement` says which layers are quantized ("float": none), `body` is the form of the activation ("" for the one that float
    networks get), `step_share` the error of the polynomial that stands for it, as a share of an 8-bit step (None: no
    polynomial). `ratio` is the latency over that of the quantized network with ReLU, [ratio_low, ratio_high] its interval.
    """

    placement: str
    step_share: float | None
    body: str
    ratio: float
    ratio_low: float
    ratio_high: float


class TunedActivation(Record, frozen=True):
    """The forms of one activation for given values of its parameters, the fastest first; or `settings` of a quantization.

    `formula` is the definition's, so that another activation of the same name is not taken for it.
    """

    activation: str
    formula: str
    parameters: dict[str, float]
    forms: tuple[TunedForm, ...]
    settings: tuple[TunedSetting, ...] = ()


class TuningEntry(Record, frozen=True):
    """One measurement: runtime, precision, network and machine."""

    runtime: str
    runtime_version: str
    precision: str
    model: str
    input_shape: tuple[int, ...]
    threads: int
    rounds: int
    baseline_ms: float
    activations: tuple[TunedActivation, ...]
    circumstances: Circumstances


class TuningRecord(Record, frozen=True, tag_field="kind", tag="tuning"):
    """A tuning file: of entries for the same runtime and precision the first that knows an activation counts."""

    entries: tuple[TuningEntry, ...]
    version: int = 1
