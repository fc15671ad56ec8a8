"""A benchmark against an older one: what became slower, as far as both records' intervals allow to say.

Two times of different days differ by what the machine did. So ratios to the baseline are compared where the baseline is the
same file on the same runtime in both: machine and day cancel. Otherwise times are compared, on the same CPU only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeacts.errors import UsageError
from edgeacts.latency.intervals import Interval, interval
from edgeacts.latency.judging import by_process, log_blocks
from edgeacts.latency.table import interval_text
from edgeacts.names import check_name
from edgeacts.records import LatencyRecord, LatencySeries

By = Literal["ratio", "time"]
WAYS = ("auto", "ratio", "time")
TOLERANCE = 0.05


@dataclass(frozen=True)
class Change:
    """A model's latency now over what it was; `by` says whether ratios to the baseline or times were compared.

    `reason` says why nothing could be compared; the change is None then.
    """

    label: str
    runtime: str
    by: By | None
    change: Interval | None
    slower: bool
    reason: str = ""


def compare_latency(
    new: LatencyRecord, old: LatencyRecord, *, tolerance: float = TOLERANCE, by: str = "auto"
) -> list[Change]:
    """A change for each model of `new`. It is slower only if the whole interval lies above 1 + tolerance.

    Raises UsageError when the records have no model in common, or were measured with other threads or another batch.
    """
    check_name(by, WAYS, "way to compare")
    for name in ("threads", "batch"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            raise UsageError(
                f"the old record was measured with {name} {was}, this one with {now}: use the same"
            )
    before = {(series.label, series.runtime): series for series in old.series}
    if not any((series.label, series.runtime) in before for series in new.series):
        raise UsageError(
            f"nothing to compare: the old record has {_names(old)}, this one {_names(new)}; --label names models"
        )
    changes = [
        _change(new, series, old, before.get((series.label, series.runtime)), 1 + tolerance, by)
        for series in new.series
    ]
    measured = {(series.label, series.runtime) for series in new.series}
    return changes + [
        Change(label, runtime, None, None, False, _missing(new, label, runtime))
        for label, runtime in before
        if (label, runtime) not in measured
    ]


def _missing(record: LatencyRecord, label: str, runtime: str) -> str:
    return record.skipped.get(f"{label} on {runtime}", "in the old record, not measured now")


def _names(record: LatencyRecord) -> str:
    return ", ".join(f"{series.label} on {series.runtime}" for series in record.series)


def _change(
    new: LatencyRecord,
    now: LatencySeries,
    old: LatencyRecord,
    was: LatencySeries | None,
    limit: float,
    by: str,
) -> Change:
    if was is None:
        return Change(now.label, now.runtime, None, None, False, "not in the old record")
    for name in ("inputs", "precision", "provider"):
        then, today = was.executed.get(name), now.executed.get(name)
        if then != today:
            return Change(now.label, now.runtime, None, None, False, f"{name} was {then}, is {today}")
    chosen, reason = _way(new, now, old, was, by)
    if chosen is None:
        return Change(now.label, now.runtime, None, None, False, reason)
    if chosen == "ratio":
        change = quotient(
            Interval(now.ratio, now.ratio_low, now.ratio_high),
            Interval(was.ratio, was.ratio_low, was.ratio_high),
        )
        limit_log = math.log(limit) + abs(_floor(new, now.runtime)) + abs(_floor(old, now.runtime))
    else:
        change, limit_log = quotient(_level(new, now), _level(old, was)), math.log(limit)
    return Change(now.label, now.runtime, chosen, change, math.log(change.low) > limit_log)


def _way(
    new: LatencyRecord, now: LatencySeries, old: LatencyRecord, was: LatencySeries, by: str
) -> tuple[By | None, str]:
    """How to compare, or None with the reason why it cannot be."""
    reference = "baseline" in {now.comparison, was.comparison}
    if by == "ratio":
        return (None, "it is the baseline") if reference else ("ratio", "")
    if by == "time":
        return "time", ""
    steady = _same_baseline(new, old, now.runtime)
    if steady and not reference:
        return "ratio", ""
    if steady and len([s for s in new.series if s.runtime == now.runtime]) > 1:
        return None, "it is the baseline, the same file on the same runtime as before"
    if new.circumstances.cpu == old.circumstances.cpu:
        return "time", ""
    if not reference:
        return "ratio", ""
    return (
        None,
        f"it is the baseline, and the CPU differs ({old.circumstances.cpu}): give a second model to compare with",
    )


def _same_baseline(new: LatencyRecord, old: LatencyRecord, runtime: str) -> bool:
    both = [
        next((s for s in record.series if s.runtime == runtime and s.comparison == "baseline"), None)
        for record in (new, old)
    ]
    now, was = both
    if now is None or was is None:
        return False
    version = [series.executed.get("runtime_version") for series in (now, was)]
    return now.model_sha256 == was.model_sha256 and version[0] == version[1]


def _floor(record: LatencyRecord, runtime: str) -> float:
    """Log of the A/A ratio."""
    return next((math.log(floor.ratio) for floor in record.noise_floors if floor.runtime == runtime), 0.0)


def _level(record: LatencyRecord, series: LatencySeries) -> Interval:
    """The latency itself, in ns, with its interval over processes."""
    medians = np.array(
        [np.median(logs) for logs in log_blocks(series.label, series.samples_ns, series.block_of)]
    )
    process_of = [block.process for block in record.blocks]
    return interval(by_process(medians, process_of), seed=record.seed, confidence=record.confidence)


def quotient(a: Interval, b: Interval) -> Interval:
    """a/b of independent intervals: the half widths add up in squares, in log, each side for itself."""
    log_a, log_b = math.log(a.ratio), math.log(b.ratio)
    up = math.hypot(math.log(a.high) - log_a, log_b - math.log(b.low))
    down = math.hypot(log_a - math.log(a.low), math.log(b.high) - log_b)
    center = log_a - log_b
    return Interval(math.exp(center), math.exp(center - down), math.exp(center + up))


def comparison_lines(changes: Sequence[Change], tolerance: float) -> list[str]:
    """One line a model, and what the interval was held against."""
    lines = []
    for one in changes:
        if one.change is None or one.by is None:
            lines.append(f"{one.label} on {one.runtime}: not compared: {one.reason}")
            continue
        of = "ratio to the baseline" if one.by == "ratio" else "time"
        text = interval_text(one.change.ratio, one.change.low, one.change.high)
        answer = "slower" if one.slower else _answer(one.change, tolerance)
        lines.append(f"{one.label} on {one.runtime}: {answer}: {of} now/then {text}")
    lines.append(f"slower = the whole interval lies above {1 + tolerance:.2f} by more than the A/A floors")
    return lines


def _answer(change: Interval, tolerance: float) -> str:
    if change.high <= 1 + tolerance:
        return "not slower"
    return "cannot tell"
