"""Times: samples belong to blocks, medians and quantiles are those of the samples, ratios lie in their intervals."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median

from edgeacts.records import LatencyBlock, LatencyRecord, LatencySeries, NoiseFloor

MAX_NS = 10**15
"""Eleven days: no single inference takes longer, and every such integer is exact in a float."""
SLACK = 1e-2
"""Room for rounded values in records."""
RATIO_SLACK = 0.25
"""The ratio is taken within blocks, so the ratio of the overall medians may lie a little outside its interval."""
SHARE_SLACK = 0.1
"""Clocks of processes and of the system are read one after the other."""


def latency(record: LatencyRecord) -> str:
    """Why a latency record cannot be true."""
    return next(_latency(record), "")


def _latency(record: LatencyRecord) -> Iterator[str]:
    if not 0 < record.confidence < 1:
        yield f"the confidence is {record.confidence:g}"
    for index, block in enumerate(record.blocks):
        yield from _block(block, index)
    baselines: dict[str, LatencySeries] = {}
    for series in record.series:
        what = f"{series.label} on {series.runtime}"
        yield from samples(series.samples_ns, series.starts_ns, what)
        yield from _in_blocks(series, what, len(record.blocks))
        yield from middle(series.samples_ns, series.median_ns, what)
        yield from quantiles(series.samples_ns, series.quantiles_ns, what)
        yield from interval(series.ratio_low, series.ratio, series.ratio_high, f"{what}: ratio")
        yield from _compared(series, baselines.setdefault(series.runtime, series), what)
    for floor in record.noise_floors:
        what = f"A/A on {floor.runtime}"
        yield from samples(floor.samples_ns, floor.starts_ns, what)
        yield from _in_blocks(floor, what, len(record.blocks))
        yield from interval(floor.ratio_low, floor.ratio, floor.ratio_high, f"{what}: ratio")
        if floor.runtime not in baselines:
            yield f"{what}: nothing else was timed there"


def _block(block: LatencyBlock, index: int) -> Iterator[str]:
    what = f"block {index}"
    if block.process < 0 or not 0 <= block.start_ns < MAX_NS or not 0 <= block.seconds < MAX_NS / 1e9:
        yield f"{what}: process {block.process} at {block.start_ns} ns for {block.seconds:g} s"
    for share in (block.steal_share, block.other_share):
        if share is not None and not -SHARE_SLACK <= share <= 1 + SHARE_SLACK:
            yield f"{what}: {share:g} is no share of the machine's time"


def samples(samples_ns: Sequence[int], starts_ns: Sequence[int], what: str) -> Iterator[str]:
    """Times of inferences, each with its start, in the order of the starts."""
    if not samples_ns:
        yield f"{what} has no samples"
    if not all(0 < sample < MAX_NS for sample in samples_ns):
        yield f"{what} has a sample that is no time of an inference"
    if len(starts_ns) != len(samples_ns):
        yield f"{what} has {len(samples_ns)} samples, but {len(starts_ns)} starts"
    if any(later < earlier for earlier, later in pairwise(starts_ns)) or min(starts_ns, default=0) < 0:
        yield f"{what}: samples are not in the order of their starts"


def _in_blocks(series: LatencySeries | NoiseFloor, what: str, count: int) -> Iterator[str]:
    if len(series.block_of) != len(series.samples_ns):
        yield f"{what} has {len(series.samples_ns)} samples, but {len(series.block_of)} blocks for them"
    if not all(0 <= block < count for block in series.block_of):
        yield f"{what} has a sample in a block that is not among the {count} of the record"


def middle(values: Sequence[float], said: float, what: str) -> Iterator[str]:
    """The median is that of the values."""
    found = median(values)
    if abs(found - said) > SLACK * found:
        yield f"{what}: the samples' median is {found:g} ns, not {said:g}"


def quantiles(values: Sequence[int], said: Mapping[str, float], what: str) -> Iterator[str]:
    """Each quantile lies between the samples next to its rank: definitions differ by less."""
    ordered = sorted(values)
    for name, quantile in said.items():
        if not (name[:1] == "p" and name[1:].replace(".", "", 1).isdecimal() and float(name[1:]) <= 100):
            yield f"{what}: {name!r} is no quantile"
            return
        rank = float(name[1:]) / 100 * (len(ordered) - 1)
        low = ordered[max(0, math.floor(rank) - 1)] * (1 - SLACK)
        high = ordered[min(len(ordered) - 1, math.ceil(rank) + 1)] * (1 + SLACK)
        if not low <= quantile <= high:
            yield f"{what}: the samples' {name} is between {low:g} and {high:g} ns, not {quantile:g}"


def interval(low: float, value: float, high: float, what: str) -> Iterator[str]:
    """0 < low <= value <= high."""
    if not 0 < low * (1 - SLACK) <= value <= high * (1 + SLACK) < MAX_NS:
        yield f"{what} {value:g} with an interval from {low:g} to {high:g}"


def _compared(series: LatencySeries, baseline: LatencySeries, what: str) -> Iterator[str]:
    told = series.comparison
    if (series is baseline) != (told == "baseline"):
        yield f"{what} is called {told}, but {baseline.label} is the first there, the baseline"
    if (told == "faster" and series.ratio_high >= 1) or (told == "slower" and series.ratio_low <= 1):
        yield f"{what} is called {told}, but its ratio may be {series.ratio_low:g} to {series.ratio_high:g}"
    ratio = series.median_ns / baseline.median_ns
    if not series.ratio_low * (1 - RATIO_SLACK) <= ratio <= series.ratio_high * (1 + RATIO_SLACK):
        yield (
            f"{what}: the medians' ratio is {ratio:.3g}, "
            f"the interval {series.ratio_low:.3g} to {series.ratio_high:.3g}"
        )
