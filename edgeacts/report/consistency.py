"""A record that contradicts itself is not evidence: totals, medians and verdicts are recomputed."""

from statistics import median

from edgeacts.records import LatencyRecord, LatencySeries, Record, TrainingRecord, Verdict

MAX_NS = 10**15
"""Eleven days: no single inference takes longer, and every such integer is exact in a float."""
ACCURACY_SLACK = 1e-3
MEDIAN_SLACK = 1e-2
"""Room for rounded values in records."""


def contradiction(record: Record) -> str:
    """Why `record` cannot be true; an empty string when nothing speaks against it."""
    match record:
        case TrainingRecord():
            return _training(record)
        case Verdict():
            return _verdict(record)
        case LatencyRecord():
            return next((reason for series in record.series if (reason := _series(series))), "")
    return ""


def _training(record: TrainingRecord) -> str:
    if not 0 <= record.test_correct <= record.test_total or record.test_total == 0:
        return f"{record.test_correct} of {record.test_total} test images correct"
    accuracy = record.test_correct / record.test_total
    if abs(accuracy - record.test_accuracy) > ACCURACY_SLACK:
        return f"test accuracy {record.test_accuracy} is not {record.test_correct} of {record.test_total}"
    low, high = record.test_interval
    if (
        not -ACCURACY_SLACK <= low <= record.test_accuracy + ACCURACY_SLACK
        or high < record.test_accuracy - ACCURACY_SLACK
    ):
        return f"the interval {low} to {high} does not hold the test accuracy {record.test_accuracy}"
    return ""


def _verdict(record: Verdict) -> str:
    if record.passed and not record.rows:
        return "it says passed, but nothing was compared"
    failed = sum(not row.passed for row in record.rows)
    if record.passed and failed:
        return f"it says passed, but {failed} of {len(record.rows)} comparisons failed"
    return ""


def _series(series: LatencySeries) -> str:
    what = f"{series.label} on {series.runtime}"
    if not series.samples_ns:
        return f"{what} has no samples"
    if not all(0 < sample < MAX_NS for sample in series.samples_ns):
        return f"{what} has a sample that is no time of an inference"
    middle = median(series.samples_ns)
    if abs(middle - series.median_ns) > MEDIAN_SLACK * middle:
        return f"{what}: the samples' median is {middle:g} ns, not {series.median_ns:g}"
    if not 0 < series.ratio < MAX_NS or not 0 < series.p95_ns < MAX_NS:
        return f"{what}: ratio {series.ratio:g} and p95 {series.p95_ns:g} ns must be positive"
    return ""
