"""What each activation gets to see on the calibration images: its lowest and highest input, their mean and deviation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError, one_line
from edgeacts.quantization.openvino_fits import Seen
from edgeacts.quantization.openvino_units import Unit, Wiring


def inputs_seen(
    model: Any,
    units: tuple[Unit, ...],
    images: NDArray[np.float32],
    *,
    batch: int = 1,
    step: Callable[[int], object] = lambda count: None,
) -> dict[str, Seen]:
    """Name of each unit -> what it gets on the images, in one pass. Raises EdgeactsError (NaN, the run)."""
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
        values = (ops.reduce_min(flat, axis), ops.reduce_max(flat, axis), ops.reduce_mean(flat, axis))
        squares = ops.reduce_mean(ops.multiply(flat, flat), axis)
        results += [ops.result(value) for value in (*values, squares)]
    watched = openvino.Model(results, clone.get_parameters(), "ranges")
    try:
        compiled = openvino.Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = []
        for start in range(0, len(images) - len(images) % batch, batch):
            given = compiled([images[start : start + batch]])
            found.append([float(given[port]) for port in compiled.outputs])
            step(batch)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot run the calibration images: {one_line(error)}") from error
    table = np.array(found)
    lows, highs, means, powers = (table[:, place::4] for place in range(4))
    if not np.isfinite(lows + highs).all():
        bad = units[int(np.flatnonzero(~np.isfinite(lows + highs).all(axis=0))[0])]
        raise EdgeactsError(
            f"activation {bad.name!r} gets NaN or infinity on the calibration images: the float model is broken there"
        )
    mean = means.mean(axis=0)
    deviation = np.sqrt(np.maximum(powers.mean(axis=0) - mean * mean, 0.0))
    rows = zip(units, lows.min(axis=0), highs.max(axis=0), mean, deviation, strict=True)
    return {unit.name: Seen(float(a), float(b), float(m), float(d)) for unit, a, b, m, d in rows}
