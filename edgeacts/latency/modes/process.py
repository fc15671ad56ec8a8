"""What a mode's task does in its fresh process: open and feed the job's session, say what ran. Imports as little as it can."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeacts.latency import machine
from edgeacts.latency.inputs import random_inputs
from edgeacts.runtimes import Executed, Session, open_runtime


def open_job(job: Mapping[str, Any], *, streams: int = 1) -> Session:
    """The session that a job asks for."""
    return open_runtime(
        job["model"],
        job["runtime"],
        threads=job["threads"],
        level=job["level"],
        provider=job["provider"],
        precision=job["precision"],
        streams=streams,
    )


def feeds_of(job: Mapping[str, Any], session: Session) -> dict[str, np.ndarray]:
    """The job's random inputs, the same for every model with the same inputs."""
    return random_inputs(session.inputs, batch=job["batch"], sizes=job["sizes"], seed=job["seed"])


def executed(session: Session, feeds: Mapping[str, np.ndarray], **more: str | float) -> Executed:
    """What ran, with the shapes of the inputs."""
    shapes = ", ".join(f"{name} {feeds[name].dtype}{list(feeds[name].shape)}" for name in feeds)
    return {**session.executed(), "inputs": shapes, **more}


def frequency_mhz() -> float | None:
    """Mean clock of the cores that this process may use; None where the system does not say."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return machine.frequency_mhz(tuple(cores) or None)
