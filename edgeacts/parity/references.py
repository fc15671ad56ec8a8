"""What a candidate is compared with: a torch module in float64 and float32, or an ONNX file run without optimization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError, one_line
from edgeacts.runtimes import Session, TensorSpec, open_runtime

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, NDArray[Any]]


class Reference(Protocol):
    """Outputs by name, as exact as the reference can (`exact`) and in float32 (`rounded`)."""

    label: str
    sha256: str

    def exact(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """The values to be met."""

    def rounded(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """The same in float32: its distance from `exact` is the model's own noise."""


class ModuleReference:
    """A torch module, run in float64 and in float32; outputs get the candidate's names in order."""

    def __init__(
        self, model: nn.Module, label: str, sha256: str, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        import copy

        import torch

        if any(m.training for m in model.modules()):
            raise UsageError(f"{label} is in training mode: call model.eval() before verifying")
        self.label, self.sha256 = label, sha256
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._single = model
        self._double = copy.deepcopy(model).to(torch.float64)

    def exact(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """float64 values."""
        return self._run(self._double, feeds, np.float64)

    def rounded(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """float32 values."""
        return self._run(self._single, feeds, np.float32)

    def _run(self, model: nn.Module, feeds: Mapping[str, NDArray[Any]], dtype: Any) -> Arrays:
        import torch

        tensors = [
            torch.from_numpy(feeds[n].astype(dtype) if feeds[n].dtype.kind == "f" else feeds[n])
            for n in self._inputs
        ]
        try:
            with torch.no_grad():
                result = model(*tensors)
        except (
            RuntimeError,
            TypeError,
            ValueError,
            IndexError,
        ) as error:  # whatever a foreign forward raises
            shapes = ", ".join(f"{n} {list(feeds[n].shape)}" for n in self._inputs)
            raise UsageError(
                f"{self.label} does not take the candidate's inputs ({shapes}): {one_line(error)}"
            ) from error
        values = _flatten(result)
        if len(values) != len(self._outputs):
            raise UsageError(
                f"{self.label} gives {len(values)} outputs, the candidate {len(self._outputs)} ({', '.join(self._outputs)})"
            )
        return {name: v.detach().cpu().numpy() for name, v in zip(self._outputs, values, strict=True)}


def _flatten(result: Any) -> list[Any]:
    if isinstance(result, Mapping):
        return [v for item in result.values() for v in _flatten(item)]
    if isinstance(result, list | tuple):
        return [v for item in result for v in _flatten(item)]
    return [result]


class OnnxReference:
    """An ONNX file in ONNX Runtime with its optimizations off; its float32 noise is the fully optimized run's distance."""

    def __init__(self, path: Path, sha256: str) -> None:
        self.label, self.sha256 = path.name, sha256
        self._plain: Session = open_runtime(path, "onnxruntime", level="disabled")
        self._optimized: Session = open_runtime(path, "onnxruntime")

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs the file declares."""
        return self._plain.outputs

    def exact(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Values of the unoptimized graph."""
        return self._plain.infer(self._own(feeds))

    def rounded(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Values of the optimized graph."""
        return self._optimized.infer(self._own(feeds))

    def _own(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """The feeds under this file's own input names, in order."""
        own = [spec.name for spec in self._plain.inputs]
        if len(own) != len(feeds):
            raise UsageError(
                f"{self.label} has {len(own)} inputs ({', '.join(own)}), the candidate {len(feeds)} ({', '.join(feeds)})"
            )
        return dict(zip(own, feeds.values(), strict=True))
