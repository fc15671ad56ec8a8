"""One model on OpenVINO, compiled for the shapes that it is given."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.records import ExecutedGraph
from edgeacts.runtimes import openvino_precision
from edgeacts.runtimes.base import Executed, Session, TensorSpec
from edgeacts.runtimes.openvino_compiling import Compiler, Shapes
from edgeacts.runtimes.openvino_layers import executed_graph, told
from edgeacts.runtimes.openvino_reading import ReadModel, Specs
from edgeacts.runtimes.openvino_tensors import find_port, to_array, to_tensor
from edgeacts.runtimes.ort_graph import listing

SHAPES_KEPT = 8  # compiled models that are kept, each for shapes of its own


class OpenVinoSession(Session):
    """A model file compiled by `compiler`; tensors go by their ONNX names.

    With `fixed`, a model with open dimensions is compiled for each set of shapes it is given; with `batch`, the first
    dimension of each input is that from the beginning; with `shapes`, it is compiled for those only.
    """

    def __init__(
        self,
        compiler: Compiler,
        read: ReadModel,
        specs: Specs,
        *,
        fixed: bool,
        batch: int | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        inputs, outputs = specs
        if batch is not None:
            inputs = tuple(_with_batch(compiler.path, spec, batch) for spec in inputs)
        super().__init__(str(compiler.path), inputs, outputs)
        self.metadata: Mapping[str, str] = read.metadata
        self._compiler = compiler
        self._forms, self._activations = read.forms, read.activations
        self._refused = ""
        self._variants: dict[Any, _Variant] = {}
        self._is_fixed = fixed and any(spec.shape is None or None in spec.shape for spec in inputs)
        if shapes is None and (fixed or batch is not None):
            shapes = _shapes_at_first(inputs)
        self._current = self._compile(read, shapes)

    @property
    def native(self) -> Any:
        """The openvino.CompiledModel; it takes what the file takes, open dimensions included."""
        self._check_open()
        return (self._variant({}) if self._is_fixed else self._current).compiled

    def confirm(self) -> None:
        """Raises CheckFailed when a layer computes in fewer bits than asked for."""
        openvino_precision.confirm_precision(self.path, self._compiler.precision, self._layer_precisions())

    @property
    def manifest(self) -> ExecutedGraph:
        """What was made of the model for the shapes that ran last: executed layers, and where each activation went."""
        import openvino

        return executed_graph(
            Path(self.path),
            openvino_precision.runtime_layers(self._current.compiled),
            forms=self._forms,
            activations=self._activations,
            asked=self._compiler.precision,
            version=openvino.__version__,
        )

    @property
    def form_bound(self) -> float | None:
        """That of the bodies that the file carries for OpenVINO; None for a file that states nothing."""
        return max((bound for _, bound in self._forms.values()), default=None)

    def executed(self) -> Executed:
        """What runs, for the shapes that ran last. `precision`, `layers` and `activations` are read from the compiled graph."""
        import openvino

        self.confirm()
        counts, compiled = self._layer_precisions(), self._current.compiled
        return {
            "runtime": "openvino",
            "runtime_version": openvino.__version__,
            "provider": ",".join(compiled.get_property("EXECUTION_DEVICES")),
            "level": "default" if self._is_fixed or not self._current.open else "dynamic",
            "shapes": self._refused or ("open" if self._current.open else "fixed"),
            "threads": self._property("INFERENCE_NUM_THREADS"),
            "streams": self._property("NUM_STREAMS"),
            "precision": openvino_precision.summary(counts),
            "precision_asked": self._compiler.precision,
            "layers": listing(counts),
            "activations": told(self.manifest) or None,
        }

    def _layer_precisions(self) -> Mapping[str, int]:
        layers = openvino_precision.runtime_layers(self._current.compiled)
        return openvino_precision.layer_precisions(layers)

    def _property(self, name: str) -> int | None:
        compiled = self._current.compiled
        return (
            int(compiled.get_property(name))
            if name in compiled.get_property("SUPPORTED_PROPERTIES")
            else None
        )

    def _run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return self._for(feeds).run(feeds)

    def _bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        return self._for(feeds).bound(feeds)

    def _for(self, feeds: Mapping[str, np.ndarray]) -> _Variant:
        """The model compiled for these shapes; what ran last is what `executed` tells of."""
        if self._is_fixed and not self._refused:
            self._current = self._variant({spec.name: feeds[spec.name].shape for spec in self.inputs})
        return self._current

    def _variant(self, shapes: Shapes) -> _Variant:
        key = tuple(sorted((name, tuple(shape)) for name, shape in shapes.items()))
        if key not in self._variants:
            self._compile(self._compiler.read(), shapes or None)
        return self._variants[key]

    def _compile(self, read: ReadModel, shapes: Shapes | None) -> _Variant:
        """Compile and keep; a model that these shapes cannot be put into is compiled as it is, and says so."""
        key = tuple(sorted((name, tuple(shape)) for name, shape in (shapes or {}).items()))
        try:
            compiled = self._compiler.compile(read.model, shapes)
        except EdgeactsError as error:
            if shapes is None or not self._is_fixed:
                raise
            self._refused = f"open: {one_line(error)}"
            compiled = self._compiler.compile(self._compiler.read().model)
        if len(self._variants) >= SHAPES_KEPT:
            del self._variants[next(iter(self._variants))]
        self._variants[key] = _Variant(self._compiler.path, compiled, self.inputs, self.outputs)
        return self._variants[key]

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the session of {self.path} is closed: open it again")

    def _close(self) -> None:
        self._variants.clear()
        del self._current


class _Variant:
    """A compiled model and the request that runs it."""

    def __init__(
        self, path: Path, compiled: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        self.compiled = compiled
        self.open = any(port.partial_shape.is_dynamic for port in compiled.inputs)
        # OpenVINO drops an input that nothing uses: it is accepted and not passed on.
        self._input_ports = {
            spec.name: port for spec in inputs if (port := find_port(compiled.inputs, spec.name)) is not None
        }
        self._output_ports = [find_port(compiled.outputs, spec.name) for spec in outputs]
        if None in self._output_ports:
            lost = outputs[self._output_ports.index(None)].name
            raise EdgeactsError(f"{path}: openvino lost the output {lost!r}")
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Values of the outputs, in arrays of their own."""
        self._set_inputs(self._request, feeds)
        self._request.infer()
        return [to_array(self._request.get_tensor(port)) for port in self._output_ports]

    def bound(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """One run of the feeds in a request of its own."""
        request = self.compiled.create_infer_request()
        self._set_inputs(request, feeds)
        return functools.partial(request.infer, share_outputs=True)

    def _set_inputs(self, request: Any, feeds: Mapping[str, np.ndarray]) -> None:
        for name, port in self._input_ports.items():
            array = np.ascontiguousarray(feeds[name]).reshape(feeds[name].shape)  # rank 0 would become rank 1
            request.set_tensor(port, to_tensor(array))


def _shapes_at_first(inputs: Sequence[TensorSpec]) -> Shapes | None:
    """The shapes of one item a run, which is what most sessions are opened for; None where more than the batch is open."""
    shapes: dict[str, tuple[int, ...]] = {}
    for spec in inputs:
        if not spec.shape or None in spec.shape[1:]:
            return None
        shapes[spec.name] = (spec.shape[0] or 1, *(n for n in spec.shape[1:] if n is not None))
    return shapes


def _with_batch(path: Path, spec: TensorSpec, batch: int) -> TensorSpec:
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise UsageError(f"batch {batch!r}: give a whole number of at least 1")
    if not spec.shape or spec.shape[0] not in (None, batch):
        raise UsageError(f"{path}: input {spec.name!r} is {spec}: batch {batch} does not fit")
    names = ("", *spec.dim_names[1:]) if spec.dim_names else ()
    return TensorSpec(spec.name, spec.dtype, (batch, *spec.shape[1:]), names)
