"""The part of a benchmark that runs in a fresh process: open everything, warm up, measure blocks of rounds."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeacts.errors import EdgeactsError
from edgeacts.latency import machine
from edgeacts.latency.inputs import random_inputs
from edgeacts.latency.timing import Call, gc_paused, one_round, warm_up
from edgeacts.runtimes import Session, open_runtime

Message = dict[str, Any]

_BLOCK_NS = 100_000_000  # long against a run, short against a change of the machine's state
_LEAST_NS, _MOST_NS = 600_000_000, 3_000_000_000  # of measurement in a process
_LEAST_BLOCKS = 4
LEAST_ROUNDS = 5


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One model on one runtime at one `level`; a copy of another is opened a second time, as a session of its own."""

    model: str
    runtime: str
    level: str | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is asked for. Times are of `time.perf_counter_ns`, which all processes share.

    `rounds` and `deadline_ns` end the measurement, which otherwise takes about as long as its preparation did since
    `asked_ns`.
    `inputs` is an .npz file with the arrays of `input_names`, in that order. With `describe` the last message says what was
    executed.
    """

    places: tuple[Place, ...]
    process: int
    threads: int
    provider: str
    precision: str
    batch: int
    sizes: dict[str, int]
    inputs: str | None
    input_names: tuple[str, ...]
    seed: int
    origin_ns: int
    asked_ns: int
    warmup_ns: int
    deadline_ns: int | None
    rounds: int | None
    describe: bool


def measure_blocks(job: Mapping[str, Any]) -> Iterator[Message]:
    """`opened`, then `warm`, then one message a block, then `executed`; after a refusal `opened` is all."""
    asked = msgspec.convert(job, Job)
    cores = machine.cores_for(asked.threads, asked.process)
    pinned = machine.pin(cores)
    rng = random.Random(f"{asked.seed} {asked.process}")  # noqa: S311  an order, not a secret
    with ExitStack() as stack:
        opened, refused = _open_all(asked, rng, stack)
        yield {"opened": True, "refused": refused}
        if refused:
            return
        calls = [call for _, call, _ in opened]
        with gc_paused():
            yield from _measure(asked, calls, rng, cores)
        if asked.describe:
            where = {"pinned_cores": asked.threads if pinned else None}
            yield {
                "executed": [
                    {**session.executed(), "inputs": shapes, **where} for session, _, shapes in opened
                ]
            }


def _open_all(
    asked: Job, rng: random.Random, stack: ExitStack
) -> tuple[list[tuple[Session, Call, str]], dict[str, list[str]]]:
    """Sessions with their calls and input shapes, opened in a random order; refusals by the place's index.

    Two sessions of the same file differ by a per cent or so, by where their memory lies, which depends on what was opened
    before: hence the order is random, and a process counts as one repetition.
    """
    opened: dict[int, tuple[Session, Call, str]] = {}
    refused = {}
    for index in rng.sample(range(len(asked.places)), len(asked.places)):
        try:
            opened[index] = _open(asked, asked.places[index], stack)
        except EdgeactsError as error:
            refused[str(index)] = [type(error).__name__, str(error)]
    return [opened[index] for index in sorted(opened)], refused


def _open(asked: Job, place: Place, stack: ExitStack) -> tuple[Session, Call, str]:
    session = stack.enter_context(
        open_runtime(
            Path(place.model), place.runtime, threads=asked.threads, level=place.level,
            provider=asked.provider, precision=asked.precision,
        )
    )  # fmt: skip
    feeds = _feeds(asked, session)
    shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feeds.items())
    return session, session.bind(feeds), shapes


def _feeds(asked: Job, session: Session) -> dict[str, np.ndarray]:
    if asked.inputs is None:
        return random_inputs(session.inputs, batch=asked.batch, sizes=asked.sizes, seed=asked.seed)
    with np.load(asked.inputs, allow_pickle=False) as arrays:
        return {name: arrays[f"arr_{place}"] for place, name in enumerate(asked.input_names)}


def _measure(
    asked: Job, calls: Sequence[Call], rng: random.Random, cores: tuple[int, ...] | None
) -> Iterator[Message]:
    clock = time.perf_counter_ns
    warm = warm_up(calls, rng, limit_ns=asked.warmup_ns, clock=clock)
    yield {"warm": warm.rounds}
    size, end, done = rounds_a_block(warm.round_ns, asked.rounds), _end_ns(asked, clock()), 0
    before = machine.read()
    while done < LEAST_ROUNDS or (clock() < end and (asked.rounds is None or done < asked.rounds)):
        samples: list[list[int]] = [[] for _ in calls]
        starts: list[list[int]] = [[] for _ in calls]
        start = clock()
        for _ in range(size if asked.rounds is None else min(size, asked.rounds - done)):
            one_round(calls, rng, samples, starts, clock=clock)
        seconds = (clock() - start) / 1e9
        done += len(samples[0])
        yield {
            "block": {
                "start_ns": start - asked.origin_ns,
                "seconds": seconds,
                **machine.between(before, machine.read()),
                "frequency_mhz": machine.frequency_mhz(cores),
                "load_average_1min": machine.load_average(),
            },
            "samples": samples,
            "starts": [[begin - asked.origin_ns for begin in one] for one in starts],
        }
        before = machine.read()


def _end_ns(asked: Job, now_ns: int) -> float:
    """When the measurement is to end: after as long as its preparation took, from 0.6 to 3 s.

    More processes are worth more than longer ones, but a process that mostly starts is a waste.
    """
    share = min(_MOST_NS, max(_LEAST_NS, now_ns - asked.asked_ns))
    wanted = now_ns + share if asked.rounds is None else math.inf
    return min(wanted, math.inf if asked.deadline_ns is None else asked.deadline_ns)


def rounds_a_block(round_ns: float, rounds: int | None) -> int:
    """As many rounds as take about 0.1 s, one at least; `rounds` are spread over four blocks or more."""
    size = max(1, round(_BLOCK_NS / max(1.0, round_ns)))
    return size if rounds is None else max(1, min(size, -(-rounds // _LEAST_BLOCKS)))
