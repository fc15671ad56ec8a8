"""What each activation gets to see: the lowest and highest input of every unit on the calibration images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError, one_line
from edgeacts.quantization.openvino_units import Unit, Wiring

Range = tuple[float, float]


def input_ranges(
    model: Any,
    units: tuple[Unit, ...],
    images: NDArray[np.float32],
    *,
    batch: int = 1,
    step: Callable[[int], object] = lambda count: None,
) -> dict[str, Range]:
    """Name of each unit -> (lowest, highest) input on the images, in one pass. Raises EdgeactsError (NaN, the run)."""
    import openvino
    import openvino.opset15 as ops

    if not units:
        return {}
    clone = model.clone()
    wiring = Wiring(clone)
    results = []
    for unit in units:
        flat = ops.reshape(wiring.source(unit), ops.constant(np.array([-1], np.int64)), special_zero=False)
        axis = ops.constant(np.array([0], np.int64))
        results += [ops.result(ops.reduce_min(flat, axis)), ops.result(ops.reduce_max(flat, axis))]
    watched = openvino.Model(results, clone.get_parameters(), "ranges")
    try:
        compiled = openvino.Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = []
        for start in range(0, len(images) - len(images) % batch, batch):
            values = compiled([images[start : start + batch]])
            found.append([float(values[port]) for port in compiled.outputs])
            step(batch)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot run the calibration images: {one_line(error)}") from error
    table = np.array(found)
    lows, highs = table[:, ::2].min(axis=0), table[:, 1::2].max(axis=0)
    if not np.isfinite(table).all():
        bad = units[int(np.flatnonzero(~np.isfinite(lows + highs))[0])]
        raise EdgeactsError(
            f"activation {bad.name!r} gets NaN or infinity on the calibration images: the float model is broken there"
        )
    return {unit.name: (float(low), float(high)) for unit, low, high in zip(units, lows, highs, strict=True)}
