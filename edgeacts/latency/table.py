"""A latency record as plain text, at most 80 columns wide."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import mean

from edgeacts.latency.intervals import Interval
from edgeacts.latency.text import WIDTH, milliseconds, plural, shorten
from edgeacts.records import LatencyBlock, LatencyRecord, LatencySeries, NoiseFloor

_LABEL, _EXECUTED, _TIME, _RATIO, _VERDICT = 22, 9, 8, 21, 12
_MATTERS = {"steal": 0.01, "other": 0.05}  # shares of the machine's time from which they are worth a line


def format_latency(record: LatencyRecord) -> str:
    """A section per runtime, a line per model: executed precision, median, p90, ratio with interval, verdict.

    Below: the noise floor, how it was measured and why it ended, what else the machine did.
    """
    p90 = any("p90" in series.quantiles_ns for series in record.series)
    lines = []
    for runtime, rows in groupby(record.series, lambda series: series.runtime):
        lines += [_header(runtime, p90), "-" * WIDTH, *(_line(series, p90) for series in rows), ""]
    for text in (*_floors(record), _design(record), *_machine(record.blocks)):
        lines += textwrap.wrap(text, WIDTH)
    for key, reason in record.skipped.items():
        lines += textwrap.wrap(f"skipped: {key}: {reason}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def interval_text(ratio: float, low: float, high: float) -> str:
    """`1.05 [1.03, 1.07]`: two digits of the interval's half width."""
    digits = 3 if Interval(ratio, low, high).half_width * ratio < 0.01 else 2 if ratio < 10 else 1
    return f"{ratio:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _header(runtime: str, p90: bool) -> str:
    name = shorten(runtime, _LABEL - 1)
    times = f"{'p50 ms':>{_TIME}}{'p90 ms' if p90 else '':>{_TIME}}"
    return f"{name:<{_LABEL}}{'executed':<{_EXECUTED}}{times}{'ratio, interval':>{_RATIO}}"


def _line(series: LatencySeries, p90: bool) -> str:
    label = shorten(series.label, _LABEL - 1)
    precision = shorten(str(series.executed.get("precision", "unknown")), _EXECUTED - 1)
    times = f"{milliseconds(series.median_ns):>{_TIME}}"
    tail = series.quantiles_ns.get("p90")
    times += f"{(milliseconds(tail) if tail else '-') if p90 else '':>{_TIME}}"
    ratio = "1" if series.comparison == "baseline" else _ratio(series)
    return f"{label:<{_LABEL}}{precision:<{_EXECUTED}}{times}{ratio:>{_RATIO}}{series.comparison:>{_VERDICT}}"


def _ratio(series: LatencySeries) -> str:
    return interval_text(series.ratio, series.ratio_low, series.ratio_high)


def _floors(record: LatencyRecord) -> Iterable[str]:
    labels = {s.runtime: s.label for s in record.series if s.comparison == "baseline"}
    for floor in record.noise_floors:
        yield floor_text(floor, labels[floor.runtime])


def floor_text(floor: NoiseFloor, baseline: str) -> str:
    """`A/A on onnxruntime: relu over its own copy 1.002 [0.991, 1.013].`"""
    interval = interval_text(floor.ratio, floor.ratio_low, floor.ratio_high)
    return f"A/A on {floor.runtime}: {baseline} over its own copy {interval}."


def _design(record: LatencyRecord) -> str:
    rounds = len(record.series[0].samples_ns)
    parts = [
        plural(record.threads, "thread"),
        f"batch {record.batch}",
        f"{record.confidence:.0%} intervals over {plural(record.processes, 'fresh process', 'es')}, "
        f"{plural(len(record.blocks), 'block')}, {plural(rounds, 'interleaved round')} after {record.warmup_rounds} of warm-up",
    ]
    return f"{', '.join(parts)}; {stopped_text(record)} {record.circumstances.cpu}."


def stopped_text(record: LatencyRecord) -> str:
    """Why the measurement ended, and how well the ratios are known."""
    reached = (
        ""
        if record.precision_reached is None
        else f"ratios known within {_percent(record.precision_reached)}"
    )
    asked = "" if record.precision_asked is None else f" ({_percent(record.precision_asked)} asked for)"
    why = {
        "precision": "",
        "time": f"the time of {record.budget_s or 0:g} s was used up: ",
        "rounds": "the rounds were used up: ",
    }[record.stopped]
    return f"{why}{reached}{asked}, {record.seconds:.1f} s."


def _machine(blocks: Sequence[LatencyBlock]) -> Iterable[str]:
    """What disturbed the measurement, where it is worth knowing."""
    steal = [block.steal_share for block in blocks if block.steal_share is not None]
    other = [block.other_share for block in blocks if block.other_share is not None]
    if steal and mean(steal) >= _MATTERS["steal"]:
        yield f"The hypervisor took {mean(steal):.0%} of the machine's time, {max(steal):.0%} in the worst block."
    if other and mean(other) >= _MATTERS["other"]:
        yield f"Other processes used {mean(other):.0%} of the machine, {max(other):.0%} in the worst block."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"
