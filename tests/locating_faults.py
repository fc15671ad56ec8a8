"""What tests of `locate` plant and look for: the first row beyond its budget, a scaled kernel, the error of the minimal file."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
from small_networks import rewrite, weights

from edgeacts.records import DivergenceRecord, LayerRow


def first(record: DivergenceRecord) -> LayerRow:
    assert record.first is not None, record.summary
    return record.rows[record.first]


def scaled(which: int, factor: float = 1.01) -> Callable[[onnx.ModelProto], None]:
    return lambda model: rewrite(list(weights(model).values())[which], lambda w: w * factor)


def shown_alone(record: DivergenceRecord, level: int = 99) -> float:
    """The error that the minimal file makes in onnxruntime on the input beside it, by numpy and onnxruntime alone."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel(level)
    session = ort.InferenceSession(record.minimal_model, options, providers=["CPUExecutionProvider"])
    with np.load(record.minimal_input, allow_pickle=False) as arrays:
        feeds = {value.name: arrays[value.name] for value in session.get_inputs()}
        expected = [arrays[f"expected_{value.name}"] for value in session.get_outputs()]
        assert set(arrays.files) == {*feeds, *(f"expected_{v.name}" for v in session.get_outputs())}
    return max(float(np.abs(e - f).max()) for e, f in zip(expected, session.run(None, feeds), strict=True))
