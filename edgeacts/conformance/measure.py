"""`measure_conformance`: every activation, form and type on one runtime, each value against the oracle."""

from __future__ import annotations

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeacts import native
from edgeacts.activations import activation as activation_of
from edgeacts.activations import names as activation_names
from edgeacts.circumstances import circumstances
from edgeacts.conformance import kernels
from edgeacts.conformance.allowances import allowed_error
from edgeacts.conformance.candidates import Candidate, candidates
from edgeacts.conformance.judging import Computed, Labels, judged, refused
from edgeacts.conformance.sweeps import MANTISSAS, SPECIALS, every_value, float32_sweep
from edgeacts.conformance.truth import Truth
from edgeacts.conformance.ulps import FLOAT_TYPES, Doubles
from edgeacts.definition import Activation
from edgeacts.errors import CheckFailed, EdgeactsError, UsageError
from edgeacts.files import write_bytes_atomic
from edgeacts.names import check_name
from edgeacts.piecewise import Table
from edgeacts.records import ConformanceRecord, ConformanceRow
from edgeacts.runtimes import open_runtime, runtime_names
from edgeacts.tables import NotTabulated, compile_table
from edgeacts.tables.kinks import kinks_of

DTYPES = tuple(FLOAT_TYPES)
_COPIES = 16  # of each special value: vector lanes and remainders are different code
_ASKED = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def measure_conformance(
    runtime: str = "onnxruntime",
    activations: Sequence[str | Activation] | None = None,
    dtypes: Sequence[str] = DTYPES,
    *,
    seed: int = 0,
    mantissas: int = MANTISSAS,
    progress: bool = False,
) -> ConformanceRecord:
    """How far each form and operator of the activations is from the formula on this runtime, in ULP.

    All finite values of float16 and bfloat16 are tried, of float32 a sweep with `mantissas` values in each power of two.
    On `accelerated` the kernels are tried, in each instruction set that the CPU has; what they do not compute runs as on
    `onnxruntime`. `activations` are names or definitions; default the catalogue. A row with a stated bound passes or fails.
    Raises UsageError (unknown name, nothing to try) or NotAvailable (runtime, kernels).
    """
    check_name(runtime, runtime_names(), "runtime")
    for dtype in dtypes:
        check_name(dtype, DTYPES, "dtype")
    chosen = _definitions(activations)
    if not chosen or not dtypes or mantissas < 1:
        raise UsageError("nothing to try: give at least one activation, one dtype and one mantissa")
    began, taken_in = time.perf_counter(), circumstances()
    rows: list[ConformanceRow] = []
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        runner: _Runner = _Kernels() if runtime == "accelerated" else _Models(runtime, Path(folder))
        work = [(definition, dtype) for definition in chosen for dtype in dtypes]
        subject: _Subject | None = None
        for definition, dtype in tqdm(work, desc=runtime, unit="sweep", disable=not progress, leave=False):
            if subject is None or subject.definition is not definition:
                subject = _Subject(definition, seed, mantissas)
            if (reason := runner.refusal(dtype) or subject.doubt) is not None:
                skipped[dtype if runner.refusal(dtype) else definition.name] = reason
                continue
            rows += runner.rows(subject, dtype, *subject.sweep(dtype))
    return ConformanceRecord(
        runtime=runtime,
        runtime_version=runner.version,
        rows=tuple(rows),
        skipped=skipped,
        seconds=time.perf_counter() - began,
        circumstances=taken_in,
    )


def _definitions(activations: Sequence[str | Activation] | None) -> list[Activation]:
    given = activation_names() if activations is None else activations
    return list(dict.fromkeys(activation_of(a) if isinstance(a, str) else a for a in given))


class _Subject:
    """An activation at its default parameters: true values, candidates, and where to look closely."""

    def __init__(self, definition: Activation, seed: int, mantissas: int) -> None:
        self.definition = definition
        self.truth = Truth(definition)
        self.candidates = candidates(definition, self.truth.parameters)
        self._seed, self._mantissas = seed, mantissas

    @cached_property
    def table(self) -> Table | str:
        """The kernels' table, or why there is none."""
        try:
            return compile_table(self.definition, 0, **self.truth.parameters)
        except NotTabulated as error:
            return str(error)

    @cached_property
    def focus(self) -> list[float]:
        """Kinks, constants of the forms, ends and borders of the table's segments."""
        points = set(kinks_of(self.definition, self.truth.parameters))
        for candidate in self.candidates:
            points.update(candidate.constants())
        if isinstance(self.table, Table):
            for grid in (self.table.wide, self.table.narrow):
                points.update(float(v) for v in (*grid.ends, *grid.knees, grid.lo, grid.hi))
                points.update(grid.step * (grid.first + j) for j in range(grid.segments + 1))
        return sorted(p for p in points if np.isfinite(p))

    @cached_property
    def doubt(self) -> str | None:
        """Why the float64 oracle cannot be believed, or None."""
        try:
            self.truth.check(self.focus, self._seed)
        except CheckFailed as error:
            return str(error)
        return None

    def sweep(self, dtype: str) -> tuple[NDArray[Any], Doubles]:
        """(inputs in the type, true values)."""
        kind = FLOAT_TYPES[dtype]
        x = (
            float32_sweep(self.focus, seed=self._seed, mantissas=self._mantissas)
            if dtype == "float32"
            else every_value(kind)
        )
        return x, self.truth.values(x.astype(np.float64))


class _Runner(ABC):
    """A way to compute: `version`, why it takes no `dtype`, and the rows of a subject."""

    version: str

    def refusal(self, dtype: str) -> str | None:
        """Why nothing of this type is computed, or None."""
        return None

    @abstractmethod
    def rows(
        self, subject: _Subject, dtype: str, x: NDArray[Any], expected: Doubles
    ) -> Iterator[ConformanceRow]:
        """One row for each way that the runtime has."""


class _Models(_Runner):
    """ONNX models of one node on a runtime."""

    def __init__(self, runtime: str, folder: Path) -> None:
        self.runtime, self._path = runtime, folder / "model.onnx"
        relu = candidates(activation_of("relu"), {})[0]
        with self._opened(relu, "float32") as session:  # NotAvailable: the runtime itself is missing
            self.version = str(session.executed()["runtime_version"])

    def _opened(self, candidate: Candidate, dtype: str) -> Any:
        write_bytes_atomic(self._path, candidate.model(dtype).SerializeToString())
        precision = _ASKED[dtype] if self.runtime == "openvino" else "f32"  # onnxruntime: that of the file
        return open_runtime(self._path, self.runtime, precision=precision)

    def rows(
        self, subject: _Subject, dtype: str, x: NDArray[Any], expected: Doubles
    ) -> Iterator[ConformanceRow]:
        for candidate in subject.candidates:
            labels = Labels(subject.definition.name, candidate.kind, candidate.form, dtype)
            try:
                computed = self._computed(candidate, dtype, x)
            except EdgeactsError as error:
                yield refused(labels, str(error).replace(str(self._path), "the model"))
                continue
            allowed = None
            if candidate.bound is not None:
                allowed = allowed_error(self.runtime, candidate.bound, dtype, computed.executed_precision)
            yield judged(labels, computed, subject.truth, expected, allowed, strict=False)

    def _computed(self, candidate: Candidate, dtype: str, x: NDArray[Any]) -> Computed:
        with self._opened(candidate, dtype) as session:
            feed = np.concatenate([_specials(x.dtype), x])
            y = session.infer({"x": feed})["y"]
            # The models hold no integers: what OpenVINO counts as int8 are truth values.
            precisions = str(session.executed()["precision"]).split("+")
            return _split(x, y, "+".join(p for p in precisions if p != "int8"))


class _Kernels(_Runner):
    """The tables, by each instruction set."""

    def __init__(self) -> None:
        self._isas = kernels.instruction_sets()
        self.version = f"{metadata.version('onnxruntime')}, kernels {native.version()}"

    def refusal(self, dtype: str) -> str | None:
        """The kernels know float32 alone."""
        return (
            None
            if dtype == "float32"
            else "the kernels compute float32: a model in this type runs as on onnxruntime"
        )

    def rows(
        self, subject: _Subject, dtype: str, x: NDArray[Any], expected: Doubles
    ) -> Iterator[ConformanceRow]:
        for isa in self._isas:
            labels = Labels(subject.definition.name, "kernel", f"table {isa}", dtype)
            if isinstance(subject.table, str):
                yield refused(labels, subject.table)
                continue
            y = kernels.applied(subject.table, np.concatenate([_specials(x.dtype), x]), isa)
            # The table's bound has the roundings of its evaluation in it.
            bound = subject.table.bound
            yield judged(labels, _split(x, y, "f32"), subject.truth, expected, bound, strict=True)


def _specials(dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.tile(np.array(list(SPECIALS.values())), _COPIES).astype(dtype)


def _split(x: NDArray[Any], y: NDArray[Any], executed: str) -> Computed:
    count = _COPIES * len(SPECIALS)
    if y.shape != (count + len(x),) or y.dtype != x.dtype:
        raise EdgeactsError(f"{y.dtype} {list(y.shape)} came out for {x.dtype} [{count + len(x)}]")
    return Computed(x, y[count:], y[:count].reshape(_COPIES, -1), executed)
