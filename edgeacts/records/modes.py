"""Records of the other ways to look at latency: cold start, paced, sustained, throughput, memory, profile.

Each has one row a model and runtime, with the raw numbers; times in nanoseconds, sizes in bytes.
"""

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record
from edgeacts.records.latency import Executed


class Subject(Record, frozen=True):
    """What was measured, and what really ran."""

    label: str
    model: str
    model_sha256: str
    runtime: str
    executed: Executed


class ColdSeries(Subject, frozen=True):
    """Per fresh process: its start to the first result, and therein the session's opening and the first run."""

    to_first_result_ns: tuple[int, ...]
    opening_ns: tuple[int, ...]
    first_run_ns: tuple[int, ...]
    median_to_first_result_ns: float
    median_opening_ns: float
    median_first_run_ns: float


class ColdRecord(Record, frozen=True, tag_field="kind", tag="cold"):
    """Cold start: fresh processes, models in turn."""

    series: tuple[ColdSeries, ...]
    processes: int
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1


class PacedSeries(Subject, frozen=True):
    """A frame every 1/rate seconds, the machine idle in between; `late` frames were not done when the next one came.

    `frames` came; those that came while the model was busy were dropped and have no sample. `unpaced_median_ns` is the median
    of runs without a pause in the same process.
    """

    samples_ns: tuple[int, ...]
    starts_ns: tuple[int, ...]
    median_ns: float
    quantiles_ns: dict[str, float]
    unpaced_median_ns: float
    late: int
    frames: int
    busy_share: float


class PacedRecord(Record, frozen=True, tag_field="kind", tag="paced"):
    """As a camera calls a model."""

    series: tuple[PacedSeries, ...]
    rate_hz: float
    threads: int
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1


class SustainedSeries(Subject, frozen=True):
    """Runs without a pause for minutes: medians of windows of `window_s`, and the last third over the first third."""

    window_s: float
    window_median_ns: tuple[float, ...]
    window_runs: tuple[int, ...]
    window_frequency_mhz: tuple[float | None, ...]
    drift: float
    drift_low: float
    drift_high: float


class SustainedRecord(Record, frozen=True, tag_field="kind", tag="sustained"):
    """The ranking at minute 30 need not be the ranking at minute 1."""

    series: tuple[SustainedSeries, ...]
    threads: int
    batch: int
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1


class ThroughputSeries(Subject, frozen=True):
    """Items a second with `streams` requests at once of `batch` items; the interval is over windows."""

    batch: int
    streams: int
    window_items_per_s: tuple[float, ...]
    items_per_s: float
    items_per_s_low: float
    items_per_s_high: float


class ThroughputRecord(Record, frozen=True, tag_field="kind", tag="throughput"):
    """As many items as possible, whatever each one's latency."""

    series: tuple[ThroughputSeries, ...]
    threads: int
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1


class MemorySeries(Subject, frozen=True):
    """Resident memory of a fresh process: with the runtime imported, with the session open, at its peaks.

    `opening_peak_bytes` is the peak while the session was opened, `peak_resident_bytes` that while it ran.
    `arena_bytes` is what the runtime's allocator holds, None where it does not say.
    """

    file_bytes: int
    runtime_resident_bytes: int
    open_resident_bytes: int
    opening_peak_bytes: int
    peak_resident_bytes: int
    arena_bytes: int | None


class MemoryRecord(Record, frozen=True, tag_field="kind", tag="memory"):
    """What a model needs, a process each."""

    series: tuple[MemorySeries, ...]
    threads: int
    batch: int
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1


class OperatorTime(Record, frozen=True):
    """One operator of the executed graph: nanoseconds a run, its share of `total_ns`, the model's layers it carries out.

    `activation` names the activations among them, "" when there is none.
    """

    name: str
    operator: str
    layers: tuple[str, ...]
    activation: str
    duration_ns: float
    share: float


class ProfileSeries(Subject, frozen=True):
    """By the runtime's own profiler. `activation_share` is the time of operators that carry out an activation alone;

    `fused_share` that of operators that carry out an activation together with something else. `total_ns` is the sum of the
    operators; `whole_run_ns` a whole run by the profiler's own account (ONNX Runtime) or by the clock (OpenVINO, whose profiler
    gives none). `activations` counts the model's activations, `unaccounted` names those that no operator was found for.
    """

    operators: tuple[OperatorTime, ...]
    runs: int
    total_ns: float
    whole_run_ns: float
    activation_share: float
    fused_share: float
    activations: int
    unaccounted: tuple[str, ...]


class ProfileRecord(Record, frozen=True, tag_field="kind", tag="profile"):
    """Where the time goes."""

    series: tuple[ProfileSeries, ...]
    threads: int
    batch: int
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 1
