"""OpenVINO: ONNX files (activation functions converted as they are read) and .xml IR, in a confirmed precision."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from edgeacts.errors import UsageError
from edgeacts.runtimes.base import Session
from edgeacts.runtimes.openvino_compiling import Compiler, Shapes, declared
from edgeacts.runtimes.openvino_ir import new_core
from edgeacts.runtimes.openvino_reading import value_names
from edgeacts.runtimes.openvino_session import OpenVinoSession
from edgeacts.runtimes.openvino_tensors import port_spec

# With "dynamic", open dimensions stay open; by default the model is compiled for the shapes that it is given, once for each.
LEVELS = ("dynamic", "default")


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
    batch: int | None = None,
) -> Session:
    """A session on the device `provider`. Raises NotAvailable, DamagedFile, CheckFailed or EdgeactsError."""
    if accelerate:
        raise UsageError(
            "only onnxruntime runs models accelerated: leave accelerate out, or use runtime onnxruntime"
        )
    compiler = Compiler(path, threads, provider, precision, streams)
    read = compiler.read()
    specs = declared(path, read, read.model)
    session = OpenVinoSession(compiler, read, specs, fixed=level == LEVELS[-1], batch=batch)
    session.confirm()
    return session


class Looking:
    """A model file, read once, to be compiled on the CPU with inner values as further outputs, again and again.

    `names` are the values that are left after OpenVINO has read the file. Errors are those of `open_model`.
    """

    def __init__(self, path: Path, *, threads: int, precision: str) -> None:
        self._compiler = Compiler(path, threads, precision=precision)
        self._read = self._compiler.read()
        self.names = value_names(self._read.model)

    def open(self, values: Sequence[str], shapes: Shapes | None = None) -> Session:
        """A session with the named values, as they go by in the file, among its outputs; for these input shapes, if given."""
        path, model = self._compiler.path, self._read.model.clone()
        inputs, outputs = declared(path, self._read, model)
        values = [v for v in values if v not in {spec.name for spec in outputs}]
        ports = model.add_outputs(values)
        looked = tuple(
            dataclasses.replace(port_spec(path, p), name=v) for p, v in zip(ports, values, strict=True)
        )
        read = dataclasses.replace(self._read, model=model)
        session = OpenVinoSession(
            self._compiler, read, (inputs, outputs + looked), fixed=False, shapes=shapes
        )
        session.confirm()
        return session
