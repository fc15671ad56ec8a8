"""What is measured in one run: a baseline with ReLU, and every way to compute an activation in the same network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import onnx

from edgeacts.activations import activation
from edgeacts.definition import Activation, Form
from edgeacts.errors import UsageError
from edgeacts.forms import TOLERANCE, Choice, allowed_error
from edgeacts.forms.choosing import sound_forms
from edgeacts.forms.costs import COSTS
from edgeacts.forms.tuned import steps_of
from edgeacts.names import check_name
from edgeacts.records import LatencySeries, TunedForm, TunedSetting
from edgeacts.tuning.networks import with_form

BASELINE = "relu"
FLOATS = ("f32", "bf16", "f16")
INT8 = "int8"
PRECISIONS = (*FLOATS, INT8)


@dataclass(frozen=True)
class TuneSettings:
    """Where and how forms are measured; `budget_s` and `within` (half width of the ratios' intervals) are per activation.

    Raises UsageError for a runtime, precision or tolerance that does not exist.
    """

    runtime: str = "openvino"
    precision: str = "f32"
    model: str = "mobilenet_v2"
    size: int = 224
    threads: int = 1
    tolerances: tuple[float, ...] = (TOLERANCE,)
    budget_s: float = 30.0
    within: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.runtime, COSTS, "runtime to tune")
        check_name(self.precision, PRECISIONS, "precision to tune")
        if not self.tolerances or not all(t >= 0 for t in self.tolerances):
            raise UsageError(f"tolerances {self.tolerances}: give numbers of at least 0")


Measured = TunedForm | TunedSetting


@dataclass(frozen=True)
class Candidate:
    """One file to time, and the record of it once its ratio to the baseline is known."""

    label: str
    path: Path
    record: Callable[[LatencySeries], Measured]


class Bench(Protocol):
    """Makes the files of one runtime and precision; `executed` is what the runtime is asked to compute in."""

    executed: str

    def baseline(self, folder: Path) -> Path:
        """The network with ReLU."""

    def candidates(self, definition: Activation, folder: Path) -> Sequence[Candidate]:
        """The network with every way to compute an activation at the default values of its parameters."""


@dataclass
class FloatBench:
    """A float network: every sound form of the activation in the place of each ReLU."""

    portable: onnx.ModelProto
    settings: TuneSettings
    executed: str = field(init=False)

    def __post_init__(self) -> None:
        self.executed = self.settings.precision

    def baseline(self, folder: Path) -> Path:
        """As `Bench`."""
        path = folder / f"{BASELINE}.onnx"
        onnx.save(with_form(self.portable, relu_choice(), {}), path)
        return path

    def candidates(self, definition: Activation, folder: Path) -> list[Candidate]:
        """As `Bench`."""
        values, found = definition.values(), []
        for place, form in enumerate(forms_to_try(definition, self.settings)):
            path = folder / f"{place}.onnx"
            onnx.save(
                with_form(self.portable, Choice(definition, form, form.bound_at(values), values), values),
                path,
            )
            found.append(Candidate(form.name, path, form_record(form, values)))
        return found


def relu_choice() -> Choice:
    """ReLU as the operator that it is."""
    relu = activation(BASELINE)
    return Choice(relu, relu.form("native"), 0.0, {})


def forms_to_try(definition: Activation, settings: TuneSettings) -> list[Form]:
    """The sound forms within what the tolerances allow in that precision, for the default values of the parameters."""
    allowed = sorted({allowed_error(tolerance, settings.precision) for tolerance in settings.tolerances})
    return sound_forms(definition, definition.values(), allowed, precision=settings.precision)


def form_record(form: Form, values: dict[str, float]) -> Callable[[LatencySeries], TunedForm]:
    """The record of a form."""

    def record(series: LatencySeries) -> TunedForm:
        return TunedForm(
            name=form.name,
            why=form.why,
            bound=form.bound_at(values),
            ratio=series.ratio,
            ratio_low=series.ratio_low,
            ratio_high=series.ratio_high,
            steps=None if form.program is None else steps_of(form.program),
        )

    return record
