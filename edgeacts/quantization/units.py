"""An activation as a function of numbers: its node, evaluated by ONNX Runtime through the function's body."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeacts.forms import DOMAIN
from edgeacts.quantization.sessions import open_here

_DENSE = 8193


class Unit:
    """One activation node with its body. `values(x)` are exactly what the portable model computes for these x."""

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto) -> None:
        call = onnx.NodeProto()
        call.CopyFrom(node)
        call.input[0], call.output[0] = "x", "y"
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in ("x", "y"))
        graph = helper.make_graph([call], "unit", [x], [y])
        self._model = helper.make_model(
            graph,
            opset_imports=list(model.opset_import),
            ir_version=model.ir_version,
            functions=[f for f in model.functions if f.domain == node.domain],
        )

    def values(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """float32 [n] of [n]."""
        result: NDArray[np.float32] = self._session.run(None, {"x": np.ascontiguousarray(x, np.float32)})[0]
        return result

    @cached_property
    def _session(self) -> Any:
        return open_here(self._model)

    def between(self, low: float, high: float) -> Interpolated:
        """The function on a dense grid over [low, high], for searches that ask for millions of values."""
        x = np.linspace(low, high, _DENSE)
        return Interpolated(x, self.values(x).astype(np.float64))


class Interpolated:
    """A function known at equidistant points, straight between them."""

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self._x, self._y = x, y

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n] of [n]."""
        return np.interp(values, self._x, self._y)


def units_of(prepared: onnx.ModelProto) -> Mapping[str, Unit]:
    """Output -> unit of every activation of one input; equal ones (operator and parameters) are one."""
    found: dict[str, Unit] = {}
    known: dict[tuple[str, tuple[bytes, ...]], Unit] = {}
    for node in prepared.graph.node:
        if node.domain != DOMAIN or len(node.input) != 1 or len(node.output) != 1:
            continue
        key = (node.op_type, tuple(sorted(a.SerializeToString(deterministic=True) for a in node.attribute)))
        if key not in known:
            known[key] = Unit(prepared, node)
        found[node.output[0]] = known[key]
    return found
