"""Values inside an ONNX file: looked at by declaring them outputs of the graph; functions and branches are one layer each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgeacts.acceleration.graph import producers, used_names, varying
from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.files import sha256_file
from edgeacts.parity.layers import Arrays, Layer, layer
from edgeacts.runtimes.onnx_file import input_specs, load_onnx, output_specs

_LOG_FATAL_ONLY = 4
_LEVELS = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def plain_options(level: str = "disabled", threads: int = 1) -> Any:
    """Options of a session on a graph that is to stay as it is, or be optimized (level "all")."""
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_FATAL_ONLY
    options.graph_optimization_level = _LEVELS[level]
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options


class OnnxGraph:
    """An ONNX file's main graph: which values depend on which, and sessions that give some of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.proto = load_onnx(path)
        self.inputs = input_specs(self.proto, path)
        self.outputs = output_specs(self.proto, path)
        graph = self.proto.graph
        self.makers = producers(graph)
        moving = varying(graph)
        self.names = [n for node in graph.node for n in node.output if n and n in moving]
        self._ancestors: dict[str, frozenset[str]] = {}
        for node in graph.node:
            read = [n for n in used_names(node) if n in self.makers]
            above = frozenset(read).union(*(self._ancestors.get(n, frozenset()) for n in read))
            self._ancestors.update({name: above for name in node.output if name})

    def operator(self, name: str) -> str:
        """What makes a value: `Conv`, `edgeacts::Mish`."""
        node = self.makers[name]
        return f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)

    def ancestors(self, name: str) -> frozenset[str]:
        """Every value that `name` depends on."""
        return self._ancestors.get(name, frozenset())

    def exposing(self, names: Sequence[str]) -> bytes:
        """The model with these values as further outputs."""
        graph = self.proto.graph
        declared = {value.name for value in graph.output}
        count = len(graph.output)
        graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in declared)
        try:
            return bytes(self.proto.SerializeToString())
        finally:
            del graph.output[count:]

    def looking(self, names: Sequence[str], options: Any) -> Any:
        """An onnxruntime.InferenceSession that gives these values too. Raises EdgeactsError."""
        # Weights outside the file are looked for beside it.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(self.path.parent.absolute())
        )
        try:
            return ort.InferenceSession(self.exposing(names), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's classes share nothing but Exception
            raise EdgeactsError(f"{self.path} cannot be opened to look inside: {one_line(error)}") from error


def run(session: Any, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    """Values by name; what is no tensor of numbers (a sequence, text) is left out. Raises EdgeactsError."""
    try:
        values = session.run(list(names), dict(feeds))
    except Exception as error:  # ONNX Runtime's classes share nothing but Exception
        raise EdgeactsError(f"the model failed to run while it was looked at: {one_line(error)}") from error
    return {
        n: v
        for n, v in zip(names, values, strict=True)
        if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"
    }


class OnnxLayers:
    """The values of an ONNX file as ONNX Runtime computes them without optimization (`exact`), and with it (`rounded`)."""

    def __init__(self, path: Path) -> None:
        self.path, self.label, self.sha256 = path, path.name, sha256_file(path)
        self.graph = OnnxGraph(path)
        self.output_names = tuple(spec.name for spec in self.graph.outputs)

    def layers(self, runs: Sequence[Mapping[str, NDArray[Any]]]) -> list[Layer]:
        """Every value that depends on an input, in the order of computation."""
        names = self.graph.names
        found = [self._run(names, feeds, "disabled") for feeds in runs]
        return [
            layer(n, self.graph.operator(n), [values[n] for values in found])
            for n in names
            if all(n in values for values in found)
        ]

    def look(
        self, names: Sequence[str], runs: Sequence[Mapping[str, NDArray[Any]]], *, exact: bool
    ) -> Iterator[Arrays]:
        """The named values, run by run."""
        session = self._session(names, "disabled" if exact else "all")
        for feeds in runs:
            yield run(session, names, self._own(feeds))

    def _run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]], level: str) -> Arrays:
        return run(self._session(names, level), names, self._own(feeds))

    def _session(self, names: Sequence[str], level: str) -> Any:
        return self.graph.looking(names, plain_options(level))

    def _own(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        own = [spec.name for spec in self.graph.inputs]
        if len(own) != len(feeds):
            raise UsageError(
                f"{self.label} has {len(own)} inputs ({', '.join(own)}), the candidate {len(feeds)} ({', '.join(feeds)})"
            )
        return dict(zip(own, feeds.values(), strict=True))
