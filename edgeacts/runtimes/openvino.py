"""OpenVINO: ONNX files (activation functions converted as they are read) and .xml IR, in a confirmed precision."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgeacts.errors import EdgeactsError, NotAvailable, UsageError, one_line
from edgeacts.records import ExecutedGraph
from edgeacts.runtimes import openvino_precision
from edgeacts.runtimes.base import Executed, Session, TensorSpec
from edgeacts.runtimes.openvino_ir import new_core
from edgeacts.runtimes.openvino_layers import executed_graph, told
from edgeacts.runtimes.openvino_reading import ReadModel, Specs, read_file, value_names
from edgeacts.runtimes.ort_graph import listing

LEVELS = ("default",)

_DTYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16",
    "boolean": "bool", "string": "string",
    "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8",
    "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
}  # fmt: skip


def precisions() -> tuple[str, ...]:
    """f32, and what else this CPU computes in. Raises NotAvailable."""
    capabilities = new_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", *(name for name, flag in (("bf16", "BF16"), ("f16", "FP16")) if flag in capabilities))


def open_model(
    path: Path,
    *,
    threads: int,
    level: str,
    provider: str,
    precision: str,
    accelerate: bool,
    streams: int = 1,
) -> Session:
    """A session on the device `provider`. Raises NotAvailable, DamagedFile, CheckFailed or EdgeactsError."""
    if accelerate:
        raise UsageError(
            "only onnxruntime runs models accelerated: leave accelerate out, or use runtime onnxruntime"
        )
    compiled, read = compile_file(
        path, threads=threads, provider=provider, precision=precision, streams=streams
    )
    return _session(path, compiled, read, _specs(path, read, compiled), precision=precision)


def compile_file(
    path: Path, *, threads: int, provider: str, precision: str, streams: int = 1, profiled: bool = False
) -> tuple[Any, ReadModel]:
    """The openvino.CompiledModel, and the model that it was compiled from. `profiled` counts time by layer."""
    core = new_core()
    device = choose_device(provider, core.available_devices)
    config = _config(device, threads, precision, streams) | ({"PERF_COUNT": True} if profiled else {})
    read = read_file(path, precision)
    return _compiled(core, read.model, path, device, config), read


class Looking:
    """A model file, read once, to be compiled on the CPU with inner values as further outputs, again and again.

    `names` are the values that are left after OpenVINO has read the file. Errors are those of `open_model`.
    """

    def __init__(self, path: Path, *, threads: int, precision: str) -> None:
        self._path, self._threads, self._precision = path, threads, precision
        self._read = read_file(path, precision)
        self.names = value_names(self._read.model)

    def open(self, values: Sequence[str]) -> Session:
        """A session with the named values, as they go by in the file, among its outputs."""
        path, model = self._path, self._read.model.clone()
        inputs, outputs = _specs(path, self._read, model)
        values = [v for v in values if v not in {spec.name for spec in outputs}]
        ports = model.add_outputs(values)
        looked = tuple(
            dataclasses.replace(_ir_spec(path, p), name=v) for p, v in zip(ports, values, strict=True)
        )
        config = _config("CPU", self._threads, self._precision, streams=1)
        compiled = _compiled(new_core(), model, path, "CPU", config)
        return _session(path, compiled, self._read, (inputs, outputs + looked), precision=self._precision)


def _compiled(core: Any, model: Any, path: Path, device: str, config: Mapping[str, Any]) -> Any:
    try:
        return core.compile_model(model, device, config)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot compile {path}: {one_line(error)}") from error


def _session(path: Path, compiled: Any, read: ReadModel, specs: Specs, *, precision: str) -> Session:
    session = OpenVinoSession(path, compiled, read, specs, precision=precision)
    session.confirm()
    return session


def _specs(path: Path, read: ReadModel, model: Any) -> Specs:
    """What an ONNX file declares; of IR, the ports of `model`."""
    return read.specs or (_ir_specs(path, model.inputs), _ir_specs(path, model.outputs))


def choose_device(asked: str, available: Sequence[str]) -> str:
    """The device that `asked` (`cpu`, `gpu`, ..., in any case) means. Raises NotAvailable."""
    key = asked.strip().upper()
    if found := next((name for name in available if key in {name, name.partition(".")[0]}), None):
        return found
    raise NotAvailable(f"openvino has no device {asked!r} here: available: {', '.join(available) or 'none'}")


class OpenVinoSession(Session):
    """One compiled model and the request that runs it; tensors go by their ONNX names."""

    def __init__(self, path: Path, compiled: Any, read: ReadModel, specs: Specs, *, precision: str) -> None:
        inputs, outputs = specs
        super().__init__(str(path), inputs, outputs)
        self.metadata: Mapping[str, str] = read.metadata
        self._compiled = compiled
        self._forms, self._activations = read.forms, read.activations
        self._asked = precision
        # OpenVINO drops an input that nothing uses: it is accepted and not passed on.
        self._input_ports = {
            spec.name: port for spec in inputs if (port := _port(compiled.inputs, spec.name)) is not None
        }
        self._output_ports = [_port(compiled.outputs, spec.name) for spec in outputs]
        if None in self._output_ports:
            lost = outputs[self._output_ports.index(None)].name
            raise EdgeactsError(f"{path}: openvino lost the output {lost!r}")
        self._request = compiled.create_infer_request()

    @property
    def native(self) -> Any:
        """The openvino.CompiledModel."""
        return self._compiled

    def confirm(self) -> None:
        """Raises CheckFailed when a layer computes in fewer bits than asked for."""
        openvino_precision.confirm_precision(self.path, self._asked, self._layer_precisions())

    @functools.cached_property
    def manifest(self) -> ExecutedGraph:
        """What was made of the model: each executed layer, each activation, read from the compiled graph."""
        import openvino

        return executed_graph(
            Path(self.path),
            openvino_precision.runtime_layers(self._compiled),
            forms=self._forms,
            activations=self._activations,
            asked=self._asked,
            version=openvino.__version__,
        )

    @property
    def form_bound(self) -> float | None:
        """That of the bodies that the file carries for OpenVINO; None for a file that states nothing."""
        return max((bound for _, bound in self._forms.values()), default=None)

    def executed(self) -> Executed:
        """What runs. `precision`, `layers` (with counts) and `activations` are read from the compiled graph."""
        import openvino

        counts = self._layer_precisions()
        openvino_precision.confirm_precision(self.path, self._asked, counts)
        return {
            "runtime": "openvino",
            "runtime_version": openvino.__version__,
            "provider": ",".join(self._compiled.get_property("EXECUTION_DEVICES")),
            "level": LEVELS[-1],
            "threads": self._property("INFERENCE_NUM_THREADS"),
            "streams": self._property("NUM_STREAMS"),
            "precision": openvino_precision.summary(counts),
            "precision_asked": self._asked,
            "layers": listing(counts),
            "activations": told(self.manifest) or None,
        }

    def _layer_precisions(self) -> Mapping[str, int]:
        return openvino_precision.layer_precisions(openvino_precision.runtime_layers(self._compiled))

    def _property(self, name: str) -> int | None:
        supported = name in self._compiled.get_property("SUPPORTED_PROPERTIES")
        return int(self._compiled.get_property(name)) if supported else None

    def _set_inputs(self, request: Any, feeds: Mapping[str, np.ndarray]) -> None:
        for name, port in self._input_ports.items():
            array = np.ascontiguousarray(feeds[name]).reshape(feeds[name].shape)  # rank 0 would become rank 1
            request.set_tensor(port, _tensor(array))

    def _run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        self._set_inputs(self._request, feeds)
        self._request.infer()
        return [_array(self._request.get_tensor(port)) for port in self._output_ports]

    def _bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        request = self._compiled.create_infer_request()
        self._set_inputs(request, feeds)
        return functools.partial(request.infer, share_outputs=True)

    def _close(self) -> None:
        self._request = self._compiled = None
        self._input_ports, self._output_ports = {}, []


_BFLOAT16 = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)


def _tensor(array: np.ndarray) -> Any:
    """A tensor on the array's memory; numpy's bfloat16 is not known to OpenVINO, so its bits are handed over."""
    from openvino import Shape, Tensor, Type

    if array.dtype != _BFLOAT16:
        return Tensor(array)
    return Tensor(array.view(np.uint16), Shape(array.shape), Type.bf16)


def _array(tensor: Any) -> np.ndarray:
    """A copy of the tensor's values; OpenVINO shows the bits of a bfloat16 as if they were a float16."""
    values = np.array(tensor.data)
    return values.view(_BFLOAT16) if tensor.element_type.get_type_name() == "bf16" else values


def _config(device: str, threads: int, precision: str, streams: int) -> dict[str, str | int]:
    config: dict[str, str | int] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
    }
    if device == "CPU":
        config |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    return config


def _ir_specs(path: Path, ports: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(_ir_spec(path, port) for port in ports)


def _ir_spec(path: Path, port: Any) -> TensorSpec:
    kind = port.element_type.get_type_name()
    if kind not in _DTYPES:
        raise UsageError(f"{path}: {port.any_name!r} has elements of type {kind}, which numpy has not")
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return TensorSpec(port.any_name, _DTYPES[kind], None)
    return TensorSpec(
        port.any_name, _DTYPES[kind], tuple(dim.get_length() if dim.is_static else None for dim in shape)
    )


def _port(ports: Sequence[Any], name: str) -> Any | None:
    return next((port for port in ports if name in port.names), None)
