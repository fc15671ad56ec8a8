"""What a runtime's own profiler says about one model, before it is folded back onto the model's layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutedNode:
    """A node of the executed graph in order, with nanoseconds a run.

    `origins` are names of the model's nodes that the runtime says it came from; `inputs` and `outputs` are its values, empty
    where the runtime does not tell.
    """

    name: str
    operator: str
    duration_ns: float
    origins: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """One model's profile: `whole_run_ns` a run from beginning to end, `arena_bytes` what the allocator held."""

    nodes: tuple[ExecutedNode, ...]
    runs: int
    whole_run_ns: float
    arena_bytes: int | None = None
