"""`benchmark`: ONNX files on one or more runtimes, opened together, warmed up, timed in turn."""

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from edgeacts.circumstances import circumstances
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.files import sha256_file
from edgeacts.latency.arguments import check_arguments, level_for, unique_labels
from edgeacts.latency.inputs import given_batch, random_inputs
from edgeacts.latency.summary import median_ns, p95_ns
from edgeacts.latency.timing import Call, time_interleaved, warm_up
from edgeacts.records import LatencyRecord, LatencySeries
from edgeacts.runtimes import Executed, Session, open_runtime, resolve_threads

_WARMUP_SHARE = 0.25  # of the time budget
_clock = time.perf_counter_ns


@dataclass(frozen=True)
class _Candidate:
    """One model on one runtime, ready to be timed."""

    label: str
    model: Path
    runtime: str
    call: Call
    executed: Executed


def benchmark(
    models: Sequence[str | Path],
    *,
    runtimes: Sequence[str] = ("onnxruntime",),
    threads: int = 1,
    provider: str = "cpu",
    level: str | None = None,
    precision: str = "f32",
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    rounds: int = 60,
    budget_s: float | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    baseline: str | None = None,
    progress: bool = False,
) -> LatencyRecord:
    """Latency of each model on each runtime, in nanoseconds, interleaved in a new random order each round.

    `threads` = 0 means all cores. `level` goes to the runtimes that have one of that name. Inputs are random
    (see `random_inputs` for `batch` and `sizes`) unless given. With `budget_s` the rounds end early, not
    before five. `baseline` is the label that ratios refer to, the first one unless given. A model that a
    runtime cannot measure is listed in `skipped` with the reason; if that is all, it is the error.
    Raises UsageError, DamagedFile, NotAvailable, CheckFailed or EdgeactsError.
    """
    paths = [Path(model) for model in models]
    check_arguments(paths, runtimes, rounds=rounds, batch=batch, budget_s=budget_s, sizes=sizes or {})
    threads = resolve_threads(threads)
    named = _baseline_first(list(zip(unique_labels(paths, labels), paths, strict=True)), baseline)
    level_by_runtime = level_for(runtimes, level)
    taken_in, begin = circumstances(), time.perf_counter()
    skipped: dict[str, EdgeactsError] = {}
    candidates: list[_Candidate] = []
    with ExitStack() as stack:
        for runtime, its_level in level_by_runtime.items():
            for label, path in named:
                try:
                    session = stack.enter_context(
                        open_runtime(
                            path,
                            runtime,
                            threads=threads,
                            level=its_level,
                            provider=provider,
                            precision=precision,
                        )
                    )
                    feeds = inputs or random_inputs(session.inputs, batch=batch, sizes=sizes or {}, seed=seed)
                    candidates.append(_candidate(label, path, runtime, session, feeds))
                except EdgeactsError as error:
                    skipped[f"{label} on {runtime}"] = error
        if not candidates:
            _raise_nothing_measured(skipped)
        warmup_rounds, samples = _time(candidates, rounds, budget_s, random.Random(seed), progress)  # noqa: S311
    return LatencyRecord(
        series=_series(candidates, samples),
        warmup_rounds=warmup_rounds,
        rounds=len(samples[0]),
        threads=threads,
        batch=given_batch(inputs) if inputs else batch,
        seed=seed,
        seconds=time.perf_counter() - begin,
        skipped={key: str(error) for key, error in skipped.items()},
        circumstances=taken_in,
    )


def _baseline_first(named: list[tuple[str, Path]], baseline: str | None) -> list[tuple[str, Path]]:
    if baseline is None:
        return named
    if baseline not in [label for label, _ in named]:
        valid = ", ".join(label for label, _ in named)
        raise UsageError(f"unknown baseline {baseline!r}: it must be the label of one of the models: {valid}")
    return sorted(named, key=lambda item: item[0] != baseline)


def _candidate(
    label: str, path: Path, runtime: str, session: Session, feeds: Mapping[str, np.ndarray]
) -> _Candidate:
    call = session.bind(feeds)
    shapes = ", ".join(f"{name} {feeds[name].dtype}{list(feeds[name].shape)}" for name in feeds)
    return _Candidate(label, path, runtime, call, {**session.executed(), "inputs": shapes})


def _raise_nothing_measured(skipped: Mapping[str, EdgeactsError]) -> NoReturn:
    first = next(iter(skipped.values()))
    if len({str(error) for error in skipped.values()}) == 1:
        raise first
    reasons = "; ".join(f"{key}: {error}" for key, error in skipped.items())
    raise type(first)(f"nothing could be measured: {reasons}") from first


def _time(
    candidates: Sequence[_Candidate], rounds: int, budget_s: float | None, rng: random.Random, progress: bool
) -> tuple[int, list[list[int]]]:
    """Rounds of warm-up, and the samples of each candidate."""
    calls = [candidate.call for candidate in candidates]
    budget_ns = None if budget_s is None else int(budget_s * 1e9)
    warmup_ns = None if budget_ns is None else int(budget_ns * _WARMUP_SHARE)
    # disable=None: a bar only where standard error is a terminal.
    with tqdm(total=rounds, desc="warm-up", unit="round", disable=None if progress else True) as bar:
        start = _clock()
        warmup_rounds = warm_up(calls, rng, budget_ns=warmup_ns, clock=_clock)
        left_ns = None if budget_ns is None else budget_ns - (_clock() - start)
        bar.set_description("timing")
        samples = time_interleaved(
            calls, rounds, rng, budget_ns=left_ns, clock=_clock, after_round=partial(bar.update, 1)
        )
    return warmup_rounds, samples


def _series(candidates: Sequence[_Candidate], samples: Sequence[Sequence[int]]) -> tuple[LatencySeries, ...]:
    baseline_ns: dict[str, float] = {}
    series = []
    for candidate, taken in zip(candidates, samples, strict=True):
        median = median_ns(taken)
        reference = baseline_ns.setdefault(candidate.runtime, median)
        if reference <= 0:
            raise EdgeactsError(f"{candidate.label} takes less than the clock can tell: give a larger batch")
        series.append(
            LatencySeries(
                label=candidate.label,
                model=str(candidate.model),
                model_sha256=sha256_file(candidate.model),
                runtime=candidate.runtime,
                size_bytes=_size_bytes(candidate.model),
                samples_ns=tuple(taken),
                median_ns=median,
                p95_ns=p95_ns(taken),
                ratio=median / reference,
                executed=candidate.executed,
            )
        )
    return tuple(series)


def _size_bytes(model: Path) -> int:
    """The file, with the weights of an OpenVINO .xml."""
    weights = model.with_suffix(".bin")
    extra = weights.stat().st_size if model.suffix.lower() == ".xml" and weights.is_file() else 0
    return model.stat().st_size + extra
