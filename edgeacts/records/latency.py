"""Records of latency: raw times with their circumstances, ratios with an interval."""

from typing import Literal

from edgeacts.circumstances import Circumstances
from edgeacts.records.base import Record

Executed = dict[str, str | int | float | bool | None]
Comparison = Literal["baseline", "faster", "slower", "cannot tell"]


class LatencyBlock(Record, frozen=True):
    """A stretch of the measurement in which every model ran in a new random order; what the machine did meanwhile.

    `process` is the fresh process it belongs to, `start_ns` counts from the beginning of the record. `steal_share` is the time
    that the hypervisor took, `other_share` what other processes used, both of all cores' time; None where the system does not
    say.
    """

    process: int
    start_ns: int
    seconds: float
    steal_share: float | None
    other_share: float | None
    frequency_mhz: float | None
    load_average_1min: float | None


class LatencySeries(Record, frozen=True):
    """Raw times of one model on one runtime, in the order they were taken, none left out.

    Sample i took `samples_ns[i]`, began `starts_ns[i]` after the beginning of the record, in block `block_of[i]`. `quantiles_ns`
    has p50, and p90, p99 where there are enough samples for them. `ratio` is the latency over that of the runtime's baseline,
    [ratio_low, ratio_high] its interval at the record's confidence. `executed` says what ran there: provider, precision,
    threads, runtime version, input shape.
    """

    label: str
    model: str
    model_sha256: str
    runtime: str
    size_bytes: int
    samples_ns: tuple[int, ...]
    starts_ns: tuple[int, ...]
    block_of: tuple[int, ...]
    median_ns: float
    quantiles_ns: dict[str, float]
    ratio: float
    ratio_low: float
    ratio_high: float
    comparison: Comparison
    executed: Executed


class NoiseFloor(Record, frozen=True):
    """The runtime's baseline against its own copy (A/A) in the same run: what a ratio of 1 looks like here."""

    runtime: str
    ratio: float
    ratio_low: float
    ratio_high: float
    samples_ns: tuple[int, ...]
    starts_ns: tuple[int, ...]
    block_of: tuple[int, ...]


class LatencyRecord(Record, frozen=True, tag_field="kind", tag="latency"):
    """One interleaved benchmark. Ratios are to the first series of each runtime, its baseline.

    `stopped` says why it ended: "precision", "time" or "rounds". `precision_asked` is the half width of the interval that was to
    be reached, as a share; `precision_reached` the widest one's.
    """

    series: tuple[LatencySeries, ...]
    blocks: tuple[LatencyBlock, ...]
    noise_floors: tuple[NoiseFloor, ...]
    processes: int
    warmup_rounds: int
    threads: int
    batch: int
    seed: int
    confidence: float
    precision_asked: float | None
    precision_reached: float | None
    budget_s: float | None
    stopped: str
    seconds: float
    skipped: dict[str, str]
    circumstances: Circumstances
    version: int = 2
