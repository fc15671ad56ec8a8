"""How a model file is compiled by OpenVINO: for which device, threads, precision, and for which shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeacts.errors import EdgeactsError, NotAvailable, one_line
from edgeacts.runtimes.openvino_ir import new_core
from edgeacts.runtimes.openvino_reading import ReadModel, Specs, read_file
from edgeacts.runtimes.openvino_tensors import port_specs

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Compiler:
    """One way to compile the model file at `path`; errors of opening name it."""

    path: Path
    threads: int = 1
    provider: str = "cpu"
    precision: str = "f32"
    streams: int = 1
    profiled: bool = False

    def read(self) -> ReadModel:
        """The model, with the forms that the file has for this precision."""
        return read_file(self.path, self.precision)

    def compile(self, model: Any, shapes: Shapes | None = None) -> Any:
        """The openvino.CompiledModel of an openvino.Model, which is given these input shapes if any.

        For shapes that are open OpenVINO leaves most of its fusion out. Raises NotAvailable or EdgeactsError.
        """
        core = new_core()
        device = choose_device(self.provider, core.available_devices)
        try:
            if shapes is not None:
                known = {name for port in model.inputs for name in port.names}
                model.reshape({name: list(shape) for name, shape in shapes.items() if name in known})
            return core.compile_model(model, device, self._config(device))
        except RuntimeError as error:
            raise EdgeactsError(f"openvino cannot compile {self.path}: {one_line(error)}") from error

    def _config(self, device: str) -> dict[str, str | int | bool]:
        config: dict[str, str | int | bool] = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "PERFORMANCE_HINT": "LATENCY" if self.streams == 1 else "THROUGHPUT",
        }
        if device == "CPU":
            config |= {"INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": self.streams}
        return config | ({"PERF_COUNT": True} if self.profiled else {})


def choose_device(asked: str, available: Sequence[str]) -> str:
    """The device that `asked` (`cpu`, `gpu`, ..., in any case) means. Raises NotAvailable."""
    key = asked.strip().upper()
    if found := next((name for name in available if key in {name, name.partition(".")[0]}), None):
        return found
    raise NotAvailable(f"openvino has no device {asked!r} here: available: {', '.join(available) or 'none'}")


def declared(path: Path, read: ReadModel, model: Any) -> Specs:
    """What an ONNX file declares; of IR, the ports of `model`."""
    return read.specs or (port_specs(path, model.inputs), port_specs(path, model.outputs))
