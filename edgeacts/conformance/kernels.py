"""The kernels on a sweep: the instruction set in use here, each other one that this CPU has in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts import native
from edgeacts.errors import CheckFailed
from edgeacts.latency.subprocesses import one_result
from edgeacts.piecewise import Table

Floats = NDArray[np.float32]
_TASK = "edgeacts.conformance.kernels:apply_in_process"


def instruction_sets() -> tuple[str, ...]:
    """Those that this CPU has, the one in use first. Raises NotAvailable without kernels."""
    others = tuple(name for name in native.ISAS if native.has(name) and name != native.isa())
    return (native.isa(), *others)


def applied(table: Table, x: Floats, isa: str) -> Floats:
    """f(x) by the kernels of that instruction set. Raises NotAvailable, or CheckFailed when another one ran."""
    if isa == native.isa():
        return native.apply(table, x)
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        np.save(Path(folder) / "x.npy", x)
        job = {"folder": folder, "table": table.to_record()}
        ran = one_result(_TASK, job, environment={native.ISA_VARIABLE: isa})["isa"]
        if ran != isa:
            raise CheckFailed(f"{native.ISA_VARIABLE}={isa} was asked for, {ran} ran")
        result: Floats = np.load(Path(folder) / "y.npy", allow_pickle=False)
    return result


def apply_in_process(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The task: x.npy of the folder through the table into y.npy; gives the instruction set that ran."""
    folder = Path(job["folder"])
    table = Table.from_record(job["table"], "the job")
    np.save(folder / "y.npy", native.apply(table, np.load(folder / "x.npy", allow_pickle=False)))
    yield {"isa": native.isa()}
