"""`benchmark`: ONNX files on one or more runtimes, measured in turn, in fresh processes, until the ratios are known."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tqdm import tqdm

from edgeacts import errors
from edgeacts.circumstances import circumstances
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.files import sha256_file
from edgeacts.latency.arguments import check_arguments, level_for, raise_nothing_measured, unique_labels
from edgeacts.latency.blocks import Job, Message, Place
from edgeacts.latency.inputs import given_batch
from edgeacts.latency.intervals import CONFIDENCE, Interval
from edgeacts.latency.judging import Times, ratio_of, verdict
from edgeacts.latency.sizes import file_bytes
from edgeacts.latency.stopping import Limits, widest
from edgeacts.latency.subprocesses import Fresh
from edgeacts.latency.summary import median_ns, quantiles_ns
from edgeacts.records import LatencyBlock, LatencyRecord, LatencySeries, NoiseFloor
from edgeacts.records.latency import Executed
from edgeacts.runtimes import resolve_threads

TASK = "edgeacts.latency.blocks:measure_blocks"
_WARMUP_SHARE = 0.25  # of the time budget, for one process's warm-up at worst
_clock = time.perf_counter_ns
Start = Callable[[str, Mapping[str, Any]], AbstractContextManager[Any]]


@dataclass
class _Candidate:
    """One model on one runtime; `copy` times the same file opened a second time, for a runtime's baseline."""

    label: str
    model: Path
    runtime: str
    level: str | None
    baseline: bool = False
    times: Times = field(default_factory=Times)
    copy: Times = field(default_factory=Times)
    executed: Executed = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`relu on openvino`."""
        return f"{self.label} on {self.runtime}"

    @property
    def place(self) -> Place:
        """What a process is told."""
        return Place(model=str(self.model), runtime=self.runtime, level=self.level)


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
    within: float | None = 0.02,
    budget_s: float | None = 60.0,
    rounds: int | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    baseline: str | None = None,
    progress: bool = False,
) -> LatencyRecord:
    """Latency of each model on each runtime, with the ratio to the runtime's baseline and its 95 % interval.

    Fresh processes open all models in a random order, warm up, and run them in turn, in a new random order each round. It
    ends when every ratio is known `within` 2 %, after `budget_s` seconds, or after `rounds` runs of each model (few rounds
    make one process, whose interval is wide). Each runtime's baseline (`baseline`, a label; the first model unless given) is
    opened twice, and what it seems to differ from itself is the `noise_floors`.

    `threads` = 0 means all cores. `level` goes to the runtimes that have one of that name, `precision` is what the runtime
    computes in. Inputs are random (see `random_inputs` for `batch` and `sizes`) unless given. A model that a runtime cannot
    measure is listed in `skipped` with the reason; if that is all, it is the error. Raises UsageError, DamagedFile,
    NotAvailable, CheckFailed or EdgeactsError.
    """
    paths = [Path(model) for model in models]
    check_arguments(
        paths, runtimes, within=within, budget_s=budget_s, rounds=rounds, batch=batch, sizes=sizes or {}
    )
    named = _baseline_first(list(zip(unique_labels(paths, labels), paths, strict=True)), baseline)
    candidates = [
        _Candidate(label, path.absolute(), runtime, its_level)
        for runtime, its_level in level_for(runtimes, level).items()
        for label, path in named
    ]
    taken_in, origin_ns = circumstances(), _clock()
    with _saved(inputs) as saved:
        job = Job(
            places=(), process=0, threads=resolve_threads(threads), provider=provider, precision=precision,
            batch=batch, sizes=dict(sizes or {}), inputs=saved, input_names=tuple(inputs or ()), seed=seed, origin_ns=origin_ns,
            asked_ns=origin_ns, warmup_ns=0, deadline_ns=None, rounds=None, describe=True,
        )  # fmt: skip
        run = _Run(candidates, job, Limits(within, budget_s, rounds))
        stopped = run.measure(progress)
    by_path = {str(path.absolute()): str(path) for path in paths}
    return LatencyRecord(
        series=tuple(run.series(by_path)),
        blocks=tuple(run.blocks),
        noise_floors=tuple(run.noise_floors()),
        processes=run.processes,
        warmup_rounds=run.warmup_rounds,
        threads=job.threads,
        batch=given_batch(inputs) if inputs else batch,
        seed=seed,
        confidence=CONFIDENCE,
        precision_asked=within,
        precision_reached=widest(run.intervals()),
        budget_s=budget_s,
        stopped=stopped,
        seconds=(_clock() - origin_ns) / 1e9,
        skipped={key: str(error) for key, error in run.skipped.items()},
        circumstances=taken_in,
    )


def _baseline_first(named: list[tuple[str, Path]], baseline: str | None) -> list[tuple[str, Path]]:
    if baseline is None:
        return named
    if baseline not in [label for label, _ in named]:
        valid = ", ".join(label for label, _ in named)
        raise UsageError(f"unknown baseline {baseline!r}: it must be the label of one of the models: {valid}")
    return sorted(named, key=lambda item: item[0] != baseline)


@contextmanager
def _saved(inputs: Mapping[str, np.ndarray] | None) -> Iterator[str | None]:
    """The arrays in an .npz file that processes can read, until the block ends."""
    if not inputs:
        yield None
        return
    for name, array in inputs.items():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            raise UsageError(f"input {name!r} must be a numpy array of numbers, got {type(array).__name__}")
    with tempfile.TemporaryDirectory(prefix="edgeacts-") as folder:
        path = Path(folder) / "inputs.npz"
        np.savez(path, *inputs.values())  # in order: a name such as `file` is taken
        yield str(path)


class _Run:
    """The measurement while it goes on: processes one after the other, and what they gave."""

    start: Start = staticmethod(Fresh)

    def __init__(self, candidates: list[_Candidate], job: Job, limits: Limits) -> None:
        self.candidates = candidates
        self.job = job
        self.limits = limits
        self.blocks: list[LatencyBlock] = []
        self.skipped: dict[str, EdgeactsError] = {}
        self.processes = 0
        self.warmup_rounds = 0

    def measure(self, progress: bool) -> str:
        """Processes until it is enough; gives the reason why it ended."""
        stopped, budget_s = "", self.limits.budget_s
        # disable=None: a bar only where standard error is a terminal.
        with tqdm(desc="opening", unit="block", disable=None if progress else True) as bar:
            while not stopped:
                begin = _clock()
                if not self._one_process(bar):
                    continue
                seconds = (_clock() - self.job.origin_ns) / 1e9
                known = self.intervals()
                stopped = self.limits.stopped(
                    known, processes=self.processes, rounds=len(self.candidates[0].times.samples_ns),
                    seconds=seconds, last_s=(_clock() - begin) / 1e9,
                )  # fmt: skip
                of = "" if budget_s is None else f" of {budget_s:.0f}"
                bar.set_description(f"±{100 * widest(known):.1f} %, {seconds:.0f}{of} s")
        return stopped

    def _one_process(self, bar: Any) -> bool:
        """Measure in one more process; False when something was refused and it was given up: the next one goes without it."""
        self._choose_baselines()
        times = [one.times for one in self.candidates] + [one.copy for one in self.candidates if one.baseline]
        with self.start(TASK, msgspec.to_builtins(self._next_job())) as process:
            for message in process:
                if "opened" in message and message["refused"]:
                    self._refuse(message["refused"])
                    return False
                self._take(message, times)
                bar.update("block" in message)
        self.processes += 1
        return True

    def _choose_baselines(self) -> None:
        seen: set[str] = set()
        for one in self.candidates:
            one.baseline = one.runtime not in seen
            seen.add(one.runtime)

    def _next_job(self) -> Job:
        budget_s = self.limits.budget_s
        copies = [one for one in self.candidates if one.baseline]
        return msgspec.structs.replace(
            self.job,
            places=tuple(one.place for one in (*self.candidates, *copies)),
            process=self.processes,
            asked_ns=_clock(),
            warmup_ns=int((60.0 if budget_s is None else budget_s) * _WARMUP_SHARE * 1e9),
            deadline_ns=None if budget_s is None else self.job.origin_ns + int(budget_s * 1e9),
            rounds=self.limits.rounds_next(len(self.candidates[0].times.samples_ns)),
            describe=self.processes == 0,
        )

    def _take(self, message: Message, times: Sequence[Times]) -> None:
        if "block" in message:
            number = len(self.blocks)
            self.blocks.append(LatencyBlock(process=self.processes, **message["block"]))
            for one, samples, starts in zip(times, message["samples"], message["starts"], strict=True):
                one.add(number, samples, starts)
        elif "warm" in message:
            self.warmup_rounds += message["warm"]
        elif "executed" in message:
            for candidate, executed in zip(self.candidates, message["executed"], strict=False):  # then copies
                candidate.executed = executed

    def _refuse(self, refused: Mapping[str, Sequence[str]]) -> None:
        """Leave out what cannot be measured; raises the reason when nothing is left, or when an earlier process could."""
        opened = [*self.candidates, *(one for one in self.candidates if one.baseline)]  # as in the job
        refusals: dict[str, EdgeactsError] = {}
        for index in sorted(map(int, refused)):
            kind, text = refused[str(index)]
            refusals.setdefault(opened[index].key, getattr(errors, kind, EdgeactsError)(text))
        if self.processes:
            raise next(iter(refusals.values()))
        self.skipped |= refusals
        self.candidates = [one for one in self.candidates if one.key not in refusals]
        if not self.candidates:
            raise_nothing_measured(self.skipped)

    def _process_of(self) -> list[int]:
        return [block.process for block in self.blocks]

    def _ratio(self, one: _Candidate) -> Interval:
        base = next(other for other in self.candidates if other.runtime == one.runtime)
        if one is base:
            return Interval(1.0, 1.0, 1.0)
        sessions = [base.times.logs(base.label), base.copy.logs(base.label)]
        return ratio_of(one.times.logs(one.label), sessions, self._process_of(), seed=self.job.seed)

    def _floors(self) -> dict[str, Interval]:
        """By runtime: the baseline's copy over the baseline."""
        return {
            one.runtime: ratio_of(
                one.copy.logs(one.label),
                [one.times.logs(one.label)],
                self._process_of(),
                seed=self.job.seed,
            )
            for one in self.candidates
            if one.baseline
        }

    def intervals(self) -> list[Interval]:
        """Of the ratios that are asked for; those of the noise floors where there is only a baseline."""
        found = [self._ratio(one) for one in self.candidates if not one.baseline]
        return found or list(self._floors().values())

    def series(self, given_path: Mapping[str, str]) -> Iterator[LatencySeries]:
        """Of each model on each runtime."""
        floors = self._floors()
        for one in self.candidates:
            ratio, taken = self._ratio(one), one.times
            yield LatencySeries(
                label=one.label,
                model=given_path[str(one.model)],
                model_sha256=sha256_file(one.model),
                runtime=one.runtime,
                size_bytes=file_bytes(one.model),
                samples_ns=tuple(taken.samples_ns),
                starts_ns=tuple(taken.starts_ns),
                block_of=tuple(taken.block_of),
                median_ns=median_ns(taken.samples_ns),
                quantiles_ns=quantiles_ns(taken.samples_ns),
                ratio=ratio.ratio,
                ratio_low=ratio.low,
                ratio_high=ratio.high,
                comparison="baseline" if one.baseline else verdict(ratio, floors[one.runtime].ratio),
                executed=one.executed,
            )

    def noise_floors(self) -> Iterator[NoiseFloor]:
        """One a runtime."""
        bases = {one.runtime: one for one in self.candidates if one.baseline}
        for runtime, floor in self._floors().items():
            copy = bases[runtime].copy
            yield NoiseFloor(
                runtime=runtime,
                ratio=floor.ratio,
                ratio_low=floor.low,
                ratio_high=floor.high,
                samples_ns=tuple(copy.samples_ns),
                starts_ns=tuple(copy.starts_ns),
                block_of=tuple(copy.block_of),
            )
