"""The candidate as it is executed, looked into: ONNX Runtime's optimized graph, a compiled file, an OpenVINO model.

What ONNX Runtime executes is saved after its optimization and looked at there, so looking undoes no fusion; a value that was
fused away does not exist. OpenVINO has no such file: values become outputs before it optimizes, which may undo fusions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.parity.layers import Arrays, Layer, sample
from edgeacts.parity.onnx_layers import OnnxGraph, plain_options, run
from edgeacts.parity.pairing import EQUAL, NEAR, distance
from edgeacts.runtimes import Session, open_runtime, resolve_threads

Runs = Sequence[Mapping[str, NDArray[Any]]]
_BLOCKED = "com.microsoft.nchwc"
_BLOCKS = (16, 8, 4)  # channels side by side in memory, as the CPU's vectors are long


class Executed(Protocol):
    """A candidate on a runtime. Values go by the names they have in the candidate's file."""

    names: frozenset[str]

    def look(self, names: Sequence[str], runs: Runs) -> Iterator[Arrays]:
        """The named values and all outputs, run by run; counts as one look."""


@dataclass(frozen=True)
class Place:
    """Where and how the candidate is executed; no `level` means the runtime's default."""

    runtime: str
    level: str | None
    threads: int
    precision: str

    def open(self, path: Path) -> Session:
        """A session of any file, executed alike."""
        return open_runtime(
            path, self.runtime, level=self.level, threads=self.threads, precision=self.precision
        )


@contextmanager
def executed_layers(
    path: Path, session: Session, layers: Sequence[Layer], probe: Runs, place: Place
) -> Iterator[Executed]:
    """The candidate, open as `session`; `layers` are its values on the runs `probe`, as its file defines them."""
    if place.runtime == "openvino":
        yield OpenVinoExecuted(path, place)
        return
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        yield OrtExecuted(session, Path(folder), layers, probe, place.threads)


class OpenVinoExecuted:
    """Values as further outputs of the model that OpenVINO then compiles; the file is read once."""

    def __init__(self, path: Path, place: Place) -> None:
        from edgeacts.runtimes.openvino import Looking

        self._looking = Looking(path, threads=resolve_threads(place.threads), precision=place.precision)
        self._fixed = place.level != "dynamic"
        self.names = self._looking.names

    def look(self, names: Sequence[str], runs: Runs) -> Iterator[Arrays]:
        """Compile with the named values as outputs, and run."""
        kinds = [{name: array.shape for name, array in feeds.items()} for feeds in runs]
        alike = self._fixed and all(kind == kinds[0] for kind in kinds)
        with self._looking.open(names, kinds[0] if alike else None) as session:
            for feeds in runs:
                yield session.infer(feeds)


class OrtExecuted:
    """Values of the graph that ONNX Runtime executes, which is saved and opened again without optimization."""

    def __init__(
        self, session: Session, folder: Path, layers: Sequence[Layer], probe: Runs, threads: int
    ) -> None:
        self._threads = resolve_threads(threads)
        self._compiled = getattr(session, "manifest", None) is not None
        self._graph = OnnxGraph(session.save_executed(folder))  # type: ignore[attr-defined]
        self._outputs = [spec.name for spec in session.outputs]
        self._places = self._find(layers, probe)
        self.names = frozenset(self._places)

    def look(self, names: Sequence[str], runs: Runs) -> Iterator[Arrays]:
        """Open the executed graph with the named values as outputs, and run."""
        places = {n: self._places[n] for n in names}
        asked = list(dict.fromkeys([*self._outputs, *(p.name for p in places.values())]))
        native = self._graph.looking(asked, self._options())
        for feeds in runs:
            values = run(native, asked, feeds)
            found = {
                n: place.plain(values[place.name]) for n, place in places.items() if place.name in values
            }
            yield {**{n: values[n] for n in self._outputs}, **found}

    def _options(self) -> Any:
        if self._compiled and any(node.domain == "edgeacts.kernels" for node in self._graph.proto.graph.node):
            from edgeacts.acceleration.compiling import kernel_options

            return kernel_options(self._threads)
        return plain_options(threads=self._threads)

    def _find(self, layers: Sequence[Layer], probe: Runs) -> dict[str, _Place]:
        """Where each of the file's values is in the executed graph: under its name, or, in the blocked layout, by what it is."""
        nodes = self._graph.proto.graph.node
        # A kernel that works in place writes over its input: to look at that would show something else.
        lost = {node.input[0] for node in nodes if node.op_type.endswith("InPlace")}
        here = [n for n in self._graph.names if n not in lost]
        if not any(node.domain == _BLOCKED for node in nodes):
            known = {entry.name for entry in layers}
            return {n: _Place(n) for n in here if n in known}
        native = self._graph.looking(here, self._options())
        runs = [run(native, here, feeds) for feeds in probe]
        values = {n: [r[n] for r in runs] for n in here if all(n in r for r in runs)}
        return _places(layers, values, self._graph.makers)


class _Place:
    """A value of the executed graph; `block` channels lie side by side where it is in the blocked layout (0: plain)."""

    def __init__(self, name: str, block: int = 0, channels: int = 0) -> None:
        self.name, self.block, self.channels = name, block, channels

    def plain(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array in the order that the file means, without channels that only fill a block."""
        if not self.block:
            return array
        n, c, h, w = array.shape
        inner = array.reshape(n, c // self.block, h, w, self.block).transpose(0, 1, 4, 2, 3)
        return np.ascontiguousarray(inner.reshape(n, c, h, w)[:, : self.channels])


def _places(
    layers: Sequence[Layer],
    values: Mapping[str, Sequence[NDArray[Any]]],
    makers: Mapping[str, onnx.NodeProto],
) -> dict[str, _Place]:
    by_name = {entry.name: entry for entry in layers}
    places = {n: _Place(n) for n, a in values.items() if n in by_name and a[0].shape == by_name[n].shape}
    unknown = {n: a for n, a in values.items() if n not in by_name and a[0].ndim == 4}
    wanted = [entry for entry in layers if entry.name not in places and len(entry.shape) == 4]
    trials = [_blocked(unknown, wanted, makers, block) for block in _BLOCKS]
    most = max(range(len(trials)), key=lambda i: len(trials[i]))
    return {**trials[most], **places}


def _blocked(
    values: Mapping[str, Sequence[NDArray[Any]]],
    wanted: Sequence[Layer],
    makers: Mapping[str, onnx.NodeProto],
    block: int,
) -> dict[str, _Place]:
    """The nearest value in this layout for each of the file's, if it is near: a node's name alone may tell of another."""
    pairs = []
    for name, arrays in values.items():
        n, c, h, w = arrays[0].shape
        if c % block:
            continue
        for entry in wanted:
            if (n, h, w) == (entry.shape[0], *entry.shape[2:]) and c - block < entry.shape[1] <= c:
                place = _Place(name, block, entry.shape[1])
                found = Layer(
                    name,
                    "",
                    entry.shape,
                    entry.dtype,
                    np.concatenate([sample(place.plain(a)) for a in arrays]),
                )
                apart = distance(entry, found)
                claimed = makers[name].name.startswith(f"{entry.name}_nchwc")
                if apart <= (NEAR if claimed else 0.1):
                    pairs.append((apart if apart > EQUAL else 0.0, not claimed, entry.name, place))
    result: dict[str, _Place] = {}
    taken = set[str]()
    for _, _, name, place in sorted(pairs, key=lambda p: p[:3]):
        if name not in result and place.name not in taken:
            result[name] = place
            taken.add(place.name)
    return result
