"""ONNX Runtime: any ONNX file, model-local functions included, on the execution provider asked for."""

import functools
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edgeacts.acceleration.manifest import Manifest
from edgeacts.acceleration.opening import Opened, open_accelerated
from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError, one_line
from edgeacts.runtimes import ort_graph
from edgeacts.runtimes.base import Executed, Session, TensorSpec
from edgeacts.runtimes.onnx_file import input_specs, load_onnx, output_specs
from edgeacts.runtimes.ort_device import bind_on_device
from edgeacts.runtimes.providers import CPU, CUDA, check_provider, choose_providers, provider_options

_LEVEL_NAMES = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
LEVELS = tuple(level for level, name in _LEVEL_NAMES.items() if hasattr(ort.GraphOptimizationLevel, name))

_DTYPES = {"float": "float32", "double": "float64"}
LOG_ERRORS_ONLY = 3


def precisions() -> tuple[str, ...]:
    """f32, which stands for whatever the file is in: ONNX Runtime converts nothing."""
    return ("f32",)


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
    """A session on `provider`. Raises NotAvailable, DamagedFile, UsageError or EdgeactsError (refused)."""
    if batch is not None:
        raise UsageError("onnxruntime runs any batch alike: leave batch out (openvino compiles for one)")
    if precision != "f32":
        raise UsageError(
            f"onnxruntime runs a model in the precision of its file: for {precision} give it a {precision} "
            "model (openvino converts while loading)"
        )
    if path.suffix.lower() == ".xml":
        raise UsageError(f"{path} is an OpenVINO model: give the .onnx file, or runtime openvino")
    providers = choose_providers(provider, ort.get_available_providers())
    # Each caller is a thread; the others are one pool, which all runs share and which counts its first caller.
    threads = max(1, threads - streams + 1)
    if not accelerate:
        native = _open(path, session_options(threads, level), providers)
        nodes = _nodes_by_provider(native)
        check_provider(provider, native.get_providers(), nodes)
        return OnnxRuntimeSession(
            path, native, threads=threads, level=level, streams=streams, provider_nodes=nodes
        )
    _check_accelerate(path, providers, level)
    opened = open_accelerated(
        path, lambda: _open(path, session_options(threads, level), providers), threads=threads
    )
    return OnnxRuntimeSession(
        path,
        opened.native,
        threads=threads,
        level=level,
        streams=streams,
        provider_nodes=None,
        accelerated=opened,
    )


def _check_accelerate(path: Path, providers: list[str], level: str) -> None:
    if providers[0] != CPU:
        raise UsageError(
            f"only provider cpu runs models accelerated, not {providers[0]}: leave accelerate out"
        )
    if level != LEVELS[-1]:
        raise UsageError(
            f"an accelerated model is optimized at level {LEVELS[-1]}: leave level {level!r} out"
        )
    if path.suffix.lower() == ".ort":
        raise UsageError(f"{path} is in ORT's own format: give the .onnx file to accelerate it")


class OnnxRuntimeSession(Session):
    """One `onnxruntime.InferenceSession`, with the options it was opened with."""

    def __init__(
        self,
        path: Path,
        native: Any,
        *,
        threads: int,
        level: str,
        streams: int,
        provider_nodes: Counter[str] | None,
        accelerated: Opened | None = None,
    ) -> None:
        super().__init__(str(path), _specs(path, native.get_inputs()), _specs(path, native.get_outputs()))
        self._native = native
        self._names = [spec.name for spec in self.outputs]
        self._threads = threads
        self._level = level
        self._streams = streams
        self._provider_nodes = provider_nodes
        self._accelerated = accelerated

    @property
    def native(self) -> Any:
        """The onnxruntime.InferenceSession."""
        return self._native

    @property
    def manifest(self) -> Manifest | None:
        """What was made of the model when it was opened accelerated, else None."""
        return None if self._accelerated is None else self._accelerated.manifest

    @property
    def compiled(self) -> Path | None:
        """The compiled file that runs instead of the model, else None."""
        return None if self._accelerated is None else self._accelerated.compiled

    @property
    def level(self) -> str:
        """The graph optimization level that it was opened with."""
        return self._level

    def executed(self) -> Executed:
        """What runs. `precision` is that of the optimized graph's matrix products and convolutions."""
        providers = self._native.get_providers()
        graph, source = self._executed_graph(providers)
        manifest = self.manifest
        return {
            "runtime": "onnxruntime",
            "runtime_version": ort.__version__,
            "provider": providers[0],
            "provider_nodes": None
            if self._provider_nodes is None
            else ort_graph.listing(self._provider_nodes),
            "level": self._level,
            "accelerated": None if manifest is None else f"{manifest.chosen}: {manifest.reason}",
            "threads": self._threads,
            "streams": self._streams,
            "spinning": "stops with the run" if self._threads > 1 else None,
            "precision": ort_graph.summary(ort_graph.precisions(graph)),
            "precision_from": source,
            **({"bound": "inputs and outputs on the GPU, runs timed to its end"} if self._on_gpu else {}),
            "operators": ort_graph.listing(ort_graph.operators(graph)),
        }

    @functools.cached_property
    def _optimized(self) -> onnx.ModelProto | None:
        """The graph that is executed, saved by a second session opened alike; None where it cannot be."""
        with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
            try:
                return load_onnx(self.save_executed(Path(folder)))
            except (EdgeactsError, OSError):
                return None

    def save_executed(self, folder: Path) -> Path:
        """The file of the graph that is executed: the compiled one, or FOLDER/optimized.onnx with its weights in FOLDER/weights.

        Opened without optimization it does what this session does. Raises EdgeactsError when it cannot be saved.
        """
        if self._accelerated is not None and self._accelerated.compiled is not None:
            return self._accelerated.compiled
        saved = folder / "optimized.onnx"
        options = session_options(self._threads, self._level)
        options.optimized_model_filepath = str(saved)
        # Most readers want operators and types only: weights go to a file of their own.
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
        )
        _open(Path(self.path), options, self._native.get_providers())
        return saved

    def _executed_graph(self, providers: list[str]) -> tuple[onnx.ModelProto, str]:
        if self.compiled is not None:
            return load_onnx(self.compiled), "compiled file"
        # Other providers compile subgraphs into nodes that cannot be saved.
        if {CPU, CUDA}.issuperset(providers) and self._optimized is not None:
            return self._optimized, "optimized graph"
        if Path(self.path).suffix.lower() == ".ort":
            return onnx.ModelProto(), "not readable from a .ort file"
        return load_onnx(Path(self.path)), "model file"

    def _run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        values: list[np.ndarray] = self._native.run(self._names, dict(feeds))
        return values

    def _bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        if self._on_gpu:
            return bind_on_device(self._native, feeds, self._names, "cuda", ort)
        return functools.partial(self._native.run, self._names, dict(feeds))

    @property
    def _on_gpu(self) -> bool:
        return bool(self._native.get_providers()[0] == CUDA)

    def _close(self) -> None:
        self._native = None


def session_options(threads: int, level: str) -> Any:
    """Options that every session is opened with."""
    options = ort.SessionOptions()
    options.log_severity_level = LOG_ERRORS_ONLY
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVEL_NAMES[level])
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if threads > 1:
        # Otherwise the pool's threads go on spinning after a run and slow down whatever runs next, which in
        # an interleaved benchmark is another model.
        options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _open(path: Path, options: Any, providers: list[str]) -> Any:
    try:
        return ort.InferenceSession(
            str(path), options, providers=providers, provider_options=provider_options(providers)
        )
    except (ort_errors.InvalidProtobuf, ort_errors.InvalidGraph, ort_errors.InvalidArgument) as error:
        raise DamagedFile(f"{path} is not a valid ONNX model: {one_line(error)}") from None
    except ort_errors.NotImplemented as error:
        raise NotAvailable(f"onnxruntime {ort.__version__} cannot run {path}: {one_line(error)}") from None
    except MemoryError:
        raise
    except Exception as error:  # ONNX Runtime's classes share nothing but Exception
        raise EdgeactsError(f"onnxruntime cannot open {path}: {one_line(error)}") from error


def _nodes_by_provider(native: Any) -> Counter[str] | None:
    """How many graph nodes each provider got; None where an older ONNX Runtime cannot say."""
    if not hasattr(native, "get_provider_graph_assignment_info"):
        return None
    counts = Counter[str]()
    for part in native.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return counts


def _specs(path: Path, values: list[Any]) -> tuple[TensorSpec, ...]:
    specs = tuple(_spec(path, value) for value in values)
    if all(spec.shape for spec in specs) or path.suffix.lower() == ".ort":
        return specs
    # ONNX Runtime gives the same empty shape for a scalar and for an unknown rank; the file tells them apart.
    model = load_onnx(path)
    declared = {spec.name: spec for spec in (*input_specs(model, path), *output_specs(model, path))}
    return tuple(spec if spec.shape else declared[spec.name] for spec in specs)


def _spec(path: Path, value: Any) -> TensorSpec:
    if not value.type.startswith("tensor("):
        raise UsageError(f"{path}: {value.name!r} is a {value.type}; only tensors are supported")
    name = value.type.removeprefix("tensor(").removesuffix(")")
    dims = value.shape
    return TensorSpec(
        value.name,
        _DTYPES.get(name, name),
        tuple(dim if isinstance(dim, int) else None for dim in dims),
        tuple(dim if isinstance(dim, str) else "" for dim in dims),
    )
