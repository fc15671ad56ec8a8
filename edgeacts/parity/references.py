"""What a candidate is compared with: a torch module in float64, or an ONNX file in float32 without optimization.

Each also runs in float32 in other ways that are equal on paper: how far those lie from it is the model's own noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError, one_line
from edgeacts.parity.onnx_copies import reordered_model, shifted_model
from edgeacts.runtimes import Session, open_runtime, resolve_threads

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, NDArray[Any]]
Run = Callable[[Mapping[str, NDArray[Any]]], Arrays]

ORDERS = 2  # permutations that are tried


class Reference(Protocol):
    """Outputs by name; `arithmetic` says how exact they are ("" for float64)."""

    label: str
    sha256: str
    arithmetic: str

    def exact(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """The values to be met."""

    def rounded(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """The same in float32."""

    def variants(self) -> Iterator[tuple[str, Run]]:
        """Other float32 runs that are equal on paper: (what is different, run)."""

    def lowered(self, precision: str) -> Run | None:
        """The model with its products in bf16 or f16; None where that cannot be emulated."""

    def shifted(self, bound: float) -> Run | None:
        """The model with every activation's result moved up by bound·max(1, |x|); None where it has none of ours."""


class ModuleReference:
    """A torch module, run in float64 and in float32; outputs get the candidate's names in order."""

    arithmetic = ""

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

    def variants(self) -> Iterator[tuple[str, Run]]:
        """Sums in another order, another number of threads."""
        from edgeacts.parity.emulating import Reordered

        for seed in range(ORDERS):
            yield "accumulation order", _within(partial(Reordered, seed), self.rounded)
        if resolve_threads(0) > 1:
            yield "threads", _within(_other_threads, self.rounded)

    def lowered(self, precision: str) -> Run | None:
        """Products in bf16 or f16, sums in float32."""
        from edgeacts.parity.emulating import Rounded

        return _within(partial(Rounded, precision), self.rounded)

    def shifted(self, bound: float) -> Run | None:
        """In float64."""
        from edgeacts.parity.shifting import activations_of, moved_up

        found = activations_of(self._double)
        return _within(partial(moved_up, found, bound), self.exact) if found else None

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


class OnnxReference:
    """An ONNX file in ONNX Runtime with its optimizations off."""

    arithmetic = "float32, not optimized"

    def __init__(self, path: Path, sha256: str, folder: Path) -> None:
        """`folder` is where rewritten copies go while the reference is used."""
        self.label, self.sha256 = path.name, sha256
        self._path, self._folder = path, folder
        self._plain = open_runtime(path, "onnxruntime", level="disabled")

    def exact(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Values of the graph as it stands in the file."""
        return _infer(self._plain, self.label, feeds)

    def rounded(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """The same: it is in float32 already."""
        return self.exact(feeds)

    def variants(self) -> Iterator[tuple[str, Run]]:
        """Other optimization levels, sums in another order, another number of threads."""
        yield from self._opened("optimization", self._path, level=None)
        for seed in range(ORDERS):
            copy = reordered_model(self._path, self._folder / f"reordered-{seed}.onnx", seed)
            if copy is not None:
                yield from self._opened("accumulation order", copy, level="disabled")
        if resolve_threads(0) > 1:
            yield from self._opened("threads", self._path, level="disabled", threads=2)

    def lowered(self, precision: str) -> Run | None:
        """Not emulated: the float32 noise is scaled instead."""
        return None

    def shifted(self, bound: float) -> Run | None:
        """A copy of the file with the sums behind its activations."""
        copy = shifted_model(self._path, self._folder / "shifted.onnx", bound)
        if copy is None:
            return None

        def run(feeds: Mapping[str, NDArray[Any]]) -> Arrays:
            with open_runtime(copy, "onnxruntime", level="disabled") as session:
                return _infer(session, self.label, feeds)

        return run

    def _opened(
        self, what: str, path: Path, *, level: str | None, threads: int = 1
    ) -> Iterator[tuple[str, Run]]:
        with open_runtime(path, "onnxruntime", level=level, threads=threads) as session:
            yield what, lambda feeds: _infer(session, self.label, feeds)


def _infer(session: Session, label: str, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    """Run the feeds under this file's own input names, in order."""
    own = [spec.name for spec in session.inputs]
    if len(own) != len(feeds):
        raise UsageError(
            f"{label} has {len(own)} inputs ({', '.join(own)}), the candidate {len(feeds)} ({', '.join(feeds)})"
        )
    return session.infer(dict(zip(own, feeds.values(), strict=True)))


def _within(enter: Callable[[], Any], run: Run) -> Run:
    """`run` inside a fresh block of `enter()`."""

    def inside(feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        with enter():
            return run(feeds)

    return inside


@contextmanager
def _other_threads() -> Iterator[None]:
    """One thread where torch uses several, two where it uses one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _flatten(result: Any) -> list[Any]:
    if isinstance(result, Mapping):
        return [v for item in result.values() for v in _flatten(item)]
    if isinstance(result, list | tuple):
        return [v for item in result for v in _flatten(item)]
    return [result]
