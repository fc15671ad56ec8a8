"""For a user's own tests: a model must not have become slower than another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeacts.errors import UsageError
from edgeacts.latency.intervals import Interval
from edgeacts.latency.judging import verdict
from edgeacts.latency.measure import benchmark
from edgeacts.latency.table import floor_text, interval_text, stopped_text
from edgeacts.records import LatencyRecord


def assert_not_slower(
    candidate: str | Path,
    baseline: str | Path,
    than: float = 1.05,
    *,
    runtime: str = "onnxruntime",
    inputs: Mapping[str, np.ndarray] | None = None,
    within: float = 0.02,
    budget_s: float = 60.0,
    **options: Any,
) -> LatencyRecord:
    """Raise AssertionError if `candidate` surely takes more than `than` times as long as `baseline`.

    Both are measured in turn in fresh processes; `options` are those of `edgeacts.benchmark`. What a noisy machine cannot tell
    passes: look at `record.series[1].comparison` and its interval. Raises UsageError (`than` not positive), and what
    `benchmark` raises.
    """
    if not 0 < than < 1000:
        raise UsageError(f"than must be a ratio such as 1.05, got {than!r}")
    names = _labels(Path(candidate), Path(baseline))
    record = benchmark(
        [baseline, candidate], runtimes=[runtime], labels=names, inputs=inputs, within=within, budget_s=budget_s,
        **options,
    )  # fmt: skip
    if record.skipped:
        key, reason = next(iter(record.skipped.items()))
        raise AssertionError(f"{key} could not be measured: {reason}")
    measured, floor = record.series[1], record.noise_floors[0]
    above = Interval(measured.ratio / than, measured.ratio_low / than, measured.ratio_high / than)
    if verdict(above, floor.ratio) == "slower":
        raise AssertionError(
            f"{candidate} is slower than {than:g} times {baseline} on {runtime}: "
            f"{interval_text(measured.ratio, measured.ratio_low, measured.ratio_high)} "
            f"({measured.median_ns / 1e6:.3f} against {record.series[0].median_ns / 1e6:.3f} ms). "
            f"{floor_text(floor, names[0])} {stopped_text(record)}"
        )
    return record


def _labels(candidate: Path, baseline: Path) -> Sequence[str]:
    """Baseline's and candidate's."""
    if candidate.stem != baseline.stem:
        return baseline.stem, candidate.stem
    return f"{baseline.stem} (baseline)", f"{candidate.stem} (candidate)"
