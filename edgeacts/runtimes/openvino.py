"""OpenVINO: ONNX files (model-local functions inlined in memory) and .xml IR, in a confirmed precision."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.external_data_helper import load_external_data_for_model, uses_external_data
from onnx.inliner import inline_local_functions

from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError, one_line
from edgeacts.files import read_bytes
from edgeacts.runtimes import openvino_precision
from edgeacts.runtimes.base import Executed, Session, TensorSpec
from edgeacts.runtimes.onnx_file import MAX_MODEL_BYTES, input_specs, load_onnx, output_specs
from edgeacts.runtimes.ort_graph import listing

LEVELS = ("default",)
_Specs = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]

_DTYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16",
    "boolean": "bool", "string": "string",
    "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8",
    "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
}  # fmt: skip


def precisions() -> tuple[str, ...]:
    """f32, and what else this CPU computes in. Raises NotAvailable."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
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
    compiled, specs = compile_file(
        path, threads=threads, provider=provider, precision=precision, streams=streams
    )
    return _session(path, compiled, specs, precision=precision, level=level)


def compile_file(
    path: Path, *, threads: int, provider: str, precision: str, streams: int = 1, profiled: bool = False
) -> tuple[Any, _Specs | None]:
    """The openvino.CompiledModel, and what an ONNX file declares (None for IR). `profiled` counts time by layer."""
    core = _core()
    device = choose_device(provider, core.available_devices)
    config = _config(device, threads, precision, streams) | ({"PERF_COUNT": True} if profiled else {})
    model, specs = _read(core, path)
    return _compiled(core, model, path, device, config), specs


def open_looked_at(path: Path, values: Sequence[str], *, threads: int, precision: str) -> Session:
    """A session on the CPU with inner values of an ONNX file, by their names, as further outputs. Errors are `open_model`'s."""
    core = _core()
    model, specs = _read(core, path)
    inputs, outputs = specs or (_ir_specs(path, model.inputs), _ir_specs(path, model.outputs))
    values = [v for v in values if v not in {spec.name for spec in outputs}]
    ports = model.add_outputs(values)
    looked = tuple(dataclasses.replace(_ir_spec(path, p), name=v) for p, v in zip(ports, values, strict=True))
    compiled = _compiled(core, model, path, "CPU", _config("CPU", threads, precision, streams=1))
    return _session(path, compiled, (inputs, outputs + looked), precision=precision, level=LEVELS[-1])


def value_names(path: Path) -> frozenset[str]:
    """Names of the values that are left after openvino has read the file: what `open_looked_at` takes."""
    model, _ = _read(_core(), path)
    return frozenset(name for op in model.get_ordered_ops() for port in op.outputs() for name in port.names)


def _read(core: Any, path: Path) -> tuple[Any, _Specs | None]:
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return _read_ir(core, path), None
    if suffix == ".onnx":
        proto = load_onnx(path)
        specs = input_specs(proto, path), output_specs(proto, path)
        return _read_onnx(core, path, proto), specs
    raise UsageError(f"openvino reads .onnx and .xml files, not {path}")


def _compiled(core: Any, model: Any, path: Path, device: str, config: Mapping[str, Any]) -> Any:
    try:
        return core.compile_model(model, device, config)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot compile {path}: {one_line(error)}") from error


def _session(path: Path, compiled: Any, specs: _Specs | None, *, precision: str, level: str) -> Session:
    inputs, outputs = specs or (_ir_specs(path, compiled.inputs), _ir_specs(path, compiled.outputs))
    session = OpenVinoSession(path, compiled, inputs, outputs, precision=precision, level=level)
    session.confirm()
    return session


def choose_device(asked: str, available: Sequence[str]) -> str:
    """The device that `asked` (`cpu`, `gpu`, ..., in any case) means. Raises NotAvailable."""
    key = asked.strip().upper()
    if found := next((name for name in available if key in {name, name.partition(".")[0]}), None):
        return found
    raise NotAvailable(f"openvino has no device {asked!r} here: available: {', '.join(available) or 'none'}")


class OpenVinoSession(Session):
    """One compiled model and the request that runs it; tensors go by their ONNX names."""

    def __init__(
        self,
        path: Path,
        compiled: Any,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        precision: str,
        level: str,
    ) -> None:
        super().__init__(str(path), inputs, outputs)
        self._compiled = compiled
        self._asked = precision
        self._level = level
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

    def executed(self) -> Executed:
        """What runs. `precision` and `layers` (with counts) are read from the compiled graph."""
        import openvino

        counts = self._layer_precisions()
        openvino_precision.confirm_precision(self.path, self._asked, counts)
        return {
            "runtime": "openvino",
            "runtime_version": openvino.__version__,
            "provider": ",".join(self._compiled.get_property("EXECUTION_DEVICES")),
            "level": self._level,
            "threads": self._property("INFERENCE_NUM_THREADS"),
            "streams": self._property("NUM_STREAMS"),
            "precision": openvino_precision.summary(counts),
            "precision_asked": self._asked,
            "layers": listing(counts),
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


def _core() -> Any:
    try:
        import openvino
    except ImportError:
        raise NotAvailable("openvino is not installed: pip install edgeacts[openvino]") from None
    return openvino.Core()


def _config(device: str, threads: int, precision: str, streams: int) -> dict[str, str | int]:
    config: dict[str, str | int] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
    }
    if device == "CPU":
        config |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    return config


def _read_ir(core: Any, path: Path) -> Any:
    # Other content would be tried by every frontend, each with its complaints on stderr.
    if not read_bytes(path, "model", MAX_MODEL_BYTES).lstrip()[:5].startswith((b"<?xml", b"<net")):
        raise DamagedFile(f"{path} is not an OpenVINO model")
    if not path.with_suffix(".bin").is_file():
        raise UsageError(
            f"{path} needs its weights beside it: {path.with_suffix('.bin').name} does not exist"
        )
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise DamagedFile(f"openvino cannot read {path}: {one_line(error)}") from error
    if not model.outputs:
        raise DamagedFile(f"{path} holds no model with an output: convert it again")
    return model


def _read_onnx(core: Any, path: Path, proto: onnx.ModelProto) -> Any:
    try:
        return core.read_model(_inlined(path, proto) if proto.functions else path)
    except RuntimeError as error:
        raise EdgeactsError(f"openvino cannot convert {path}: {one_line(error)}") from error


def _inlined(path: Path, proto: onnx.ModelProto) -> bytes:
    """The model without functions, which OpenVINO refuses, its external weights inside."""
    external = {
        path.parent / entry.value
        for tensor in proto.graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    sizes = [file.stat().st_size for file in (path, *external) if file.is_file()]
    if sum(sizes) > MAX_MODEL_BYTES:
        raise UsageError(
            f"{path} has functions and more than 2 GiB of weights: give openvino the inlined twin"
        )
    try:
        load_external_data_for_model(proto, str(path.parent))  # onnx itself refuses places outside the folder
        data: bytes = inline_local_functions(proto).SerializeToString()
        return data
    except (onnx.checker.ValidationError, OSError, RuntimeError, ValueError) as error:
        raise DamagedFile(f"the functions of {path} cannot be inlined: {one_line(error)}") from error


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
