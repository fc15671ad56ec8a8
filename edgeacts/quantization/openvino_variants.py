"""The INT8 variants of one float model: where layers stay in float, and what activations are computed by."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError, one_line
from edgeacts.exporters.to_openvino import carried_metadata, write_ir
from edgeacts.quantization.metadata import KEY
from edgeacts.quantization.openvino_bodies import NATIVE, NativeBody, build_native, native_bodies
from edgeacts.quantization.openvino_curves import FUSED, Curve, build_curve, fit_curve
from edgeacts.quantization.openvino_fits import Gate, Seen, fit
from edgeacts.quantization.openvino_nncf import PLACEMENTS, depthwise_names, load_nncf, quantize_model
from edgeacts.quantization.openvino_ranges import inputs_seen
from edgeacts.quantization.openvino_units import Unit, Wiring, build_gate, evaluator, find_units
from edgeacts.runtimes.openvino_reading import ReadModel, read_file

STEPS = 255
_COUNTED = re.compile(r"[A-Za-z]+_\d+")
FORM = "polynomial off by {share:g} of an 8-bit step"
CURVE_FORM = "HSwish with lines, off by {share:g} of an 8-bit step"
Fit = Gate | Curve
Kind = TypeVar("Kind", Gate, Curve)
Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Step = Callable[[int], object]


@dataclass(frozen=True)
class Variant:
    """One INT8 model in memory. `gates`: name of an activation -> what it became; the others are as exported.

    `body` is "native" where operators of OpenVINO's own stand for activations, `native` which: operator -> body. It is "fused"
    where curves do that are carried out inside convolutions, and polynomials where no curve is near enough.
    """

    name: str
    placement: str
    step_share: float | None
    model: Any
    gates: dict[str, Fit] = field(default_factory=dict)
    body: str = ""
    native: Mapping[str, NativeBody] = field(default_factory=dict)

    @property
    def form_error(self) -> float:
        """The largest distance of a polynomial or curve to its activation."""
        return max((gate.error for gate in self.gates.values()), default=0.0)


class Variants:
    """Makes variants of the float model at `path`, all from one calibration; `batch` is the model's own batch size.

    Raises what reading the file raises, and EdgeactsError or NotAvailable from NNCF.
    """

    def __init__(self, path: Path, images: NDArray[np.float32], *, half_range: bool, batch: int = 1) -> None:
        load_nncf()
        self.path, self._images = path, images
        self._half_range, self._batch = half_range, batch
        self._read = read_file(path)
        self.float_model = _folded(self._read.model)
        self.units = find_units(self.float_model, self._read.activations)
        self._seen: dict[str, Seen] | None = None
        self._native: Mapping[str, NativeBody] | None = None
        self._functions: dict[str, Function] = {}
        self._fits: dict[tuple[str, Seen, float], Gate | None] = {}
        self._curves: dict[tuple[str, Seen, float], Curve | None] = {}

    @property
    def placements(self) -> tuple[str, ...]:
        """Those that differ for this model."""
        return PLACEMENTS if depthwise_names(self.float_model) else PLACEMENTS[:1]

    def exported(self, placement: str, step: Step = lambda count: None) -> Variant:
        """Activations as they were exported."""
        model = quantize_model(
            self.float_model, self.units, self._images,
            placement=placement, half_range=self._half_range, batch=self._batch, step=step,
        )  # fmt: skip
        return Variant(placement, placement, None, model)

    def polynomials(self, variant: Variant, share: float, step: Step = lambda count: None) -> Variant:
        """`variant` with every activation a polynomial within `share` of an 8-bit step, where there is one."""
        gates = {unit.name: gate for unit in self.units if (gate := self._gate(unit, share, step))}
        return self._with(variant, share, gates, "")

    def fused(self, variant: Variant, share: float, step: Step = lambda count: None) -> Variant | None:
        """The same with curves that convolutions take in, polynomials where none is within `share`; None without any curve."""
        curves = {unit.name: curve for unit in self.units if (curve := self._curve(unit, share, step))}
        if not curves:
            return None
        return self._with(variant, share, self.polynomials(variant, share, step).gates | curves, FUSED)

    def _with(self, variant: Variant, share: float, gates: Mapping[str, Fit], body: str) -> Variant:
        model = variant.model.clone()
        for unit in self.units:
            if unit.name in gates:
                Wiring(model).replace(unit, _build(gates[unit.name], unit.name))
        model.validate_nodes_and_infer_types()
        name = ", ".join(part for part in (variant.placement, body, f"{share:g} step") if part)
        return Variant(name, variant.placement, share, model, dict(gates), body=body)

    def fitted(
        self, base: Variant, shares: Sequence[float], step: Step = lambda count: None
    ) -> Iterator[Variant]:
        """`polynomials` for each share in turn, without those that are like the one before."""
        gates: dict[str, Fit] = {}
        for share in shares:
            variant = self.polynomials(base, share, step)
            if variant.gates != gates:
                gates = variant.gates
                yield variant

    def with_native(self, base: Variant) -> Variant | None:
        """`base` with OpenVINO's own operators for the activations that have one and are something else; None for none."""
        if self._native is None:
            self._native = native_bodies(onnx.load(self.path, load_external_data=False))
        chosen = [unit for unit in self.units if unit.operator in self._native]
        if not chosen:
            return None
        model = base.model.clone()
        for unit in chosen:
            Wiring(model).replace(unit, build_native(self._native[unit.operator], unit.name))
        model.validate_nodes_and_infer_types()
        return Variant(
            f"{base.placement}, {NATIVE}", base.placement, None, model, body=NATIVE, native=self._native
        )

    def write(self, variant: Variant, xml: Path, batch: int = 0) -> Path:
        """XML and its weights, with the portable file's metadata and what was done; for `batch` alone unless it is 0."""
        import nncf
        import openvino

        forms = dict(self._read.forms)
        for unit in self.units:
            if unit.name in variant.gates:
                form = CURVE_FORM if isinstance(variant.gates[unit.name], Curve) else FORM
                name = form.format(share=variant.step_share)
                bound = max(variant.gates[unit.name].error, forms.get(unit.operator, ("", 0.0))[1])
                forms[unit.operator] = (name, bound)
            elif unit.operator in variant.native:
                forms[unit.operator] = (variant.body, variant.native[unit.operator].bound)
        metadata = carried_metadata(self._read.metadata, self.path)
        metadata[KEY] = json.dumps(
            {
                "runtime": "openvino",
                "placement": variant.placement,
                "step_share": variant.step_share,
                "body": variant.body or "as exported",
                "half_range": self._half_range,
                "images": len(self._images),
                "versions": {"nncf": nncf.__version__, "openvino": openvino.__version__},
            },
            sort_keys=True,
        )
        model = _with_batch(variant.model, batch) if batch else variant.model
        _name_anew(model, set(self._read.activations))
        read = ReadModel(model, None, self._read.activations, forms, metadata)
        return write_ir(read, metadata, xml)

    def _gate(self, unit: Unit, share: float, step: Step) -> Gate | None:
        return self._fit(unit, share, step, fit, self._fits)

    def _curve(self, unit: Unit, share: float, step: Step) -> Curve | None:
        return self._fit(unit, share, step, fit_curve, self._curves)

    def _fit(
        self,
        unit: Unit,
        share: float,
        step: Step,
        fitted: Callable[[Function, Seen, float], Kind | None],
        known: dict[tuple[str, Seen, float], Kind | None],
    ) -> Kind | None:
        if unit.cheap or unit.signature is None:
            return None
        if self._seen is None:
            self._seen = inputs_seen(self.float_model, self.units, self._images, batch=self._batch, step=step)
        seen = rounded(self._seen[unit.name])
        key = (unit.signature, seen, share)
        if key not in known:
            function = self._function(unit)
            values = function(np.linspace(seen.low, seen.high, 257))
            size = (float(values.max()) - float(values.min())) / STEPS
            known[key] = fitted(function, seen, share * size)
        return known[key]

    def _function(self, unit: Unit) -> Function:
        signature = unit.signature or unit.name
        if signature not in self._functions:
            self._functions[signature] = evaluator(self.float_model, unit)
        return self._functions[signature]


def _build(fitted: Fit, name: str) -> Callable[[Any], Any]:
    return build_curve(fitted, name) if isinstance(fitted, Curve) else build_gate(fitted, name)


def rounded(found: Seen) -> Seen:
    """The range widened to quarters, mean and deviation in eighths: inputs to come reach a little further, fits become alike."""
    low, high = np.floor(found.low * 4) / 4, np.ceil(found.high * 4) / 4
    mean, deviation = np.round(found.mean * 8) / 8, max(1.0, np.ceil(found.deviation * 8)) / 8
    return Seen(float(low), float(max(high, low + 0.25)), float(mean), float(deviation))


def _name_anew(model: Any, kept: set[str]) -> None:
    """Names that OpenVINO counts up over a process (Constant_4711) would make each file another one."""
    for index, op in enumerate(model.get_ordered_ops()):
        name = op.get_friendly_name()
        if _COUNTED.fullmatch(name) and name not in kept:
            op.set_friendly_name(f"{name.rpartition('_')[0]}_#{index}")


def _with_batch(model: Any, batch: int) -> Any:
    fixed = model.clone()
    shape = fixed.inputs[0].partial_shape
    shape[0] = batch
    try:
        fixed.reshape(shape)
    except RuntimeError as error:
        raise EdgeactsError(f"the model does not take a batch of {batch}: {one_line(error)}") from error
    return fixed


def _folded(model: Any) -> Any:
    """Constants computed: NNCF and OpenVINO see weights and biases only where they are constants."""
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    try:
        manager.run_passes(model)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot fold the model's constants: {one_line(error)}") from error
    return model
