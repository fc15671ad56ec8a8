"""The other modes: parts are within their whole, medians and counts those of the raw numbers."""

from collections.abc import Iterator

from edgeacts.records import (
    ColdRecord,
    ColdSeries,
    MemoryRecord,
    PacedRecord,
    PacedSeries,
    ProfileRecord,
    ProfileSeries,
    SustainedRecord,
    SustainedSeries,
    ThroughputRecord,
    ThroughputSeries,
)
from edgeacts.report.consistency_times import MAX_NS, SLACK, interval, middle, quantiles, samples

SHARE_SLACK = 0.02


def cold(record: ColdRecord) -> str:
    """Why a record of cold starts cannot be true."""
    return next((reason for series in record.series for reason in _cold(series)), "")


def _cold(series: ColdSeries) -> Iterator[str]:
    what = f"{series.label} on {series.runtime}"
    whole, opening, first = series.to_first_result_ns, series.opening_ns, series.first_run_ns
    if not whole or not len(whole) == len(opening) == len(first):
        yield f"{what}: {len(whole)} starts, {len(opening)} openings, {len(first)} first runs"
        return
    for times, said in (
        (whole, series.median_to_first_result_ns),
        (opening, series.median_opening_ns),
        (first, series.median_first_run_ns),
    ):
        if not all(0 < time < MAX_NS for time in times):
            yield f"{what} has a sample that is no time of a start"
        yield from middle(times, said, what)
    if any(a + b > c * (1 + SLACK) for a, b, c in zip(opening, first, whole, strict=True)):
        yield f"{what}: opening and first run take longer than the whole start"


def paced(record: PacedRecord) -> str:
    """Why a record of paced runs cannot be true."""
    if not 0 < record.rate_hz < MAX_NS:
        return f"a rate of {record.rate_hz:g} a second"
    return next((reason for series in record.series for reason in _paced(series)), "")


def _paced(series: PacedSeries) -> Iterator[str]:
    what = f"{series.label} on {series.runtime}"
    yield from samples(series.samples_ns, series.starts_ns, what)
    yield from middle(series.samples_ns, series.median_ns, what)
    yield from quantiles(series.samples_ns, series.quantiles_ns, what)
    if not 0 <= series.late <= series.frames:
        yield f"{what}: {series.late} of {series.frames} frames late"
    if not 0 <= series.busy_share < MAX_NS:
        yield f"{what}: busy for {series.busy_share:g} of the time"


def sustained(record: SustainedRecord) -> str:
    """Why a record of sustained runs cannot be true."""
    return next((reason for series in record.series for reason in _sustained(series)), "")


def _sustained(series: SustainedSeries) -> Iterator[str]:
    what = f"{series.label} on {series.runtime}"
    counts = (len(series.window_median_ns), len(series.window_runs), len(series.window_frequency_mhz))
    if len(set(counts)) != 1 or not counts[0]:
        yield f"{what}: {counts[0]} medians, {counts[1]} counts, {counts[2]} frequencies of windows"
    if not 0 < series.window_s < MAX_NS or not all(0 < ns < MAX_NS for ns in series.window_median_ns):
        yield f"{what} has a window without a time"
    yield from interval(series.drift_low, series.drift, series.drift_high, f"{what}: drift")


def throughput(record: ThroughputRecord) -> str:
    """Why a record of throughput cannot be true."""
    return next((reason for series in record.series for reason in _throughput(series)), "")


def _throughput(series: ThroughputSeries) -> Iterator[str]:
    what = f"{series.label} on {series.runtime}"
    windows, found = series.window_items_per_s, series.items_per_s
    if not any(windows) or not all(0 <= value < MAX_NS for value in windows):
        yield f"{what} has no window with items"
    elif not min(windows) * (1 - SLACK) <= found <= max(windows) * (1 + SLACK):
        yield f"{what}: {found:g} items a second, but the windows have {min(windows):g} to {max(windows):g}"
    yield from interval(series.items_per_s_low, found, series.items_per_s_high, f"{what}: items a second")


def memory(record: MemoryRecord) -> str:
    """Why a record of memory cannot be true."""
    for series in record.series:
        what = f"{series.label} on {series.runtime}"
        sizes = (series.runtime_resident_bytes, series.open_resident_bytes, series.peak_resident_bytes)
        if min(*sizes, series.opening_peak_bytes, series.file_bytes, series.arena_bytes or 0) < 0:
            return f"{what}: a size is negative"
        if max(sizes) > series.peak_resident_bytes * (1 + SHARE_SLACK):
            return f"{what}: the peak of {series.peak_resident_bytes:,} bytes is below what was resident"
    return ""


def profile(record: ProfileRecord) -> str:
    """Why a profile cannot be true."""
    return next((reason for series in record.series for reason in _profile(series)), "")


def _profile(series: ProfileSeries) -> Iterator[str]:
    what = f"{series.label} on {series.runtime}"
    shares = [operator.share for operator in series.operators]
    if not 0 < series.total_ns < MAX_NS or not all(0 <= o.duration_ns < MAX_NS for o in series.operators):
        yield f"{what} has a time that is none of an operator"
    told = (*shares, series.activation_share, series.fused_share)
    if not all(0 <= share <= 1 + SHARE_SLACK for share in told) or sum(shares) > 1 + SHARE_SLACK:
        yield f"{what}: the operators' shares add up to {sum(shares):g}"
    if not 0 < series.whole_run_ns < MAX_NS or not 0 <= len(series.unaccounted) <= series.activations:
        yield f"{what}: {len(series.unaccounted)} of {series.activations} activations without an operator"
    of_activations = sum(operator.share for operator in series.operators if operator.activation)
    said = series.activation_share + series.fused_share
    if abs(of_activations - said) > SHARE_SLACK:
        yield f"{what}: activations have {of_activations:.1%} of the operators' time, not {said:.1%}"
