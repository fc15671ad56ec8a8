"""`assert_parity` for tests: nothing to configure, and a message that says what, where and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError, one_line
from edgeacts.parity.budgets import FORM_BOUND_AT_MOST
from edgeacts.parity.checking import BATCHES, RUNTIMES, verify
from edgeacts.parity.inputs import Given
from edgeacts.parity.judging import place_of, severity, worst
from edgeacts.records import ParityRow, Verdict

if TYPE_CHECKING:
    from torch import nn


class ParityError(AssertionError):
    """The file does not compute what the model computes, or nobody can tell; `verdict` has every comparison."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


def assert_parity(
    model: nn.Module | str | Path,
    onnx_path: str | Path,
    inputs: Any = None,
    *,
    runtimes: Sequence[str] = RUNTIMES,
    batches: Sequence[int] = BATCHES,
    threads: int | Sequence[int] = 1,
    precisions: str | Sequence[str] | None = "f32",
    tolerance: float = FORM_BOUND_AT_MOST,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Verdict:
    """The ONNX file computes what `model` (a torch module in eval mode, or another ONNX file) computes, on every runtime here.

    `inputs` [N, ...] are preprocessed real ones: a tensor or array, a sequence of them for several inputs, or a mapping by
    input name; random values and extremes are tried too. The other arguments are those of `edgeacts.verify`.
    Raises ParityError (an AssertionError) that names output, worst input, required and allowed error and the first layer that
    parts, also when the output is blind to its input; and what `verify` raises.
    """
    given = None if inputs is None else _arrays(inputs, Path(onnx_path))
    verdict = verify(
        model, onnx_path, inputs=given, runtimes=runtimes, batches=batches,
        threads=threads, precisions=precisions, tolerance=tolerance, sizes=sizes, seed=seed,
    )  # fmt: skip
    if verdict.passed:
        return verdict
    row = worst(verdict.rows)
    told = [_headline(verdict), f"  {_what(row)}", f"  in {place_of(row)}, {row.precision}"]
    if verdict.outcome == "fail" and row.relative_error is not None:
        told.append(f"  {_first_divergence(model, Path(onnx_path), given, row, tolerance, sizes, seed)}")
    raise ParityError("\n".join([*told, f"  {verdict.summary}"]), verdict)


def _headline(verdict: Verdict) -> str:
    if verdict.outcome == "blind":
        return f"nobody can tell whether {verdict.candidate} computes what {verdict.reference} computes"
    return f"{verdict.candidate} does not compute what {verdict.reference} computes"


def _what(row: ParityRow) -> str:
    """`output logits, input 3 of random: error 0.012 of the movement, 2e-05 allowed; 600 times too much`."""
    where = f"output {row.output}" + (
        "" if row.worst_input is None else f", input {row.worst_input} of {row.inputs}"
    )
    much = severity(row)
    times = f"; {much:.3g} times too much" if row.outcome == "fail" and 1 < much < float("inf") else ""
    return f"{where}: {row.reason}{times}"


def _first_divergence(
    model: Any,
    path: Path,
    given: Given | None,
    row: ParityRow,
    tolerance: float,
    sizes: Mapping[str, int] | None,
    seed: int,
) -> str:
    """What the search for the first layer that parts says, on the runtime and level of the worst row."""
    from edgeacts.parity.locating import locate

    try:
        record = locate(
            model,
            path,
            inputs=_around(given, row),
            runtime=row.runtime,
            level=row.level,
            threads=row.threads,
            precision=next((p for p in ("bf16", "f16") if p in row.precision.split("+")), "f32"),
            tolerance=tolerance,
            sizes=sizes,
            seed=seed,
        )
    except Exception as error:  # whatever a runtime raises: the failure itself is what must be told
        return f"the first layer that parts was not found: {one_line(error)}"
    return record.summary


def _around(given: Given | None, row: ParityRow) -> Given | None:
    """The given inputs with the worst of them first: the search takes the first few."""
    if given is None or row.inputs != "given" or not row.worst_input:
        return given
    if isinstance(given, Mapping):
        return {name: np.roll(array, -row.worst_input, axis=0) for name, array in given.items()}
    return np.roll(given, -row.worst_input, axis=0)


def _arrays(inputs: Any, path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Tensors, or whatever numpy takes, as arrays; a sequence by the file's input names."""
    if isinstance(inputs, Mapping):
        return {name: _array(value) for name, value in inputs.items()}
    if not isinstance(inputs, list | tuple):
        return _array(inputs)
    from edgeacts.runtimes.onnx_file import input_specs, load_onnx

    names = [spec.name for spec in input_specs(load_onnx(path), path)]
    if len(names) != len(inputs):
        raise UsageError(
            f"{len(inputs)} inputs were given, {path.name} has {len(names)} ({', '.join(names)}): "
            "give one array [N, ...] for each"
        )
    return {name: _array(value) for name, value in zip(names, inputs, strict=True)}


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
