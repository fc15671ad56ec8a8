"""Images -> a histogram of every tensor that is quantized, in one pass; and from them each tensor's range by any method.

onnxruntime.quantization's calibraters are not used: they keep every image's tensors in memory and run the images once for each
method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from edgeacts.acceleration.graph import consumers
from edgeacts.errors import EdgeactsError
from edgeacts.forms import DOMAIN
from edgeacts.quantization.histograms import Growing, Histogram
from edgeacts.quantization.preparing import prepare
from edgeacts.quantization.ranges import LEVELS, METHODS, Range
from edgeacts.quantization.sessions import batches, input_of, open_here
from edgeacts.quantization.units import Unit, units_of

# Their output holds their input's values: it gets the same scale.
SAME_VALUES = frozenset({
    "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "MaxPool", "Split", "Slice", "Gather", "Pad", "Resize"
})  # fmt: skip
_SAMPLED = 2**14  # values of a tensor and image that are counted; extremes are taken from all
_BATCH_BYTES = 2**27
_STEP = 7  # images begin to be sampled at another place each


@dataclass(frozen=True, eq=False)
class Calibration:
    """What images say about a prepared model's tensors: `histograms` by name, and the ranges made of them.

    `units` are the activations by output name; their range follows from their input's, exactly. `fixed` are ranges known
    beforehand (the input's, from its preprocessing). `shifts` are the corrections of biases by layer, where they were measured.
    """

    prepared: onnx.ModelProto
    histograms: Mapping[str, Histogram]
    units: Mapping[str, Unit]
    fixed: Mapping[str, Range] = field(default_factory=dict)
    shifts: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    _ranges: dict[str, Mapping[str, Range]] = field(default_factory=dict)

    def ranges(self, method: str) -> Mapping[str, Range]:
        """Tensor -> (lowest, highest) by that method of `ranges.METHODS`; computed once."""
        if method not in self._ranges:
            self._ranges[method] = dict(self._all_ranges(method))
        return self._ranges[method]

    def with_shifts(self, shifts: Mapping[str, NDArray[np.float32]]) -> Calibration:
        """The same with corrections of biases."""
        return replace(self, shifts=shifts)

    def _all_ranges(self, method: str) -> Iterator[tuple[str, Range]]:
        found: dict[str, Range] = {}
        searched = METHODS[method]
        alone = _read_by_one_unit(self.prepared, self.units)
        for name, histogram in self.histograms.items():
            unit = alone.get(name)
            through = None if unit is None else unit.between(histogram.lowest, histogram.highest)
            found[name] = self.fixed.get(name) or searched(histogram, through)
        for node in self.prepared.graph.node:
            output = node.output[0]
            if output in self.units and node.input[0] in found:
                found[output] = image(self.units[output], found[node.input[0]])
            elif node.op_type in SAME_VALUES and node.input[0] in found:
                found.update((name, found[node.input[0]]) for name in node.output if name)
        yield from found.items()


def image(unit: Unit, given: Range) -> Range:
    """The lowest and highest of the 256 values that an activation can have behind 8-bit values of that range: no calibration."""
    low, high = min(given[0], 0.0), max(given[1], 0.0)
    step = (high - low) / (LEVELS - 1)
    levels = (np.arange(LEVELS) - np.rint(-low / step)) * step if step > 0 else np.zeros(1)
    values = unit.values(levels)
    return float(values.min()), float(values.max())


def _read_by_one_unit(prepared: onnx.ModelProto, units: Mapping[str, Unit]) -> dict[str, Unit]:
    """Tensors that nothing but one activation reads -> that activation."""
    outputs = {value.name for value in prepared.graph.output}
    return {
        name: units[readers[0].output[0]]
        for name, readers in consumers(prepared.graph).items()
        if len(readers) == 1 and name not in outputs and readers[0].output[0] in units
    }


def calibrate(
    model: onnx.ModelProto,
    images: NDArray[np.float32],
    *,
    fixed: Mapping[str, Range] | None = None,
    step: Callable[[int], None] | None = None,
) -> Calibration:
    """The calibration of a float model (prepared or not) by images [N, ...] as it takes them; `step(n)` is told of progress.

    Raises EdgeactsError when ONNX Runtime refuses the model, or a tensor is not finite.
    """
    prepared = prepare(model)
    units = units_of(prepared)
    names = _measured(prepared, units)
    given = input_of(prepared).name
    watched = onnx.ModelProto()
    watched.CopyFrom(prepared)
    there = {value.name for value in watched.graph.output}
    for name in names:
        if name not in there and name != given:
            watched.graph.output.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = open_here(watched)
    collectors = {name: Growing() for name in names}
    wanted = [name for name in names if name != given]
    size = _batch_size(session, prepared, wanted, images)
    for number, feed in enumerate(batches(prepared, images, size)):
        values = dict(zip(wanted, session.run(wanted, feed), strict=True))
        values |= {given: feed[given]} if given in collectors else {}
        for name, value in values.items():
            _add(collectors[name], name, value, number)
        if step is not None:
            step(len(feed[given]))
    return Calibration(prepared, {n: c.histogram() for n, c in collectors.items()}, units, dict(fixed or {}))


def _measured(prepared: onnx.ModelProto, units: Mapping[str, Unit]) -> list[str]:
    """Float tensors whose range does not follow from another's."""
    infos = (*prepared.graph.value_info, *prepared.graph.output, *prepared.graph.input)
    floats = {v.name for v in infos if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    names = [input_of(prepared).name]
    for node in prepared.graph.node:
        if node.op_type not in SAME_VALUES or node.domain == DOMAIN:
            names += [name for name in node.output if name in floats and name not in units]
    return [name for name in names if name in floats]


def _batch_size(
    session: Any, prepared: onnx.ModelProto, names: list[str], images: NDArray[np.float32]
) -> int:
    """As many images as fit the memory that is allowed, by what the first takes."""
    feed = next(batches(prepared, images, 1))
    count = max(1, len(next(iter(feed.values()))))
    values = session.run(names, feed)
    taken = max(1, sum(int(v.nbytes) for v in values))
    return max(1, min(32, _BATCH_BYTES * count // taken))


def _add(collector: Growing, name: str, value: NDArray[np.float32], number: int) -> None:
    flat = value.reshape(-1)
    if not flat.size:
        return
    lowest, highest = float(flat.min()), float(flat.max())
    if not np.isfinite(lowest + highest):
        raise EdgeactsError(
            f"tensor {name} is not finite on the calibration images: look for the layer with edgeacts verify --locate"
        )
    stride = max(1, flat.size // (_SAMPLED * value.shape[0])) | 1
    collector.add(lowest, highest, flat[(number * _STEP) % stride :: stride])
