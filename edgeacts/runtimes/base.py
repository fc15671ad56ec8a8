"""What every runtime adapter is: a `Session` that checks what goes in and says what really ran."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from edgeacts.errors import EdgeactsError, UsageError, one_line
from edgeacts.records import Record

R = TypeVar("R", bound=Record)
Executed = dict[str, str | int | float | bool | None]


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of an input or output; None in `shape` where it is dynamic.

    `dim_names` has the symbol of each dimension, "" where there is none. `dtype` is numpy's name (`float32`,
    `int64`, `bool`, ...), or `string`. `shape` is None when the rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    dim_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`float32 [batch, 3, 224, 224]`, `?` for a dimension without a name."""
        if self.shape is None:
            return f"{self.dtype} of any shape"
        names = self.dim_names or ("",) * len(self.shape)
        dims = [str(n) if n is not None else name or "?" for n, name in zip(self.shape, names, strict=True)]
        return f"{self.dtype} [{', '.join(dims)}]"


class Session(ABC):
    """A model opened on a runtime: `infer(feeds)` gives every output by name.

    An adapter sets `inputs` and `outputs` and implements `_run`, `_bind`, `executed`, `native` and `_close`.
    """

    def __init__(self, path: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.path = path
        self.inputs = inputs
        self.outputs = outputs
        self._closed = False

    def infer(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, in arrays of their own. Raises UsageError (feeds) or EdgeactsError (the run)."""
        self._check(feeds)
        try:
            values = self._run(feeds)
        except (MemoryError, EdgeactsError):
            raise
        except Exception as error:  # the runtimes raise classes of their own that share nothing but Exception
            raise EdgeactsError(f"{self.path} failed to run: {one_line(error)}") from error
        if len(values) != len(self.outputs):
            raise EdgeactsError(f"{self.path} gave {len(values)} outputs, {len(self.outputs)} are declared")
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """The runtime's own run of these feeds, as a call to be timed: nothing of ours is in it.

        The feeds are checked and run once first. Errors are those of `infer`.
        """
        self.infer(feeds)
        return self._bind(feeds)

    @property
    def form_bound(self) -> float | None:
        """Largest error bound of the forms that the activations run in here; None: that which the file states."""
        return None

    @property
    def manifest(self) -> Record | None:
        """What the runtime, or our compilation, made of the model; None where nothing is known."""
        return None

    def made(self, kind: type[R]) -> R:
        """The manifest, which is to be of this kind. Raises EdgeactsError."""
        found = self.manifest
        if not isinstance(found, kind):
            raise EdgeactsError(f"{self.path}: this session tells of no {kind.__name__}")
        return found

    @abstractmethod
    def executed(self) -> Executed:
        """What runs: at least `runtime`, `runtime_version`, `provider`, `level`, `threads`, `precision`."""

    @property
    @abstractmethod
    def native(self) -> Any:
        """The runtime's own object: onnxruntime.InferenceSession, openvino.CompiledModel."""

    @abstractmethod
    def _run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Values of `outputs`, in that order, that no later run overwrites."""

    @abstractmethod
    def _bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """One run of checked feeds, without arguments."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the runtime's memory."""

    def close(self) -> None:
        """Release the model; a closed session refuses to run."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, feeds: Mapping[str, np.ndarray]) -> None:
        if self._closed:
            raise UsageError(f"the session of {self.path} is closed: open it again")
        names = [spec.name for spec in self.inputs]
        if unknown := [name for name in feeds if name not in names]:
            raise UsageError(f"{self.path} has no input {unknown[0]!r}: its inputs are {', '.join(names)}")
        for spec in self.inputs:
            if spec.name not in feeds:
                raise UsageError(f"{self.path}: input {spec.name!r} is missing, expected {spec}")
            _check_array(self.path, spec, feeds[spec.name])


def _check_array(path: str, spec: TensorSpec, array: object) -> None:
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{path}: input {spec.name!r}: expected {spec}, got a {type(array).__name__}")
    dtype = "string" if array.dtype.kind in "UO" else array.dtype.name
    fits = spec.shape is None or (
        len(spec.shape) == array.ndim
        and all(want is None or want == got for want, got in zip(spec.shape, array.shape, strict=True))
    )
    if dtype != spec.dtype or not fits:
        raise UsageError(f"{path}: input {spec.name!r}: expected {spec}, got {dtype} {list(array.shape)}")
