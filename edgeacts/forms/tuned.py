"""Tuning files: where they are, what they say about an activation, and the forms they hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgeacts.circumstances import cpu
from edgeacts.definition import Activation, Form
from edgeacts.errors import DamagedFile
from edgeacts.program import OPERATORS, Program
from edgeacts.program import Steps as Collector
from edgeacts.records import TunedActivation, TunedForm, TunedSetting, TuningEntry, TuningRecord
from edgeacts.records.tuning import Steps

SHIPPED = "edgeacts"  # the source of what ships with the package
SAME = 0.01  # share by which costs may differ and count as one
FLOAT = "float"  # the placement of the network that is not quantized
VARIABLE = "EDGEACTS_TUNING"
# What ships, a file for each kind of CPU: FEATURE.json, or FEATURE+FEATURE.json, by what CPUs of the kind have.
DEFAULTS = Path(__file__).parent.parent / "tuning" / "defaults"


@dataclass(frozen=True)
class Measured:
    """One activation as it was measured, and the measurement it comes from; `source` is its file, or "edgeacts".

    `kind` says for which CPUs that which ships was measured, and why it counts on another.
    """

    activation: TunedActivation
    entry: TuningEntry
    source: str
    kind: str = ""

    @property
    def forms(self) -> tuple[TunedForm, ...]:
        """The fastest first."""
        return self.activation.forms

    @property
    def where(self) -> str:
        """Network, CPU, runtime and file, as a reason names them."""
        entry = self.entry
        measured = f"{entry.model} on {entry.circumstances.cpu}, {entry.runtime} {entry.runtime_version}"
        return f"{measured}, from {self.source}{self.kind}"


def user_file() -> Path:
    """The user's tuning file: EDGEACTS_TUNING, or edgeacts/tuning.json in the user's cache folder. It need not exist."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeacts" / "tuning.json"


def measured(
    activation: Activation,
    values: Mapping[str, float],
    *,
    runtime: str,
    precision: str,
    tuning: Path | None = None,
) -> Measured | None:
    """What the first tuning file that knows them says: `tuning`, then the user's, then those that ship, the nearest CPU's first.

    Raises UsageError (no such file) or DamagedFile.
    """
    own = user_file()
    files = [tuning] if tuning else [own] if own.exists() or os.environ.get(VARIABLE) else []
    kinds = shipped_kinds()
    for path in (*files, *kinds):
        for entry in _read(path, path.stat().st_mtime_ns if path.exists() else 0).entries:
            if (entry.runtime, entry.precision) != (runtime, precision):
                continue
            for one in entry.activations:
                known = one.activation == activation.name and one.formula == str(activation.formula)
                if known and one.parameters == activation.values(values):
                    kind = kinds.get(path)
                    return Measured(one, entry, *((str(path),) if kind is None else (SHIPPED, kind)))
    return None


def shipped_kinds() -> dict[Path, str]:
    """The tuning files that ship, the nearest to this CPU first, and what a reason says about each.

    Nearest is the one that asks for the most of what this CPU has; of those that ask for more, the one that asks for the least.
    """
    has = _features()
    wants = {path: frozenset(path.stem.split("+")) for path in sorted(DEFAULTS.glob("*.json"))}
    order = sorted(wants, key=lambda p: (len(wants[p] - has), -len(wants[p])))
    return {path: _kind(wants[path], has, nearest=path == order[0]) for path in order}


def _kind(wants: frozenset[str], has: frozenset[str], *, nearest: bool) -> str:
    told = f" for CPUs with {' and '.join(sorted(wants))}"
    if not wants <= has:
        return f"{told}, which this one has not; nothing was measured on its own kind"
    return told if nearest else f"{told}; nothing was measured on this one's own kind"


@lru_cache(maxsize=1)
def _features() -> frozenset[str]:
    return frozenset(cpu()[1])


@lru_cache(maxsize=16)
def _read(path: Path, _: int) -> TuningRecord:
    return TuningRecord.read(path)


def fastest(forms: Sequence[TunedForm], tolerance: float) -> TunedForm | None:
    """The fastest within the tolerance; of those that are as fast within 1 %, the one with the smallest error."""
    allowed = [form for form in forms if form.bound <= tolerance]
    if not allowed:
        return None
    limit = (1 + SAME) * min(form.ratio for form in allowed)
    return min((form for form in allowed if form.ratio <= limit), key=lambda form: (form.bound, form.ratio))


def fastest_setting(settings: Sequence[TunedSetting], most_share: float) -> TunedSetting | None:
    """The fastest way to quantize whose polynomials are within a share of a step; of equally fast ones the most exact."""
    allowed = [one for one in settings if one.placement != FLOAT and (one.step_share or 0.0) <= most_share]
    if not allowed:
        return None
    limit = (1 + SAME) * min(one.ratio for one in allowed)
    near = (one for one in allowed if one.ratio <= limit)
    return min(near, key=lambda one: (one.step_share or 0.0, one.ratio))


def setting_name(setting: TunedSetting) -> str:
    """As `quantize` calls the variant."""
    share = None if setting.step_share is None else f"{setting.step_share:g} step"
    return ", ".join(part for part in (setting.placement, setting.body, share) if part)


def form_of(activation: Activation, tuned: TunedForm) -> Form:
    """The form that is meant. Raises DamagedFile for steps that are no program, UsageError for a form that does not exist."""
    if tuned.steps is None:
        return activation.form(tuned.name)
    return Form(tuned.name, tuned.bound, tuned.why, program=program_of(tuned.steps))


def steps_of(program: Program) -> Steps:
    """A program as rows."""
    return tuple(
        (step.op, *step.args) if step.value is None else (step.op, step.value) for step in program.steps
    )


def program_of(steps: Steps) -> Program:
    """The program of these rows. Raises DamagedFile."""
    collected = Collector()
    for place, (op, *arguments) in enumerate(steps):
        if op == "input" and arguments == ["x"]:
            number = collected.emit("input", value="x")
        elif op == "constant" and len(arguments) == 1 and isinstance(arguments[0], int | float):
            number = collected.constant(float(arguments[0]))
        elif OPERATORS.get(str(op)) == len(arguments) and all(
            isinstance(a, int) and 0 <= a < place for a in arguments
        ):
            number = collected.emit(str(op), *[int(a) for a in arguments])
        else:
            raise DamagedFile(f"step {place} of a form in the tuning file is not valid: {op} {arguments}")
        if number != place:
            raise DamagedFile(f"step {place} of a form in the tuning file repeats step {number}")
    if not steps:
        raise DamagedFile("a form in the tuning file has no steps")
    return collected.finish(len(steps) - 1)
